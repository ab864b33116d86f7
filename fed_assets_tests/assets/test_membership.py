"""The attack on models of measured runs: whom it is measured at, and where it never is."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Thread, current_thread
from typing import Any

import numpy as np
import pytest
import yaml
from dagster import DagsterInstance, ExecuteInProcessResult, Failure

from fed_assets.assets.evaluation import COMMON_SEED, RESAMPLES
from fed_assets.assets.known_attacks import (
    ATTACK,
    NO_REFERENCES,
    OTHER_IMAGES,
    TOO_FEW,
    TOO_OLD,
    with_membership,
)
from fed_assets.assets.measurement import measurement
from fed_assets.assets.open_data import NOT_OPEN
from fed_assets.assets.open_sensitivity import (
    NO_FIGURE,
    NO_THRESHOLD,
    OTHER_FIGURE,
    open_sensitivity,
)
from fed_assets.comparison.loading import LIBRARIES, load_libraries
from fed_assets.definitions import build_definitions
from fed_assets.federation.roster import read_roster
from fed_assets.hospital.evaluation import evaluate
from fed_assets.hospital.files import Store
from fed_assets.resources.home import Home
from fed_assets.resources.settings import Settings
from fed_assets.sandboxes.presets import OPEN_DATA
from fed_assets_tests.assets.test_measurement import EFFORT, a_report, used
from fed_assets_tests.networks import SMALL_RESNET

HOSPITALS = ("north", "east", "south")
Run = Callable[..., ExecuteInProcessResult]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home").prepare()


@pytest.fixture
def run(tmp_path: Path, home: Home, entries: dict[str, Any]) -> Run:
    """Returns a function that executes a job in a scratch home."""

    def execute(job: str, **config: Any) -> ExecuteInProcessResult:
        roster = tmp_path / "roster.yaml"
        roster.write_text(yaml.safe_dump(entries))
        settings = Settings(home=home, roster=roster)
        definitions = build_definitions(settings, read_roster(roster))
        with DagsterInstance.ephemeral(tempdir=str(tmp_path / "instance")) as instance:
            return definitions.resolve_job_def(job).execute_in_process(
                instance=instance, run_config={"ops": config}
            )

    return execute


def keep_run(home: Home, references: dict[str, Any], **learned_from: str) -> dict[str, Any]:
    """Keeps, as what minimal came to, the model that learned from all open images."""
    weights = Path(references["seeds"]["0"]["weights"]) / "pooled.safetensors"
    model = {
        "final_digest": references["seeds"]["0"]["pooled"]["digest"],
        "network": SMALL_RESNET,
    }
    report = a_report()
    report["sent"] = {
        name: {**report["sent"]["north"], "dataset_digest": digest}
        for name, digest in {**references["digests"], **learned_from}.items()
    }
    record = measurement(report, model, run_id="r", wall_seconds=20.0, usage=used(), effort=EFFORT)
    path = home.measurement("minimal", 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record))
    home.measured_weights("minimal", 0).write_bytes(weights.read_bytes())
    return record


def compared(result: ExecuteInProcessResult) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns what is known of the one model, and its measurement as it was compared."""
    (model,) = result.output_for_node("membership_inference")["models"]
    (record,) = result.output_for_node("sandbox_comparison")["measurements"]
    return model, record


def test_runs_of_other_data_are_refused_or_left_out_and_named(run: Run, home: Home) -> None:
    for sandbox, digest in {"minimal": "of today", "eyes_on": "of yesterday"}.items():
        report = a_report()
        report |= {"sandbox": sandbox, "created": f"2026-11-2{len(sandbox)}T05:00:00+00:00"}
        report["data"] = {**report["data"], "digest": digest}
        model = {"final_digest": None, "network": SMALL_RESNET}
        usual = {"run_id": sandbox, "wall_seconds": 20.0, "usage": used(), "effort": EFFORT}
        path = home.measurement(sandbox, 0)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(measurement(report, model, **usual)))
    with pytest.raises(Failure, match=r"measured on different data.*`fed-assets compare`, which"):
        run("comparison")

    asked = {"config": {"leave_out_other_data": True}}
    found = run("comparison", sandbox_comparison=asked).output_for_node("sandbox_comparison")

    standings = {row["sandbox"]: row["standing"] for row in found["sandboxes"]}
    assert (standings["minimal"], standings["eyes_on"]) == ("not_audited", "not_measured")
    assert found["surroundings"]["other_data"] == [{"sandbox": "eyes_on", "seed": 0}]
    assert {"kind": "other_data_left_out", "sandboxes": ["eyes_on"]} in found["cautions"]
    page = (home.comparison / "comparison.html").read_text()
    assert "Runs were left out that were measured on other data than these: eyes_on." in page


