"""The asset graph on small hospitals: what stops a run, what it says, and what it leaves behind."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster import AssetKey, DagsterInstance, ExecuteInProcessResult
from PIL import Image

from fed_assets.definitions import build_definitions
from fed_assets.federation.revocations import revoke
from fed_assets.federation.roster import read_roster
from fed_assets.privacy.chain import OUTBOX_LOG, entries_of
from fed_assets.resources.home import Home
from fed_assets.resources.settings import Settings
from fed_assets_tests.networks import SMALL_RESNET

TRAINS_OPENLY = {
    "transport": "mtls",
    "storage": "plain",
    "key_custody": "none",
    "process": "own",
    "previews": "no",
    "statistics": "full",
    "job_code": "preinstalled",
    "update_protection": "none",
    "aggregation": "fedavg",
}
Run = Callable[..., ExecuteInProcessResult]


@pytest.fixture
def entries() -> dict[str, Any]:
    """Returns the roster of three hospitals that share out 240 phantoms."""
    return {
        "title": "Three small hospitals",
        "data": {
            "source": {"kind": "phantom", "images": 240, "test_images": 40, "size": 28},
            "share": {"how": "iid"},
        },
        "hospitals": [{"id": name, "name": name} for name in ("north", "east", "south")],
        "network": SMALL_RESNET,
        "rounds": 2,
    }


@pytest.fixture
def run(tmp_path: Path, entries: dict[str, Any]) -> Run:
    """Returns a function that executes steps of the lifecycle in a scratch home."""

    def execute(
        *assets: str, sandbox: str = "minimal", config: dict[str, Any] | None = None
    ) -> ExecuteInProcessResult:
        roster = tmp_path / "roster.yaml"
        roster.write_text(yaml.safe_dump(entries))
        configurable = tmp_path / "sandbox.yaml"
        if not configurable.exists():
            configurable.write_text(yaml.safe_dump(TRAINS_OPENLY))
        settings = Settings(
            home=Home(tmp_path / "home").prepare(), roster=roster, configurable=configurable
        )
        definitions = build_definitions(settings, read_roster(roster))
        with scratch_instance(tmp_path) as instance:
            return definitions.resolve_job_def("federated_lifecycle").execute_in_process(
                instance=instance,
                partition_key=sandbox,
                run_config=config,
                raise_on_error=False,
                asset_selection=[AssetKey(asset.split("/")) for asset in assets] or None,
            )

    return execute


def scratch_instance(folder: Path) -> DagsterInstance:
    return DagsterInstance.local_temp(str(folder), overrides={"telemetry": {"enabled": False}})


def up_to_the_roster(*hospitals: str) -> list[str]:
    steps = [f"{name}/{step}" for name in hospitals for step in ("images", "validated_images")]
    return ["sandbox_controls", *steps, "federation_roster"]


def failures(result: ExecuteInProcessResult) -> list[str]:
    events = [event for event in result.all_events if event.is_step_failure]
    described = (event.step_failure_data.user_failure_data for event in events)
    return [str(each.description) for each in described if each is not None]


def excluded(result: ExecuteInProcessResult) -> dict[str, str]:
    excluded: dict[str, str] = result.output_for_node("federation_roster")["excluded"]
    return excluded


def files_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("sandbox", ["eyes_off"])
def test_a_sandbox_that_is_not_enforced_is_refused_once_and_nothing_is_written(
    run: Run, tmp_path: Path, sandbox: str
) -> None:
    result = run(sandbox=sandbox)
    assert not result.success
    (refusal,) = failures(result)
    assert refusal.startswith(f"Sandbox {sandbox} is refused: it declares ")
    assert "update_protection=" in refusal
    # The empty file is what runs of the sandbox take turns by.
    assert files_below(tmp_path / "home") == {"dagster/dagster.yaml", f"turns/{sandbox}"}


def test_a_hospital_alone_cannot_slip_past_the_refusal(run: Run, tmp_path: Path) -> None:
    result = run("north/images", sandbox="eyes_off")
    assert not result.success
    assert "eyes_off is refused" in failures(result)[0]
    assert not (tmp_path / "home" / "hospitals").exists()


def test_a_run_without_a_partition_fails_at_once_and_writes_nothing(
    run: Run, tmp_path: Path
) -> None:
    result = run(sandbox=None)
    assert not result.success
    (refusal,) = failures(result)
    assert refusal.startswith("The run names no sandbox")
    assert "dagster/partition" in refusal
    assert files_below(tmp_path / "home") == {"dagster/dagster.yaml"}


@pytest.mark.long
def test_the_same_bytes_give_the_same_data_version_and_one_changed_image_another(
    run: Run, entries: dict[str, Any], tmp_path: Path
) -> None:
    folder = picture_folder(tmp_path / "pictures", per_class=4)
    entries["hospitals"][0]["source"] = {"kind": "folder", "path": str(folder)}
    versions = []
    for change in (None, None, folder / "train" / "ill" / "ill0.png"):
        if change is not None:
            Image.new("L", (32, 32), 200).save(change)
        result = run("sandbox_controls", "north/images")
        (materialized,) = result.asset_materializations_for_node("north__images")
        versions.append((materialized.tags or {})["dagster/data_version"])
    assert versions[0] == versions[1] != versions[2]


def picture_folder(
    folder: Path, *, per_class: int, classes: tuple[str, ...] = ("ill", "well")
) -> Path:
    for split in ("train", "val", "test"):
        for shade, name in enumerate(classes):
            (folder / split / name).mkdir(parents=True)
            for number in range(per_class):
                picture = Image.effect_noise((32, 32), 40 + 30 * shade)
                picture.save(folder / split / name / f"{name}{number}.png")
    return folder


def missing_file(folder: Path) -> dict[str, str]:
    return {"kind": "medmnist", "path": str(folder / "gone.npz")}


def truncated_file(folder: Path) -> dict[str, str]:
    path = folder / "cut.npz"
    path.write_bytes(b"PK\x03\x04" + b"\0" * 500)
    return {"kind": "medmnist", "path": str(path)}


def empty_folder(folder: Path) -> dict[str, str]:
    (folder / "empty").mkdir()
    return {"kind": "folder", "path": str(folder / "empty")}


def one_class_only(folder: Path) -> dict[str, str]:
    path = picture_folder(folder / "one", per_class=12, classes=("ill",))
    return {"kind": "folder", "path": str(path)}


def a_corrupt_image(folder: Path) -> dict[str, str]:
    path = picture_folder(folder / "corrupt", per_class=12)
    (path / "train" / "ill" / "ill3.png").write_bytes(b"\x89PNG\r\n\x1a\nnot really")
    return {"kind": "folder", "path": str(path)}


def an_empty_image(folder: Path) -> dict[str, str]:
    path = picture_folder(folder / "zero", per_class=12)
    (path / "train" / "ill" / "ill3.png").write_bytes(b"")
    return {"kind": "folder", "path": str(path)}


def a_text_named_jpeg(folder: Path) -> dict[str, str]:
    path = picture_folder(folder / "text", per_class=12)
    (path / "train" / "ill" / "notes.jpeg").write_text("patient 17 looked pale")
    return {"kind": "folder", "path": str(path)}


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (missing_file, "is not there"),
        (one_class_only, "class"),
        (a_corrupt_image, "decoded, and 1 of"),
        pytest.param(truncated_file, "cannot be read", marks=pytest.mark.long),
        pytest.param(empty_folder, "", marks=pytest.mark.long),
        pytest.param(an_empty_image, "decoded, and 1 of", marks=pytest.mark.long),
        pytest.param(a_text_named_jpeg, "decoded, and 1 of", marks=pytest.mark.long),
    ],
)
def test_bad_images_exclude_their_hospital_and_stop_the_run_before_training(
    run: Run,
    entries: dict[str, Any],
    tmp_path: Path,
    spoil: Callable[[Path], dict[str, str]],
    said: str,
) -> None:
    entries["hospitals"][1]["source"] = spoil(tmp_path)
    result = run()
    assert not result.success
    assert set(excluded(result)) == {"east"}
    assert said in excluded(result)["east"]
    for secret in ("ill3", "patient 17", "notes.jpeg"):
        assert secret not in json.dumps(result.output_for_node("federation_roster"))
    (check,) = [c for c in result.get_asset_check_evaluations() if c.check_name == "quorum_met"]
    assert not check.passed
    ran = {event.step_key for event in result.all_events if event.is_step_start}
    assert "federated_training" not in ran
    assert not (tmp_path / "home" / "federations").exists()
    assert not list((tmp_path / "home").rglob(".partial*"))


def test_an_error_that_a_hospital_answers_with_witnesses_its_outbox_log_too(
    run: Run, entries: dict[str, Any], tmp_path: Path
) -> None:
    entries["hospitals"][1]["source"] = truncated_file(tmp_path)
    result = run("sandbox_controls", "north/images", "east/images")
    for hospital, last in (("north", "preview"), ("east", "error (images)")):
        (materialized,) = result.asset_materializations_for_node(f"{hospital}__images")
        log = Home(tmp_path / "home").store(hospital, "minimal") / OUTBOX_LOG
        entry = entries_of(log.read_bytes())[-1]
        assert entry.what == last
        assert materialized.metadata["outbox_entries"].value == entry.number
        assert materialized.metadata["outbox_head"].value == entry.hash


def test_a_hospital_left_out_on_purpose_is_not_missed_by_the_quorum(
    run: Run, entries: dict[str, Any], tmp_path: Path
) -> None:
    entries["hospitals"][1]["source"] = missing_file(tmp_path)
    config = {"ops": {"federation_roster": {"config": {"leave_out": ["east"]}}}}
    result = run(*up_to_the_roster("north", "east", "south"), config=config)
    assert result.success
    assert result.output_for_node("federation_roster")["participants"] == ["north", "south"]


@pytest.mark.long
def test_a_revoked_hospital_leaves_the_roster_and_a_damaged_list_leaves_none(
    run: Run, tmp_path: Path
) -> None:
    listed = Home(tmp_path / "home").prepare().revocations
    revoke(listed, "east")
    result = run(*up_to_the_roster("north", "east", "south"))
    assert result.success
    assert result.output_for_node("federation_roster")["participants"] == ["north", "south"]
    assert "`fed-assets federation reinstate east`" in excluded(result)["east"]
    listed.write_text("damaged")
    result = run("federation_roster")
    assert not result.success
    assert "nobody may take part" in failures(result)[0]


@pytest.mark.long
def test_leaving_out_a_hospital_that_is_not_there_is_refused(run: Run) -> None:
    config = {"ops": {"federation_roster": {"config": {"leave_out": ["nowhere"]}}}}
    result = run(*up_to_the_roster("north", "east", "south"), config=config)
    assert not result.success
    assert "nowhere" in failures(result)[0]


@pytest.mark.long
def test_a_common_test_set_unlike_the_hospitals_is_refused_before_training(
    run: Run, entries: dict[str, Any], tmp_path: Path
) -> None:
    for hospital in entries["hospitals"]:
        folder = picture_folder(tmp_path / hospital["id"], per_class=12)
        hospital["source"] = {"kind": "folder", "path": str(folder)}
    steps = up_to_the_roster("north", "east", "south")
    (refusal,) = failures(run(*steps))
    assert refusal.startswith("The common test set is not like the hospitals' images")
    assert "ill, well" in refusal
    assert "data.common_test: no" in refusal
    entries["data"]["common_test"] = False
    result = run(*steps)
    assert result.success
    assert result.output_for_node("federation_roster")["common_test"] is None


def test_a_made_up_common_test_set_is_known_as_one_from_the_roster_on(run: Run) -> None:
    result = run(*up_to_the_roster("north", "east", "south"))
    common = result.output_for_node("federation_roster")["common_test"]
    assert common["images"] == 40
    assert common["synthetic"] is True


def event_log(tmp_path: Path) -> bytes:
    return b"".join(
        path.read_bytes() for path in (tmp_path / "history").rglob("*") if path.is_file()
    )


def test_with_previews_on_the_page_shows_a_contact_sheet_and_with_previews_off_no_pixel_leaves(
    run: Run, tmp_path: Path
) -> None:
    run("sandbox_controls", "north/images", sandbox="configurable")
    outside = event_log(tmp_path) + b"".join(
        path.read_bytes() for path in (tmp_path / "home" / "artifacts").rglob("*.json")
    )
    assert b"digest" in outside
    assert b"base64" not in outside
    assert b"PNG" not in outside
    assert not list((tmp_path / "home").rglob("*.png"))
    shutil.rmtree(tmp_path / "history")
    run("sandbox_controls", "north/images", sandbox="minimal")  # the positive control
    assert b"data:image/png;base64" in event_log(tmp_path)


@pytest.mark.long
def test_a_run_that_goes_on_without_a_hospital_says_degraded(
    run: Run, entries: dict[str, Any], tmp_path: Path
) -> None:
    entries["hospitals"][1]["source"] = missing_file(tmp_path)
    entries["quorum"] = 2
    result = run(sandbox="configurable")
    assert result.success, failures(result)
    report = result.output_for_node("evaluation_report")
    assert report["degraded"]
    assert report["participants"] == ["north", "south"]
    (check,) = [
        check
        for check in result.get_asset_check_evaluations()
        if check.check_name == "every_hospital_took_part"
    ]
    assert not check.passed
    assert "east" in str(check.description)
    with scratch_instance(tmp_path) as instance:
        run_record = instance.get_run_by_id(result.run_id)
    assert run_record is not None
    assert run_record.tags["fed_assets/outcome"] == "degraded"
    assert run_record.tags["fed_assets/missing"] == "east: left out before training"


@pytest.mark.long
def test_a_sealed_sandbox_learns_the_same_bits_and_leaves_no_plain_file(
    run: Run, tmp_path: Path
) -> None:
    sealed = {**TRAINS_OPENLY, "storage": "sealed", "key_custody": "hospital"}
    (tmp_path / "sandbox.yaml").write_text(yaml.safe_dump(sealed))
    digests = set()
    for sandbox in ("configurable", "eyes_on"):
        result = run(sandbox=sandbox)
        assert result.success, failures(result)
        digests.add(result.output_for_node("federated_training", "global_model")["final_digest"])
    assert len(digests) == 1
    hospitals = tmp_path / "home" / "hospitals"
    kept = [
        path
        for path in hospitals.glob("*/configurable/**/*")
        if path.is_file() and path.name != "worker.log"
    ]
    assert len({path.name for path in kept}) >= 5
    assert [path for path in kept if path.read_bytes()[:8] != b"FEDSEAL1"] == []
    (pixels,) = (hospitals / "north" / "eyes_on").rglob("images.npy")
    canary = pixels.read_bytes()[5000:5064]
    written = [path for path in (tmp_path / "home").rglob("*") if path.is_file()]
    assert {path for path in written if canary in path.read_bytes()} == {pixels}
