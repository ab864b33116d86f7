"""How a run's model comes into a real registry, and does not where a hospital withdrew."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fed_assets.assets.registering import keep_card, register
from fed_assets.errors import HospitalWithdrawn, StorageError
from fed_assets.federation.withdrawals import withdraw
from fed_assets.registry.version import ModelVersion
from fed_assets.resources.artifact_store import write_whole
from fed_assets.resources.home import Home
from fed_assets.resources.model_folders import folder_of
from fed_assets.resources.model_registry import ModelRegistry
from fed_assets_tests.lineages import THREE, lineage, put_lineage, round_of
from fed_assets_tests.registry.versions import a_version
from fed_assets_tests.resources.test_model_registry import Bench

RUN = "00000001-2222-3333-4444-555555555555"


class WhileItRegisters(ModelRegistry):
    """A registry in which south withdraws while a version is registered."""

    def register(self, record: ModelVersion, run: str, **given: Any) -> int:
        withdraw(self.home.withdrawals, "south", by="Ada", because="its board said so")
        return super().register(record, run, **given)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home").prepare()


def test_a_model_with_data_of_who_withdrew_is_not_registered(home: Home) -> None:
    withdraw(home.withdrawals, "south", by="Ada", because="its board said so")
    with pytest.raises(HospitalWithdrawn, match="No version is registered with data of a hospital"):
        register(home, ModelRegistry(home), a_version(0), home.root / "never_read")
    assert not home.models("minimal").exists()


def test_nor_is_one_whose_threshold_it_may_have_chosen(home: Home) -> None:
    chosen = {"value": 0.4, "hospitals": 3}
    put_lineage(home, lineage(RUN, rounds=[round_of(1, THREE[:2])], threshold=chosen))
    withdraw(home.withdrawals, "south", by="Ada", because="its board said so")
    record = a_version(0, run_id=RUN, participants=THREE[:2])
    with pytest.raises(HospitalWithdrawn):
        register(home, ModelRegistry(home), record, home.root / "never_read")


def test_nobody_is_registered_where_the_list_cannot_be_used(home: Home) -> None:
    home.withdrawals.parent.mkdir()
    home.withdrawals.write_text("{")
    home.withdrawals.chmod(0o600)
    with pytest.raises(StorageError, match="so that nobody may take part"):
        register(home, ModelRegistry(home), a_version(0), home.root / "never_read")


@pytest.mark.slow
def test_who_withdraws_in_between_is_found_and_the_version_retired(home: Home) -> None:
    bench = Bench(home)
    tracked, weights = bench.logged(RUN, 1)
    record = bench.record(RUN, tracked, weights)
    with pytest.raises(HospitalWithdrawn, match="south"):
        register(home, WhileItRegisters(home), record, weights)
    history = ModelRegistry(home).history("minimal")
    assert "it withdrew on" in history.retired[1]
    without = replace(record, participants=("north", "east"), run_id=RUN.replace("1", "2", 1))
    assert register(home, ModelRegistry(home), without, weights) == 2


def test_the_card_lies_beside_the_record_and_is_told_of(home: Home) -> None:
    put_lineage(home, lineage(RUN))
    version = a_version(3, run_id=RUN)
    told = keep_card(home, version)
    folder = folder_of(home.models("minimal"), 3)
    assert told["card"].value == str(folder / "card.html")
    assert "Model card of minimal@3" in str(told["card_summary"].value)
    card = json.loads((folder / "card.json").read_text())
    assert card["model_details"]["version"] == 3
    # What it is now is not on a card that is kept, for that changes.
    assert card["model_details"]["states"] is None
    assert card["synthetic"] is True
    assert "what it is now: <code>fed-assets trace minimal@3" in (folder / "card.html").read_text()
    assert "Model card of minimal@3" in (folder / "card.html").read_text()


def test_without_a_lineage_there_is_no_card_and_a_damaged_one_is_said(home: Home) -> None:
    assert keep_card(home, a_version(3, run_id=RUN)) == {}
    write_whole(home.lineage / f"{RUN}.json", b"{")
    with pytest.raises(StorageError, match="The lineage of a run is damaged"):
        keep_card(home, a_version(3, run_id=RUN))