@pytest.mark.long
def test_a_model_is_attacked_once_at_each_hospital_and_compared_by_that(
    run: Run, home: Home
) -> None:
    references = run("references").output_for_node("reference_models")
    keep_run(home, references)

    model, record = compared(run("comparison"))

    assert model["not_measured"] == {}
    assert model["network"] == SMALL_RESNET
    assert sorted(model["hospitals"]) == sorted(HOSPITALS)
    pooled = model["pooled"]
    assert pooled["members"] == sum(each["members"] for each in model["hospitals"].values())
    assert pooled["low"] <= pooled["value"] <= pooled["high"]
    shown = {name: pooled[name] for name in ("value", "low", "high")}
    assert record["security"]["membership_advantage"] == shown
    drawn = model["resampled"]["values"]["membership_advantage"]
    assert record["resampled_elsewhere"] == {
        "membership_advantage": {"of": model["resampled"]["of"], "values": drawn}
    }
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert (low, high) == pytest.approx((pooled["low"], pooled["high"]), abs=1e-6)
    assert all(
        of["membership_advantage"]["value"] is not None for of in record["hospitals"].values()
    )
    # Damage is attacked anew, and comes to the same.
    attacks = home.artifacts / "membership_inference.json"
    known = json.loads(attacks.read_text())
    known["models"][0]["pooled"]["value"] = 1.7
    attacks.write_text(json.dumps(known))
    assert compared(run("comparison")) == (model, record)
    # Once known it stands without the weights; with other ones it does not.
    home.measured_weights("minimal", 0).unlink()
    assert compared(run("comparison")) == (model, record)
    path = home.measurement("minimal", 0)
    other = json.loads(path.read_text())
    other["model"]["weights"] = "0" * 64
    path.write_text(json.dumps(other))
    model, record = compared(run("comparison"))
    assert model["pooled"] is None
    assert set(model["not_measured"]) == set(HOSPITALS)
    assert "weights cannot be read" in model["not_measured"]["north"]
    assert "membership_advantage" not in record["security"]


@pytest.mark.long
def test_the_worst_sensitivity_has_the_resamples_of_the_hospitals_own_figure_or_none(
    run: Run, home: Home
) -> None:
    references = run("references").output_for_node("reference_models")
    record = keep_run(home, references)
    told = {name: own_sensitivity(home, references, name) for name in HOSPITALS}
    worst = min(sorted(HOSPITALS), key=lambda name: told[name]["value"])  # of alike, the first
    for name in HOSPITALS:
        record["hospitals"][name]["sensitivity"] = told[name]
    record["quality"]["worst_sensitivity"] = told[worst]
    path = home.measurement("minimal", 0)
    path.write_text(json.dumps(record))

    model, compared_as = compared(run("comparison"))

    found = model["worst_sensitivity"]
    assert (found["hospital"], found["why_not"]) == (worst, None)
    values = found["resampled"]["values"]["sensitivity"]
    low, high = np.quantile([each for each in values if each is not None], [0.025, 0.975])
    assert (low, high) == pytest.approx((told[worst]["low"], told[worst]["high"]), abs=1e-6)
    shown = compared_as["resampled_elsewhere"]["worst_sensitivity"]
    assert shown == {"of": found["resampled"]["of"], "values": values}
    # Another threshold is another figure, and what stood there is not taken over.
    record["model"]["threshold"] = 0.999
    path.write_text(json.dumps(record))
    model, compared_as = compared(run("comparison"))
    assert model["worst_sensitivity"]["why_not"] == OTHER_FIGURE
    assert "worst_sensitivity" not in compared_as["resampled_elsewhere"]
    assert "membership_advantage" in compared_as["resampled_elsewhere"]


