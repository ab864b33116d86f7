"""Whole lifecycles of a sandbox whose hospitals encrypt their updates, confined and sealed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from fed_assets.sandboxes.presets import EYES_OFF
from fed_assets_tests.assets.test_masked_lifecycle import LIFECYCLE, RETRAIN, rounds_of, run
from fed_assets_tests.confining import require_root
from fed_assets_tests.networks import SMALL_RESNET
from fed_assets_tests.places import Place, make_place

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

HOSPITALS = ("north", "east", "south")


def make_sandbox(folder: Path, **changes: object) -> Place:
    made = make_place(folder, rounds=2, **changes)
    controls = {str(name): str(EYES_OFF.value(name)) for name in EYES_OFF.controls()}
    controls |= {"update_protection": "homomorphic_encryption"}
    (folder / "sandbox.yaml").write_text(yaml.safe_dump(controls))
    for path in (folder, *folder.iterdir()):
        path.chmod(0o755 if path.is_dir() else 0o644)
    own = {"FED_ASSETS_SANDBOX": str(folder / "sandbox.yaml")}
    return replace(made, environment=made.environment | own, sandbox="configurable")


@pytest.fixture(scope="module")
def encrypted(places: Path) -> Place:
    require_root()
    place = make_sandbox(places / "encrypted")
    run(place, *LIFECYCLE)
    return place


def test_hospitals_behind_walls_encrypt_and_decrypt(encrypted: Place) -> None:
    records = rounds_of(encrypted)
    assert [record["round_number"] for record in records] == [1, 2]
    for record in records:
        assert record["missing"] == {}
        for report in record["participants"].values():
            assert report["examples"] is None
            assert report["decryption"] == "as others"
    report = json.loads((encrypted.home.report("configurable") / "report.json").read_text())
    assert report["controls"]["update_protection"] == "homomorphic_encryption"


def test_no_key_is_left_once_the_run_has_ended(encrypted: Place) -> None:
    folder = encrypted.home.federations("configurable")[0]
    assert list((folder / "sites").rglob("hospital.json"))
    assert list(folder.rglob("*.tenseal")) == list(folder.rglob("*.key")) == []


def test_each_thing_that_leaves_stands_in_the_hospitals_outbox_log(encrypted: Place) -> None:
    command = ("fed_assets.cli", "outbox", "north", "--sandbox", "configurable", "--json")
    (log,) = json.loads(run(encrypted, *command))
    in_rounds = [entry["what"] for entry in log["entries"] if entry["round_number"] is not None]
    assert in_rounds == [
        "update",
        "encrypted update",
        "figures of the update",
        "ckks_agree",
        "its word for whose updates are added up",
        "ckks_decrypt",
        "the sum of updates, decrypted",
    ] * len(rounds_of(encrypted))


def test_a_run_that_was_killed_goes_on_with_a_new_key(encrypted: Place) -> None:
    folder = encrypted.kill_after_round(1, *RETRAIN)
    assert not (folder / "outbox" / "rounds" / "0002").exists()
    assert list(folder.rglob("*.tenseal")) == []
    run(encrypted, *RETRAIN)
    records = rounds_of(encrypted)
    assert [record["round_number"] for record in records] == [1, 2]
    assert all(record["missing"] == {} for record in records)


def test_a_large_network_is_refused_before_anything_is_trained(places: Path) -> None:
    require_root()
    large = {**SMALL_RESNET, "block_inplanes": [64, 128, 256, 512]}
    place = make_sandbox(places / "large", network=large)
    process = place.start(*LIFECYCLE)
    told, errors = process.communicate(timeout=420)
    assert process.returncode != 0
    assert "The network is too large for homomorphic encryption" in told + errors
    assert "500,000 are the most" in told + errors
    assert rounds_of(place) == []
