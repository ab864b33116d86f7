"""A lifecycle with differential privacy: what it spends, what it says of it, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster import AssetKey, DagsterInstance

from fed_assets.hospital.files import Store
from fed_assets.hospital.outbox_log import OutboxLog, text
from fed_assets.hospital.privacy_ledger import PrivacyLedger, Schedule
from fed_assets.hospital.store import open_store
from fed_assets.sandboxes.presets import EYES_ON, find_sandbox
from fed_assets_tests.networks import SMALL_RESNET
from fed_assets_tests.places import Place, make_place

PRIVATE = {
    "update_protection": "differential_privacy",
    "epsilon": 8.0,
    "delta": 1e-5,
    "max_grad_norm": 1.0,
    "previews": "no",
    "statistics": "small_counts_suppressed",
    "suppress_below": 5,
}
NAMES = ("north", "east", "south")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Three hospitals whose roster says batch normalisation, in a sandbox that trains privately."""
    return make_private_place(tmp_path)


def make_private_place(tmp_path: Path, **changes: Any) -> Place:
    network = {**SMALL_RESNET, "block_inplanes": [8, 8, 8, 8], "norm": "batch"}
    fractions = {"train": 0.6, "validation": 0.2, "test": 0.2}
    data = {
        "source": {"kind": "phantom", "images": 240, "test_images": 40, "size": 28},
        "share": {"how": "iid"},
        "split_fractions": fractions,
    }
    made = make_place(tmp_path / "place", rounds=2, network=network, data=data, **changes)
    set_sandbox(made, tmp_path)
    return Place(made.home, made.environment, "configurable")


def set_sandbox(place: Place, folder: Path, **changes: Any) -> None:
    controls = {str(name): str(EYES_ON.value(name)) for name in EYES_ON.controls()}
    sandbox = folder / "private.yaml"
    sandbox.write_text(yaml.safe_dump(controls | PRIVATE | changes))
    place.environment.update(FED_ASSETS_SANDBOX=str(sandbox), COLUMNS="200")


def cli(place: Place, *command: str) -> tuple[int, str]:
    return place.tell(*command)


def metadata_of(place: Place, asset: str) -> dict[str, Any]:
    with DagsterInstance.from_config(str(place.home.instance)) as instance:
        event = instance.get_latest_materialization_event(AssetKey(asset.split("/")))
        assert event is not None
        assert event.asset_materialization is not None
        return {name: each.value for name, each in event.asset_materialization.metadata.items()}


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_private_run_spends_its_budget_says_so_and_the_next_is_refused(
    place: Place, tmp_path: Path
) -> None:
    code, told = cli(place, "run", "configurable")
    assert code == 0, told
    model = place.artifact("global_model")
    assert model["network"]["norm"] == ["group", {"num_groups": 8}]
    for number, record in enumerate(model["rounds"], start=1):
        assert set(record["participants"]) == set(NAMES)
        for sent in record["participants"].values():
            assert sent["loss"] is None
            assert "loss" in sent["suppressed"]
            assert 0 < sent["epsilon"] <= 8
            assert (sent["epsilon"] > 7.9) == (number == 2)
            assert sent["delta"] == 1e-5
    for name in NAMES:
        metadata = metadata_of(place, f"{name}/local_rounds")
        assert metadata["epsilon"] == model["rounds"][-1]["participants"][name]["epsilon"]
        assert metadata["delta"] == 1e-5

    report = json.loads((place.home.report("configurable") / "report.json").read_text())
    assert report["threshold"]["hospitals"] == 3
    assert 0 < report["threshold"]["value"] < 1
    page = (place.home.report("configurable") / "report.html").read_text()
    assert "Epsilon spent" in page
    assert "chosen on the validation images of 3 hospitals" in page

    code, told = cli(place, "budget", "north", "configurable", "--json")
    assert code == 0, told
    shown = json.loads(told[told.index("{") :])
    assert shown["epsilon"] == model["rounds"][-1]["participants"]["north"]["epsilon"]
    assert [each["round_number"] for each in shown["rounds"]] == [1, 2]

    # The same images again: nothing is left, and no hospital reads them, or learns.
    before = set(place.home.federations("configurable"))
    code, told = cli(place, "run", "configurable")
    assert code == 1
    assert "The hospital's privacy budget is used up, so its images are not read" in told
    assert "epsilon 8.00 of 8 is spent" in told
    assert set(place.home.federations("configurable")) == before
    code, told = cli(place, "budget", "north", "configurable")
    assert code == 0
    assert f"Epsilon {shown['epsilon']:.2f} of 8 is spent" in told

    # A ledger that is put aside while the log tells of it is no new budget.
    ledger = place.home.store("north", "configurable") / "privacy.jsonl"
    kept = ledger.read_bytes()
    ledger.unlink()
    code, told = cli(place, "budget", "north", "configurable")
    assert code == 1
    assert "The privacy ledger is gone" in told
    ledger.write_bytes(kept)

    # With more of a budget the same hospitals train again, beside what they have spent.
    set_sandbox(place, tmp_path, epsilon=14.0)
    code, told = cli(place, "run", "configurable")
    assert code == 0, told
    again = place.artifact("global_model")["rounds"][-1]["participants"]
    assert all(13.8 < sent["epsilon"] <= 14 for sent in again.values())


@pytest.mark.long
def test_hospitals_whose_budget_is_used_up_are_named_before_anything_is_read(place: Place) -> None:
    protection = find_sandbox(
        "configurable", configurable=Path(place.environment["FED_ASSETS_SANDBOX"])
    ).protection
    for name in ("north", "south"):
        store = open_store(Store(place.home.store(name, "configurable"), name))
        outbox = OutboxLog(store, "job earlier")
        outbox.asked(text("update", b""))
        round_ = Schedule(round_number=1, rounds_to_come=1, sample_rate=0.3, steps=3)
        PrivacyLedger(store, outbox, "earlier").charge(protection, round_, dataset="d" * 64)
    code, told = cli(place, "run", "configurable")
    assert code == 1
    said = " ".join(told.split())
    assert "1 hospitals may take part, and 3 have to" in said
    assert "north, south: The hospital's privacy budget is used up, so its images are not" in said
    assert "epsilon 8.00 of 8 is spent" in said
    assert "raise the sandbox's `epsilon`" in said
    assert not list(place.home.federations("configurable"))
    for name, read in (("north", False), ("east", True), ("south", False)):
        assert any(place.home.store(name, "configurable").rglob("images.npy")) == read


@pytest.mark.long
def test_a_private_network_for_other_images_is_refused_before_a_federation_starts(
    tmp_path: Path,
) -> None:
    network = {
        "_target_": "monai.networks.nets.Classifier",
        "in_shape": ["@channels", 64, 64],
        "classes": "@classes",
        "channels": [4],
        "strides": [2],
        "norm": ["group", {"num_groups": 4}],
    }
    place = make_private_place(tmp_path, differential_privacy={"network": network})
    code, told = cli(place, "run", "configurable")
    assert code == 1
    assert "Where: the roster's `differential_privacy.network.in_shape`" in told
    assert "Seen: ['@channels', 64, 64], and images of shape [1, 28, 28]" in told
    assert not list(place.home.federations("configurable"))
    for name in NAMES:  # nothing was charged either
        assert not (place.home.store(name, "configurable") / "privacy.jsonl").exists()
