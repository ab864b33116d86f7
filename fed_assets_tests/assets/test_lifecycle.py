"""The asset graph on small hospitals: what stops a run, what it says, and what it leaves behind."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
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
from fed_assets.sandboxes.enforcement import ENFORCED
from fed_assets_tests.places import make_place

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


@pytest.fixture
def no_protection_of_updates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has this version enforce no `update_protection`."""
    monkeypatch.setitem(ENFORCED, "update_protection", frozenset({"none"}))


@pytest.mark.usefixtures("no_protection_of_updates")
@pytest.mark.parametrize("sandbox", ["eyes_off", "confidential_vm"])
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


def test_controls_say_simulated_where_anybody_reads_them(run: Run, tmp_path: Path) -> None:
    attested = {"storage": "sealed", "key_custody": "attested", "job_code": "measured"}
    (tmp_path / "sandbox.yaml").write_text(yaml.safe_dump(TRAINS_OPENLY | attested))
    assert run("sandbox_controls", sandbox="configurable").success
    table = (tmp_path / "home" / "artifacts" / "sandbox_controls" / "configurable.json").read_text()
    assert json.loads(table)["key_custody"] == "attested (SIMULATED)"
    assert json.loads(table)["job_code"] == "measured"


@pytest.mark.usefixtures("no_protection_of_updates")
def test_a_hospital_alone_cannot_slip_past_the_refusal(run: Run, tmp_path: Path) -> None:
    result = run("north/images", sandbox="eyes_off")
    assert not result.success
    assert "eyes_off is refused" in failures(result)[0]
    assert not (tmp_path / "home" / "hospitals").exists()


def test_a_roster_that_takes_back_what_a_sandbox_promises_is_refused_before_any_image_is_read(
    run: Run, entries: dict[str, Any], tmp_path: Path
) -> None:
    robust = {**TRAINS_OPENLY, "aggregation": "weighted_median"}
    (tmp_path / "sandbox.yaml").write_text(yaml.safe_dump(robust))
    entries["aggregation"] = {"rule": "fedopt"}
    result = run(sandbox="configurable")
    assert not result.success
    (refusal,) = failures(result)
    assert "declares aggregation=weighted_median, and the roster asks for fedopt" in refusal
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
        pytest.param(missing_file, "is not there", marks=pytest.mark.long),
        pytest.param(one_class_only, "class", marks=pytest.mark.long),
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


@pytest.mark.long
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


@pytest.mark.long
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
    entries["quorum"], entries["rounds"] = 2, 1
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
    # The very same resamples of the common test images: the comparison draws them as one.
    measured = [
        json.loads(Home(tmp_path / "home").measurement(sandbox, 0).read_text())["resampled"]
        for sandbox in ("configurable", "eyes_on")
    ]
    assert measured[0] == measured[1] and len(measured[0]["values"]["auroc"]) == 1000
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


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_hospital_whose_sealed_images_are_damaged_after_validation_is_missing_from_the_report(
    run: Run, entries: dict[str, Any], tmp_path: Path
) -> None:
    entries["quorum"], entries["rounds"] = 2, 1
    sealed = {"storage": "sealed", "key_custody": "hospital"}
    (tmp_path / "sandbox.yaml").write_text(yaml.safe_dump(TRAINS_OPENLY | sealed))
    assert run(sandbox="configurable").success
    home = Home(tmp_path / "home")
    damage(home.store("north", "configurable"))
    result = run("evaluation_report", sandbox="configurable")
    assert result.success, failures(result)
    report = result.output_for_node("evaluation_report")
    assert [(each["kind"], each["hospital"]) for each in report["shortfalls"]] == [
        ("not_evaluated", "north")
    ]
    assert set(report["hospitals"]) == {"east", "south"}
    damage(home.store("south", "configurable"))
    (failure,) = failures(run("evaluation_report", sandbox="configurable"))
    assert "north" in failure


def damage(store: Path) -> None:
    """Flips a bit in the midst of each file of a store's datasets."""
    for path in (each for each in store.glob("datasets/*/*") if each.is_file()):
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)


def told_of_each_round(result: ExecuteInProcessResult) -> list[dict[str, Any]]:
    """Returns what Dagster was told of the global model in each round."""
    return [
        {
            name: value.value
            for name, value in event.asset_observation_data.asset_observation.metadata.items()
        }
        for event in result.all_events
        if event.event_type_value == "ASSET_OBSERVATION"
        and event.asset_key == AssetKey("global_model")
    ]


@pytest.mark.long
def test_clipped_updates_are_counted_in_every_round_and_on_the_page(
    run: Run, tmp_path: Path
) -> None:
    clipping = {**TRAINS_OPENLY, "update_protection": "clip", "max_norm": 0.05}
    (tmp_path / "sandbox.yaml").write_text(yaml.safe_dump(clipping))
    result = run(sandbox="configurable")
    assert result.success, failures(result)
    model = result.output_for_node("federated_training", "global_model")
    for record in model["rounds"]:
        assert record["clipped_share"] == 1.0
        assert all(sent["clipped"] is True for sent in record["participants"].values())
    assert [told["clipped_share"] for told in told_of_each_round(result)] == [1.0, 1.0]
    (controls,) = result.asset_materializations_for_node("sandbox_controls")
    assert controls.metadata["update_protection"].value["max_norm"] == 0.05
    page = (tmp_path / "home" / "artifacts" / "evaluation_report" / "configurable").glob("*.html")
    assert "3 of 3 clipped" in "".join(path.read_text() for path in page)


@pytest.mark.long
@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"rule": "fedprox", "proximal_mu": 0.5}, {"proximal_mu": 0.5}),
        ({"rule": "fedopt", "optimizer": "yogi"}, {}),
    ],
)
def test_a_roster_that_refines_the_average_learns_another_model_and_says_so(
    run: Run, entries: dict[str, Any], asked: dict[str, Any], told: dict[str, float]
) -> None:
    digests = set()
    for aggregation in (None, asked):
        entries["aggregation"] = aggregation
        result = run()
        assert result.success, failures(result)
        model = result.output_for_node("federated_training", "global_model")
        digests.add(model["final_digest"])
    assert len(digests) == 2
    assert told.items() <= model["recipe"].items()
    (controls,) = result.asset_materializations_for_node("sandbox_controls")
    assert controls.metadata["aggregation"].value["kind"] == asked["rule"]


@pytest.mark.long
def test_eyes_off_runs_whole_and_its_rounds_say_how_many_updates_were_clipped(
    places: Path,
) -> None:
    # A process of its own: it goes behind a wall for good.
    data = {
        "source": {"kind": "phantom", "images": 300, "test_images": 40},
        "share": {"how": "iid"},
    }
    place = replace(make_place(places / "eyes_off", rounds=2, data=data), sandbox="eyes_off")
    for path in (places / "eyes_off", *(places / "eyes_off").iterdir()):
        path.chmod(0o755 if path.is_dir() else 0o644)
    place.run("fed_assets.cli", "run", "eyes_off")
    rounds = place.artifact("global_model")["rounds"]
    assert len(rounds) == 2
    for record in rounds:
        clipped = [sent["clipped"] for sent in record["participants"].values()]
        assert len(clipped) == 3
        assert record["clipped_share"] == pytest.approx(sum(clipped) / 3, abs=1e-4)
