from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fed_assets.assets.comparison import measurements
from fed_assets.assets.measurement import measurement, overhead_seconds
from fed_assets.assets.security_record import with_security
from fed_assets.comparison.comparison import compare
from fed_assets.errors import StorageError
from fed_assets.resources.home import Home
from fed_assets.sandboxes.presets import SANDBOX_NAMES

INTERVAL = {"value": 0.9, "low": 0.8, "high": 1.0}
WITHHELD = {"value": None, "low": None, "high": None, "suppressed": True}
MODEL = {"final_digest": "of weights", "network": {"_target_": "torch.nn.Linear"}}
METRICS = ("auroc", "accuracy", "f1", "sensitivity", "expected_calibration_error")


def a_report(sandbox: str = "minimal", *, epsilon: float | None = None) -> dict[str, Any]:
    """Returns of a report what a measurement is made of: two hospitals, two rounds."""
    sent = {
        "rounds": 2,
        "examples": 40,
        "seconds": 3.0,
        "bytes_up": 100,
        "bytes_down": 110,
        "dataset_digest": "of north",
        "epsilon": epsilon,
        "delta": None if epsilon is None else 1e-5,
    }
    metrics = dict.fromkeys(METRICS, INTERVAL)
    return {
        "sandbox": sandbox,
        "seed": 0,
        "rounds": 2,
        "created": "2026-01-01T00:00:00+00:00",
        "data": {"name": "x", "digest": "d", "synthetic": True, "classes": ["a", "b"]},
        "machine": {"cores": 2},
        "versions": {"fed_assets": "0.1.0"},
        "degraded": False,
        "resumed_from": None,
        "controls": {"transport": "mtls", "aggregation": "fedavg"},
        "seconds": 9.0,
        "sent": {
            "north": sent,
            "south": {**sent, "bytes_up": 50, "dataset_digest": "of south"},
        },
        "round_records": [
            {"seconds": 2.0, "participants": {"north": {"seconds": 1.5}, "south": {"seconds": 1.5}}}
            for _ in range(2)
        ],
        "test": {"images": 10, **metrics},
        "hospitals": {"north": metrics, "south": {**metrics, "sensitivity": WITHHELD}},
        "worst": {"sensitivity": "north"},
    }


def a_posture(**changes: Any) -> dict[str, Any]:
    return {
        "controls": {"transport": "mtls", "aggregation": "trimmed_mean"},
        "keeps_its_word": True,
        "at_rest": 3,
        "in_transit": 4,
        "in_use": 1,
        "probes": [{"outcome": "passed"}, {"outcome": "passed"}, {"outcome": "inconclusive"}],
        **changes,
    }


def measured(**changes: Any) -> dict[str, Any]:
    return measurement(a_report(**changes), MODEL, run_id="r", wall_seconds=20.0, cpu_seconds=30.0)


def test_a_run_is_measured_by_what_it_sent_took_and_reached() -> None:
    record = measured()
    assert record["efficiency"] == {
        "wall_seconds": 20.0,
        "cpu_seconds": 30.0,
        "bytes_up": 150,
        "bytes_down": 220,
        "startup_seconds": 5.0,
        "round_overhead_seconds": 0.5,
    }
    assert record["quality"]["calibration_error"] == INTERVAL
    assert record["quality"]["worst_sensitivity"] == INTERVAL
    assert record["hospitals"]["south"]["sensitivity"] is None
    assert record["hospitals"]["south"]["train_seconds"] == 3.0
    assert record["model"] == {
        "weights": "of weights",
        "network": {"_target_": "torch.nn.Linear"},
        "learned_from": {"north": "of north", "south": "of south"},
    }


def test_no_budget_is_no_bound_and_the_largest_spent_stands_for_all() -> None:
    assert measured()["security"] == {"epsilon": None, "delta": None}
    report = a_report(epsilon=8.0)
    report["sent"]["south"]["epsilon"] = 3.0
    record = measurement(report, MODEL, run_id="r", wall_seconds=None, cpu_seconds=None)
    assert record["security"] == {"epsilon": 8.0, "delta": 1e-5}
    report["sent"]["south"]["epsilon"] = None
    record = measurement(report, MODEL, run_id="r", wall_seconds=None, cpu_seconds=None)
    assert record["security"]["epsilon"] is None
    assert record["efficiency"]["wall_seconds"] is None


def test_what_is_beyond_the_hospitals_work_depends_on_how_many_work_at_once() -> None:
    rounds = a_report()["round_records"]
    assert overhead_seconds(rounds, processors=1) == -1.0
    assert overhead_seconds(rounds, processors=64) == 0.5
    assert overhead_seconds([], processors=1) is None


def test_an_audit_adds_levels_and_probes_and_what_was_measured_of_controls() -> None:
    record = with_security(measured(), a_posture())
    security = record["security"]
    assert (security["keeps_its_word"], security["at_rest"], security["in_use"]) == (True, 3, 1)
    assert security["probes"] == {"passed": 2, "failed": 0, "inconclusive": 1}
    assert record["controls"]["transport"]["measured"] == "in_transit 4 of 4"
    assert record["controls"]["aggregation"]["measured"] is None


@pytest.mark.parametrize("posture", [None, a_posture(controls={"transport": "clear"})])
def test_no_audit_or_one_of_other_controls_says_nothing(posture: dict[str, Any] | None) -> None:
    security = with_security(measured(), posture)["security"]
    assert security["keeps_its_word"] is None
    assert "at_rest" not in security


def test_what_was_measured_is_found_again_with_audit_and_gain(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert list(measurements(home)) == []
    path = home.measurement("minimal", 0)
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(measured()))
    home.posture("minimal").mkdir(parents=True)
    (home.posture("minimal") / "posture.json").write_text(json.dumps(a_posture()))
    alone = {"north": {"test": {"auroc": {"value": 0.7}}}}
    references = {"seeds": {"0": {"alone": alone}}}
    (home.artifacts / "reference_models.json").write_text(json.dumps(references))

    (record,) = measurements(home)

    assert record["hospitals"]["north"]["gain_auroc"] == pytest.approx(0.2)
    assert "gain_auroc" not in record["hospitals"]["south"]
    comparison = compare([record], sandboxes=SANDBOX_NAMES)
    standings = {each["sandbox"]: each["standing"] for each in comparison.sandboxes}
    assert standings.pop("minimal") == "may_win"
    assert set(standings.values()) == {"not_measured"}


def test_a_damaged_measurement_is_named(tmp_path: Path) -> None:
    path = Home(tmp_path).measurement("minimal", 0)
    path.parent.mkdir(parents=True)
    path.write_text("{")
    with pytest.raises(StorageError, match=r"seed_0\.json"):
        list(measurements(Home(tmp_path)))
