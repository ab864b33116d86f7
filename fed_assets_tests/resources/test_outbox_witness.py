from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dagster import AssetKey, AssetMaterialization, AssetObservation, DagsterInstance

from fed_assets.resources.home import Home
from fed_assets.resources.outbox_witness import seen_heads

Report = Callable[..., None]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home").prepare()


@pytest.fixture
def report(home: Home) -> Report:
    """Returns a function that has Dagster keep an event of an asset."""

    def report(asset: str, metadata: dict[str, Any], *, sandbox: str = "minimal") -> None:
        kind = AssetObservation if asset.endswith("rounds") else AssetMaterialization
        event = kind(AssetKey(asset.split("/")), metadata=metadata, partition=sandbox)
        with DagsterInstance.from_config(str(home.instance)) as instance:
            instance.report_runless_asset_event(event)

    return report


def head(entries: int, digest: str) -> dict[str, Any]:
    return {"outbox_entries": entries, "outbox_head": digest}


def test_heads_of_a_hospital_in_a_sandbox_are_found_in_all_that_it_answered_for(
    home: Home, report: Report
) -> None:
    report("north/images", head(2, "a"))
    report("north/images", head(20, "aa"))
    report("north/validated_images", head(4, "b"))
    report("north/local_rounds", head(7, "c"))
    report("evaluation_report", {"outbox_heads": {"north": {"entries": 9, "hash": "d"}}})
    assert seen_heads(home, "north", "minimal") == {
        (2, "a"),
        (20, "aa"),
        (4, "b"),
        (7, "c"),
        (9, "d"),
    }


def test_heads_of_others_are_none_of_its_own(home: Home, report: Report) -> None:
    report("south/images", head(2, "a"))
    report("north/images", head(2, "b"), sandbox="eyes_on")
    report("evaluation_report", {"outbox_heads": {"south": {"entries": 9, "hash": "d"}}})
    assert seen_heads(home, "north", "minimal") == set()
    assert seen_heads(home, "north", "eyes_on") == {(2, "b")}


def test_events_without_a_head_witness_nothing(home: Home, report: Report) -> None:
    report("north/images", {"images": 4})
    report("evaluation_report", {"degraded": True})
    assert seen_heads(home, "north", "minimal") == set()


def test_where_dagster_never_ran_nothing_was_seen_and_nothing_is_made(tmp_path: Path) -> None:
    assert seen_heads(Home(tmp_path / "home"), "north", "minimal") == set()
    assert not (tmp_path / "home").exists()