def own_sensitivity(home: Home, references: dict[str, Any], name: str) -> dict[str, Any]:
    """Returns what a hospital tells of the pooled reference on its own test images."""
    asked = {
        "weights": str(Path(references["seeds"]["0"]["weights"]) / "pooled.safetensors"),
        "network": SMALL_RESNET,
        "threshold": 0.5,
        "resamples": RESAMPLES,
        "seed": COMMON_SEED,
    }
    answer = evaluate(asked, Store(home.hospitals / name / OPEN_DATA.name))
    return dict(answer["metrics"]["sensitivity"])


@pytest.mark.parametrize(
    "changes, why_not",
    [
        ({"quality": {"worst_sensitivity": None}}, NO_FIGURE),
        ({"quality": {"worst_sensitivity": {"value": 0.2, "low": 0.1, "high": 0.3}}}, NO_FIGURE),
        ({"model": {"weights": "of weights"}}, NO_THRESHOLD),
        ({"model": {"weights": "of weights", "threshold": 0.5}}, OTHER_IMAGES),
    ],
)
def test_without_a_figure_of_open_images_no_resamples_are_asked_for(
    home: Home, changes: dict[str, Any], why_not: str
) -> None:
    record = a_record()
    record["hospitals"]["south"]["sensitivity"] = record["hospitals"]["north"]["sensitivity"]
    record["quality"]["worst_sensitivity"] = record["hospitals"]["north"]["sensitivity"]
    record |= changes
    is_open = {} if why_not == OTHER_IMAGES else {"north": "d"}
    closed = {"north": OTHER_IMAGES}
    nobody: Any = None  # who is asked fails
    found = open_sensitivity(record, None, is_open, closed, home, nobody)
    assert (found["resampled"], found["why_not"]) == (None, why_not)


def test_resamples_are_of_the_figure_that_stands_in_the_measurement_or_left_out() -> None:
    record = a_record()
    figure = record["hospitals"]["north"]["sensitivity"]
    record["quality"]["worst_sensitivity"] = figure
    resampled = {"of": "5a", "values": {"sensitivity": [0.8, 0.9, 1.0]}}
    known = {"figure": figure, "resampled": resampled, "why_not": None, "hospital": "north"}
    attacks = attacked(record, worst_sensitivity=known)
    told = with_membership(record, attacks)["resampled_elsewhere"]
    assert told == {"worst_sensitivity": {"of": "5a", "values": [0.8, 0.9, 1.0]}}
    record["quality"]["worst_sensitivity"] = {**figure, "value": 0.85}
    assert "resampled_elsewhere" not in with_membership(record, attacks)


@pytest.mark.long
def test_a_hospital_with_images_of_its_own_has_no_figure_and_says_why(
    run: Run, home: Home, entries: dict[str, Any]
) -> None:
    private = {"kind": "phantom", "images": 80, "test_images": 10, "size": 28, "seed": 7}
    entries["hospitals"][1]["source"] = private
    references = run("references").output_for_node("reference_models")
    keep_run(home, references, east="of east", south="of other images")

    model, record = compared(run("comparison"))

    assert list(model["hospitals"]) == ["north"]
    assert "not open" in model["not_measured"]["east"]
    assert "other images" in model["not_measured"]["south"]
    assert model["pooled"]["members"] == model["hospitals"]["north"]["members"]
    assert record["hospitals"]["east"]["membership_advantage"] is None
    assert record["hospitals"]["north"]["membership_advantage"]["value"] is not None
    assert not (home.hospitals / "east").exists()


@pytest.mark.long
def test_weights_that_are_not_the_measured_ones_have_no_figure(run: Run, home: Home) -> None:
    references = run("references").output_for_node("reference_models")
    keep_run(home, references)
    other = Path(references["seeds"]["0"]["weights"]) / "north.safetensors"
    home.measured_weights("minimal", 0).write_bytes(other.read_bytes())

    model, record = compared(run("comparison"))

    assert model["pooled"] is None
    assert "not those that were measured" in model["not_measured"]["north"]
    assert "membership_advantage" not in record["security"]


