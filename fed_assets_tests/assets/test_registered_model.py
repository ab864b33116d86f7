"""A run's model as a registered version: what it is made of, and what it is held against."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster import AssetCheckEvaluation, AssetCheckSeverity, AssetKey, DagsterInstance

from fed_assets.assets.judging import differences_of
from fed_assets.assets.version_record import version_record
from fed_assets.definitions import build_definitions
from fed_assets.errors import StorageError, WorkerFailed
from fed_assets.federation.admission import Admission
from fed_assets.federation.code_version import code_version
from fed_assets.federation.roster import read_roster
from fed_assets.registry.comparison import Difference
from fed_assets.registry.version import ModelVersion
from fed_assets.resources.model_folders import PACKAGE
from fed_assets.resources.model_registry import ModelRegistry
from fed_assets.resources.settings import Settings
from fed_assets.sandboxes.presets import MINIMAL
from fed_assets_tests.places import Place, make_place
from fed_assets_tests.registered import a_bench
from fed_assets_tests.registry.versions import figures
from fed_assets_tests.stored_records import an_audit

NAMES = ("north", "east", "south")
RUN_SECONDS = 500
UNTESTED = {"quorum", "every_hospital"}  # what a hospital closes that was left out


def an_admission(**changes: Any) -> Admission:
    known: dict[str, Any] = {
        "participants": ("north", "east"),
        "excluded": {"south": "its images are not there"},
        "left_out": (),
        "quorum": 2,
        "classes": ("normal", "pneumonia"),
        "channels": 1,
        "image_size": 28,
        "digests": {"north": "n", "east": "e"},
        "digest": "d",
        "synthetic": False,
    }
    return Admission(**known | changes)


def a_model(folder: Path) -> dict[str, Any]:
    weights = folder / "global.safetensors"
    weights.write_bytes(b"weights")
    return {
        "final_weights": str(weights),
        "final_digest": "f",
        "network": {"_target_": "monai.networks.nets.ResNet"},
        "recipe": {"learning_rate": 0.002},
    }


def a_report(**changes: Any) -> dict[str, Any]:
    said = "south was left out before training: its images are not there"
    known: dict[str, Any] = {
        "sandbox": "minimal",
        "tracked": {"run_id": "r", "mlflow_run": "m", "weights": "f"},
        "data": {"digest": "d", "test_digest": "t", "synthetic": True},
        "controls": MINIMAL.controls(),
        "numbers": {},
        "sent": {"north": {"epsilon": None}, "east": {"epsilon": None}},
        "threshold": {"value": 0.5, "hospitals": 0},
        "participants": ["north", "east"],
        "excluded": {"south": "its images are not there."},
        "shortfalls": [{"kind": "excluded", "hospital": "south", "said": said}],
        "test": {"images": 40, **figures(0.9)},
        "hospitals": {"north": {"images": 9, **figures(0.8)}},
        "seed": 3,
        "rounds": 2,
        "degraded": True,
        "created": "2026-01-01T00:00:00+00:00",
    }
    return known | changes


def test_a_record_tells_what_made_the_model(tmp_path: Path) -> None:
    record = version_record(an_admission(), a_model(tmp_path), a_report())
    assert record.weights_digest == hashlib.sha256(b"weights").hexdigest()
    assert (record.run_id, record.mlflow_run, record.final_digest) == ("r", "m", "f")
    assert (record.data_digest, record.common_test_digest) == ("d", "t")
    assert record.classes == ("normal", "pneumonia")
    assert record.figure("test", "auroc") == 0.9
    assert record.synthetic
    assert record.degraded
    assert record.code_version == code_version()
    assert (record.epsilon, record.epsilon_budget) == (None, None)
    assert ModelVersion.from_record(json.loads(json.dumps(record.as_record()))) == record


def test_whoever_was_not_there_all_the_time_is_absent_be_it_on_purpose(tmp_path: Path) -> None:
    record = version_record(an_admission(), a_model(tmp_path), a_report())
    said = "south was left out before training: its images are not there"
    assert record.absent == {"south": said}
    lost = [
        {"hospital": "east", "said": "east was missing in round 2: it died"},
        {"hospital": "east", "said": "east took part, but its evaluation is missing: it died"},
    ]
    purpose = {"south": "left out by the run's config"}
    on_purpose = a_report(excluded=purpose, shortfalls=lost)
    record = version_record(an_admission(), a_model(tmp_path), on_purpose)
    assert record.absent == {
        "east": f"{lost[0]['said']}; {lost[1]['said']}",
        "south": "south did not take part: left out by the run's config",
    }


def test_where_privacy_is_differential_the_record_tells_what_was_spent(tmp_path: Path) -> None:
    private = a_report(
        controls={"update_protection": "differential_privacy"},
        numbers={"update_protection": {"epsilon": 8.0}},
        sent={"north": {"epsilon": 3.0}, "east": {"epsilon": None}},
    )
    record = version_record(an_admission(), a_model(tmp_path), private)
    assert record.epsilon == {"north": 3.0, "east": None}
    assert record.epsilon_budget == 8.0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tracked": {"run_id": "r", "mlflow_run": "m", "weights": "older"}}, "weights older"),
        ({"data": {"digest": "x", "test_digest": "t", "synthetic": True}}, "not of the last model"),
        ({"tracked": {}}, "made by an earlier version"),
    ],
)
def test_a_report_of_another_model_is_refused(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    with pytest.raises(StorageError, match=said):
        version_record(an_admission(), a_model(tmp_path), a_report(**change))


def test_weights_that_are_gone_are_an_error_of_ours(tmp_path: Path) -> None:
    model = a_model(tmp_path) | {"final_weights": str(tmp_path / "none")}
    with pytest.raises(StorageError, match="weights cannot be read"):
        version_record(an_admission(), model, a_report())


def test_every_place_tells_a_difference_or_why_it_tells_none() -> None:
    bounds = {"value": -0.1, "low": -0.2, "high": 0.0}
    answers = {"north": {"images": 26, "differences": {"auroc": bounds}}}
    failed = {"east": WorkerFailed("A hospital's process ended"), "coordinator": WorkerFailed("no")}
    found = differences_of(answers, failed, NAMES, "auroc", has_common=True)
    assert found.hospitals == {
        "north": Difference(-0.1, -0.2, 0.0, 26),
        "east": "A hospital's process ended",
        "south": "it was not asked",
    }
    assert found.common == "no"
    assert differences_of(answers, {}, NAMES, "auroc", has_common=False).common is None


def test_other_code_has_another_version(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("1")
    first = code_version(tmp_path)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "a.pyc").write_text("compiled")
    assert code_version(tmp_path) == first
    (tmp_path / "a.py").write_text("2")
    assert code_version(tmp_path) != first
    assert first.startswith("0.1.0+")


@pytest.mark.slow
def test_a_run_registers_its_model_once_and_a_version_can_be_judged_anew(
    mlflow_tables: Path, tmp_path: Path, entries: dict[str, Any]
) -> None:
    bench = a_bench(mlflow_tables, tmp_path / "home")
    tracked, weights = bench.logged("r", 1)
    known_as = {"run_id": "r", "mlflow_run": tracked, "weights": "f"}
    values = {
        "federation_roster": an_admission().as_record() | {"common_test": None},
        "global_model": a_model(tmp_path) | {"final_weights": str(weights)},
        "evaluation_report": a_report(tracked=known_as),
    }
    for name, value in values.items():
        path = bench.home.artifacts / name / "minimal.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(value))
    roster = tmp_path / "roster.yaml"
    roster.write_text(yaml.safe_dump(entries))
    definitions = build_definitions(Settings(home=bench.home, roster=roster), read_roster(roster))
    job = definitions.resolve_job_def("federated_lifecycle")

    def register(**config: Any) -> tuple[dict[str, Any], AssetCheckEvaluation]:
        with DagsterInstance.local_temp(
            str(tmp_path), overrides={"telemetry": {"enabled": False}}
        ) as instance:
            result = job.execute_in_process(
                instance=instance,
                partition_key="minimal",
                asset_selection=[AssetKey("registered_model")],
                run_config={"ops": {"registered_model": {"config": config}}},
            )
        (check,) = result.get_asset_check_evaluations()
        return result.output_for_node("registered_model"), check

    first, check = register()
    assert (first["version"], first["champion"], first["passed"]) == (1, None, False)
    closed = {gate["name"] for gate in first["gates"] if not gate["passed"]}
    assert closed == {"posture", "quorum", "every_hospital"}
    assert not check.passed
    assert check.severity is AssetCheckSeverity.WARN
    assert "posture: the sandbox was never attacked" in str(check.description)
    assert "quorum: 1 of 3 hospitals: south was left out" in str(check.description)
    assert "south did not test it: south was left out before training" in str(check.description)
    assert bench.registry.challenger("minimal") == 1

    audit = bench.home.posture_record("minimal")
    audit.parent.mkdir(parents=True)
    audit.write_text(json.dumps(an_audit(MINIMAL)))
    again, _ = register()
    anew, _ = register(version=1)
    for told in (again, anew):
        assert told["version"] == 1
        assert {gate["name"] for gate in told["gates"] if not gate["passed"]} == UNTESTED
    assert bench.registry.versions("minimal") == [1]
    events = [event.event for event in bench.registry.history("minimal").events]
    assert events == ["registered", "judged", "judged", "judged"]


def run(place: Place, *arguments: str) -> None:
    process = place.start("fed_assets.cli", "run", place.sandbox, *arguments)
    told, errors = process.communicate(timeout=RUN_SECONDS)
    assert process.returncode == 0, told + errors


def serve(place: Place, version: int) -> ModelRegistry:
    """Has a version serve, if nothing has seen to that, and returns the registry."""
    registry = ModelRegistry(place.home)
    manifest = registry.folder(place.sandbox, version) / PACKAGE
    if not manifest.exists():
        manifest.parent.mkdir()
        manifest.write_text("{}")
    registry.promote(place.sandbox, version, "ann", "it is the first")
    return registry


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("sandbox", ["minimal", "eyes_off"])
def test_the_second_model_of_a_sandbox_is_compared_with_the_first_at_every_hospital(
    places: Path, real_data: Path, sandbox: str
) -> None:
    # Real images, of which two rounds learn enough to be better than a coin.
    data = {
        "source": {"kind": "medmnist", "path": str(real_data / "pneumoniamnist.npz")},
        "share": {"how": "iid"},
    }
    promotion = {"require_posture": False, "margin": 0.5, "hospital_margin": 0.5}
    made = make_place(places / f"two_{sandbox}", rounds=2, data=data, promotion=promotion)
    for path in (places / f"two_{sandbox}", *(places / f"two_{sandbox}").iterdir()):
        path.chmod(0o755 if path.is_dir() else 0o644)  # confined hospitals pass it
    place = replace(made, sandbox=sandbox)
    run(place)
    first = place.artifact("registered_model")
    assert (first["version"], first["champion"], first["passed"]) == (1, None, True)
    registry = serve(place, 1)
    assert registry.champion(sandbox) == 1

    run(place, "--job", "retrain", "--seed", "5")
    second = place.artifact("registered_model")
    assert (second["version"], second["champion"]) == (2, 1)
    assert registry.versions(sandbox) == [1, 2]
    assert registry.version(sandbox, 2).seed == 5
    gates = {gate["name"]: gate for gate in second["gates"]}
    reported = [registry.version(sandbox, each) for each in (1, 2)]
    one, other = (each.figure("test", "auroc") for each in reported)
    assert one is not None
    assert other is not None
    assert gates["overall"]["seen"] == pytest.approx(other - one)
    assert "624 images" in gates["overall"]["said"]
    every = gates["every_hospital"]
    told = [name for name in NAMES if reported[1].figure(name, "auroc") is not None]
    if sandbox == "minimal":
        assert told == [*NAMES]
        assert f"lowest of {len(told)} hospitals is " in every["said"]
        lost = [
            reported[1].figure(name, "auroc") - reported[0].figure(name, "auroc")  # type: ignore[operator]
            for name in told
        ]
        assert every["seen"] == pytest.approx(min(lost))
    else:
        for name in set(NAMES) - set(told):
            assert f"{name} tells nothing: its counts are too small" in every["said"]
        assert every["passed"] is (told == [*NAMES])
        assert list(place.home.shared(sandbox).glob("*.safetensors")) == []
    judged = registry.history(sandbox).judgement(2)
    assert judged is not None
    assert [*judged.gates] == second["gates"]