def test_without_references_or_kept_weights_there_is_no_figure_and_a_comparison_all_the_same(
    run: Run, home: Home
) -> None:
    path = home.measurement("minimal", 0)
    path.parent.mkdir(parents=True)
    report = a_report()
    model = {"final_digest": "of weights", "network": SMALL_RESNET}
    record = measurement(report, model, run_id="r", wall_seconds=1.0, usage=used(), effort=EFFORT)
    path.write_text(json.dumps(record))
    found, shown = compared(run("comparison"))
    assert set(found["not_measured"].values()) == {
        "what is open is not known: materialize reference_models first"
    }
    assert "membership_advantage" not in shown["security"]
    assert shown["not_measured"]["membership_advantage"] == "no_references"
    # What is damaged of attacks is attacked anew, and holds no comparison up.
    attacks = home.artifacts / "membership_inference.json"
    attacks.write_text("{")
    path.write_text(json.dumps({name: of for name, of in record.items() if name != "model"}))
    found, shown = compared(run("comparison"))
    assert json.loads(attacks.read_text())["models"] == [found]
    assert shown["not_measured"]["membership_advantage"] == "no_weights"
    assert set(found["not_measured"]) == {"north", "south"}
    assert all("an earlier version" in why for why in found["not_measured"].values())


def test_what_the_comparison_needs_is_loaded_beside_the_attacks_and_fails_with_it_alone(
    run: Run, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    loading: list[Thread] = []

    def load() -> None:
        loading.append(current_thread())
        raise ImportError

    monkeypatch.setattr("fed_assets.assets.membership.load_libraries", load)
    report = a_report()
    model = {"final_digest": None, "network": SMALL_RESNET}
    record = measurement(report, model, run_id="r", wall_seconds=20.0, usage=used(), effort=EFFORT)
    path = home.measurement("minimal", 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record))
    assert run("comparison").success
    (thread,) = loading
    assert thread is not current_thread()
    assert not thread.is_alive()


def test_what_a_comparison_loads_ahead_is_there() -> None:
    load_libraries()
    assert set(LIBRARIES) <= sys.modules.keys()


def attacked(record: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Returns what an attack on a record's model came to."""
    model = {"sandbox": record["sandbox"], "seed": record["seed"], **record["model"]}
    nothing: dict[str, Any] = {"pooled": None, "hospitals": {}, "not_measured": {}}
    nothing |= {"resampled": None, "worst_sensitivity": {"figure": None}}
    return {"attack": ATTACK, "models": [model | nothing | changes]}


def a_record() -> dict[str, Any]:
    model = {"final_digest": "of weights", "network": SMALL_RESNET}
    known: dict[str, Any] = {"run_id": "r", "wall_seconds": 1.0, "usage": used()}
    return measurement(a_report(), model, **known, effort=EFFORT)


@pytest.mark.parametrize(
    "told, word",
    [
        (TOO_OLD, "no_weights"),
        (NO_REFERENCES, "no_references"),
        (OTHER_IMAGES, "other_images"),
        (NOT_OPEN, "own_images"),
        (TOO_FEW, "too_few_images"),
        ("The weights cannot be read. Where: /there", "attack_failed"),
    ],
)
def test_a_run_without_a_figure_says_why_and_so_does_each_hospital(told: str, word: str) -> None:
    record = a_record()
    attacks = attacked(record, not_measured={"north": told, "south": told})
    found = with_membership(record, attacks)
    assert found["not_measured"] == {**record["not_measured"], "membership_advantage": word}
    assert "energy_joules" in record["not_measured"]
    assert found["hospitals"]["north"]["not_measured"] == {"membership_advantage": word}
    assert "membership_advantage" not in found["security"]


def test_a_model_that_nobody_attacked_yet_says_so() -> None:
    record = a_record()
    assert with_membership(record, None)["not_measured"]["membership_advantage"] == "not_attacked"
    other = attacked(record | {"model": record["model"] | {"weights": "of others"}})
    assert with_membership(record, other)["not_measured"]["membership_advantage"] == "not_attacked"
    del record["model"]
    assert with_membership(record, None)["not_measured"]["membership_advantage"] == "no_weights"


def test_one_hospital_without_a_figure_says_why_beside_the_others() -> None:
    record, figure = a_record(), {"value": 0.1, "low": 0.0, "high": 0.2, "members": 40}
    attacks = attacked(
        record, pooled=figure, hospitals={"north": figure}, not_measured={"south": NOT_OPEN}
    )
    found = with_membership(record, attacks)
    assert "membership_advantage" not in found["not_measured"]
    assert found["security"]["membership_advantage"]["value"] == 0.1
    assert found["hospitals"]["south"]["not_measured"] == {"membership_advantage": "own_images"}
    assert "not_measured" not in found["hospitals"]["north"]
