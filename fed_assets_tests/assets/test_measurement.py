from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fed_assets.assets.comparison import measurements, wanted_of
from fed_assets.assets.effort import effort_of
from fed_assets.assets.measurement import measurement, overhead_seconds, usage_of, used_by
from fed_assets.assets.security_record import with_security
from fed_assets.comparison.comparison import compare
from fed_assets.comparison.features import MEASURED_BY
from fed_assets.errors import StorageError
from fed_assets.federation.averaging import Averaging
from fed_assets.federation.roster import read_roster
from fed_assets.posture.ladders import LADDERS
from fed_assets.resources.home import Home
from fed_assets.resources.prices import read_prices
from fed_assets.resources.settings import SHIPPED_ROSTER, Settings
from fed_assets.sandboxes.controls import Transport
from fed_assets.sandboxes.presets import CONFIDENTIAL_VM, EYES_OFF, MINIMAL, SANDBOX_NAMES
from fed_assets_tests.sentences import said_of
from fed_assets_tests.stored_records import an_audit

INTERVAL = {"value": 0.9, "low": 0.8, "high": 1.0}
WITHHELD = {"value": None, "low": None, "high": None, "suppressed": True}
LEARNING = {"network": {"_target_": "net"}, "recipe": {"batch_size": 32}, "threshold": 0.5}
EFFORT = {"setup_seconds": 4.0, "manual_steps": 0, "steps": []}
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
        "epsilon": epsilon,
        "delta": None if epsilon is None else 1e-5,
        "dataset_digest": "north's images",
    }
    metrics = dict.fromkeys(METRICS, INTERVAL)
    return {
        "sandbox": sandbox,
        "seed": 0,
        "rounds": 2,
        "created": "2026-01-01T00:00:00+00:00",
        "data": {
            "name": "x",
            "digest": "d",
            "test_digest": "t",
            "synthetic": True,
            "classes": ["a", "b"],
        },
        "reference_learning": LEARNING,
        "machine": {"cores": 2},
        "versions": {"fed_assets": "0.1.0"},
        "degraded": False,
        "resumed_from": None,
        "controls": {"transport": "mtls", "aggregation": "fedavg"},
        "seconds": 9.0,
        "sent": {
            "north": sent,
            "south": {**sent, "bytes_up": 50, "dataset_digest": "south's images"},
        },
        "round_records": [
            {"seconds": 2.0, "participants": {"north": {"seconds": 1.5}, "south": {"seconds": 1.5}}}
            for _ in range(2)
        ],
        "test": {"images": 10, **metrics},
        "hospitals": {"north": metrics, "south": {**metrics, "sensitivity": WITHHELD}},
        "worst": {"sensitivity": "north"},
        "threshold": {"value": 0.5, "hospitals": 0},
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


def told_by_meter() -> dict[str, Any]:
    """Returns what a meter tells of two hospitals, of which one ran a task too."""

    def row(site: str | None, program: str, seconds: float, peak: int) -> dict[str, Any]:
        cost = {"cpu_seconds": seconds, "peak_memory_bytes": peak}
        return {"site": site, "program": program, "processes": 1, **cost}

    return {
        "cpu_seconds": 30.0,
        "peak_memory_bytes": 2_000_000_000,
        "energy_joules": None,
        "sites": {"north": 5.0, "south": 4.0, "server": 2.0},
        "processes": [
            row(None, "run", 6.0, 200),
            row("north", "client", 1.0, 400),
            row("north", "client_job", 3.5, 600),
            row("south", "client", 1.0, 500),
            row("north", "task", 1.5, 700),
        ],
        "not_measured": {"energy_joules": "no_counters"},
        "meter": {"cpu_seconds": 0.1, "seconds": 20.0, "looks": 20, "readings": 3},
    }


def used(*, own_federation: bool = True) -> dict[str, Any]:
    return usage_of(told_by_meter(), own_federation=own_federation)


def measured(**changes: Any) -> dict[str, Any]:
    return measurement(
        a_report(**changes), MODEL, run_id="r", wall_seconds=20.0, usage=used(), effort=EFFORT
    )


def test_the_worst_hospital_counts_where_every_hospital_tells_its_own() -> None:
    report = a_report()
    report["hospitals"]["south"] = report["hospitals"]["north"]
    told = {"run_id": "r", "wall_seconds": 20.0, "usage": used(), "effort": EFFORT}
    assert measurement(report, MODEL, **told)["quality"]["worst_sensitivity"] == INTERVAL


def test_a_run_is_measured_by_what_it_sent_took_and_reached() -> None:
    record = measured()
    assert record["efficiency"] == {
        "wall_seconds": 20.0,
        "cpu_seconds": 30.0,
        "peak_memory_bytes": 2_000_000_000,
        "energy_joules": None,
        "bytes_up": 150,
        "bytes_down": 220,
        "startup_seconds": 5.0,
        "round_overhead_seconds": 0.5,
    }
    assert record["quality"]["calibration_error"] == INTERVAL
    assert record["quality"]["worst_sensitivity"] is None, "south withholds its own"
    assert record["not_measured"]["worst_sensitivity"] == "withheld"
    assert record["hospitals"]["south"]["sensitivity"] is None
    assert record["hospitals"]["south"]["train_seconds"] == 3.0
    assert record["model"] == {
        "weights": "of weights",
        "network": {"_target_": "torch.nn.Linear"},
        "threshold": 0.5,
        "learned_from": {"north": "north's images", "south": "south's images"},
    }


def test_resamples_of_the_common_images_are_kept_as_the_comparison_calls_them() -> None:
    assert measured()["resampled"] is None
    told = {"of": "5a", "values": {"auroc": [0.9], "expected_calibration_error": [0.1]}}
    kept: dict[str, Any] = {"run_id": "r", "wall_seconds": 20.0, "usage": used(), "effort": EFFORT}
    record = measurement(a_report(), MODEL, **kept, resampled=told)
    assert record["resampled"] == {
        "of": "5a",
        "values": {"auroc": [0.9], "calibration_error": [0.1]},
    }


def test_no_budget_is_no_bound_and_the_largest_spent_stands_for_all() -> None:
    assert measured()["security"] == {"epsilon": None, "delta": None}
    report = a_report(epsilon=8.0)
    report["sent"]["south"]["epsilon"] = 3.0
    known: dict[str, Any] = {"run_id": "r", "wall_seconds": None, "effort": EFFORT}
    record = measurement(report, MODEL, usage=used(), **known)
    assert record["security"] == {"epsilon": 8.0, "delta": 1e-5}
    report["sent"]["south"]["epsilon"] = None
    record = measurement(report, MODEL, usage=used(), **known)
    assert record["security"]["epsilon"] is None
    assert record["efficiency"]["wall_seconds"] is None


def test_what_is_beyond_the_hospitals_work_depends_on_how_many_work_at_once() -> None:
    rounds = a_report()["round_records"]
    assert overhead_seconds(rounds, processors=1) == -1.0
    assert overhead_seconds(rounds, processors=64) == 0.5
    assert overhead_seconds([], processors=1) is None


def test_each_hospital_has_its_own_time_and_its_largest_process() -> None:
    own = {name: used_by(name, used(), shared=False) for name in ("north", "south")}
    assert own["north"] == {"cpu_seconds": 5.0, "peak_memory_bytes": 700}
    assert own["south"] == {"cpu_seconds": 4.0, "peak_memory_bytes": 500}
    # Where one site's processes act for all, its tasks are none of its site's.
    assert used_by("north", used(), shared=True)["cpu_seconds"] == 6.5
    record = measured()
    assert record["hospitals"]["north"]["cpu_seconds"] == 5.0
    assert record["processes"] == used()["processes"]
    report = a_report()
    report["controls"]["process"] = "shared"
    record = measurement(report, MODEL, run_id="r", wall_seconds=1.0, usage=used(), effort=EFFORT)
    assert record["hospitals"]["north"]["cpu_seconds"] == 6.5


def test_what_was_not_measured_is_null_and_says_why() -> None:
    withheld = {"worst_sensitivity": "withheld"}  # south tells none of its own
    assert measured()["not_measured"] == {"energy_joules": "no_counters"} | withheld
    alone = usage_of(None, own_federation=True)
    assert alone["cpu_seconds"] > 0
    assert set(alone["not_measured"].values()) == {"not_watched"}
    effort = EFFORT | {"setup_seconds": None}
    for usage in (used(own_federation=False), usage_of(None, own_federation=False)):
        record = measurement(
            a_report(), MODEL, run_id="r", wall_seconds=20.0, usage=usage, effort=effort
        )
        figures = record["efficiency"]
        assert figures["cpu_seconds"] is None and figures["peak_memory_bytes"] is None
        assert record["not_measured"]["cpu_seconds"] == "federation_was_up"
        unknown = {"cpu_seconds": None, "peak_memory_bytes": None}
        assert record["hospitals"]["north"].items() >= unknown.items()
        compare([record], sandboxes=SANDBOX_NAMES)


def test_effort_is_the_time_of_walls_and_federation_and_the_steps_by_hand() -> None:
    roster = read_roster(SHIPPED_ROSTER)
    timings = {"provision": 1.0, "processes": 2.0, "start": 3.0, "submit": 0.5, "job": 40.0}
    effort = effort_of(EYES_OFF, roster, walls_seconds=0.5, timings=timings)
    assert (effort["setup_seconds"], effort["manual_steps"]) == (6.5, 1)
    assert [step["kind"] for step in effort["steps"]] == ["allow_walls"]
    assert effort_of(MINIMAL, roster, walls_seconds=0.0, timings=timings)["steps"] == []
    effort = effort_of(CONFIDENTIAL_VM, roster, walls_seconds=0.5, timings=timings)
    assert effort["manual_steps"] == 1 + len(roster.hospitals) + 1
    # A federation that was up before was not set up by the run.
    warm = {"submit": 0.5, "job": 40.0}
    assert effort_of(MINIMAL, roster, walls_seconds=0.0, timings=warm)["setup_seconds"] is None


def test_an_audit_adds_levels_and_probes_and_what_was_measured_of_controls() -> None:
    record = with_security(measured(), a_posture())
    security = record["security"]
    assert (security["keeps_its_word"], security["at_rest"], security["in_use"]) == (True, 3, 1)
    assert security["probes"] == {"passed": 2, "failed": 0, "inconclusive": 1}
    assert record["controls"]["transport"]["measured"] == {
        "ladder": "in_transit",
        "level": 4,
        "highest": 4,
    }
    assert record["controls"]["aggregation"]["measured"] is None
    assert security["audit"] == "made"
    assert set(MEASURED_BY.values()) == set(LADDERS)


@pytest.mark.parametrize(
    "posture, audit",
    [(None, "none"), (a_posture(controls={"transport": "clear"}), "of_other_controls")],
)
def test_no_audit_or_one_of_other_controls_says_that_alone(
    posture: dict[str, Any] | None, audit: str
) -> None:
    security = with_security(measured(), posture)["security"]
    assert security["keeps_its_word"] is None
    assert security["audit"] == audit
    assert "at_rest" not in security


def references(**changes: Any) -> dict[str, Any]:
    """Returns references of the kind of `a_report`, of which one was trained alone."""
    tested = {"auroc": {"value": 0.7, "low": 0.6, "high": 0.8}, "accuracy": INTERVAL}
    model = {"test": tested, "own": {}}
    return {
        "rounds": 2,
        "learning": LEARNING,
        "test_digest": "t",
        "digests": {"north": "north's images"},
        "left_out": {},
        "seeds": {"0": {"pooled": model, "alone": {"north": model}}},
        **changes,
    }


@pytest.fixture
def kept(tmp_path: Path) -> Home:
    """Returns a home with a measurement of minimal, its audit, and references of its kind."""
    home = Home(tmp_path)
    path = home.measurement("minimal", 0)
    path.parent.mkdir(parents=True)
    mtls = MINIMAL.model_copy(update={"transport": Transport.MTLS})
    controls = {name: {"declared": value} for name, value in mtls.controls().items()}
    path.write_text(json.dumps(measured() | {"controls": controls}))
    home.posture("minimal").mkdir(parents=True)
    home.posture_record("minimal").write_text(json.dumps(an_audit(mtls)))
    (home.artifacts / "reference_models.json").write_text(json.dumps(references()))
    return home


def test_what_was_measured_is_found_again_with_audit_and_gain(tmp_path: Path, kept: Home) -> None:
    prices = read_prices()
    assert list(measurements(Home(tmp_path / "elsewhere"), prices, {})) == []

    (record,) = measurements(kept, prices, {})

    controls = {"transport": "mtls", "aggregation": "fedavg"}
    assert record["efficiency"]["cost"] == prices.cost(record["efficiency"], controls) > 0
    assert record["prices"]["example"] and "cost" not in record["not_measured"]
    assert record["hospitals"]["north"]["gain_auroc"] == pytest.approx(0.2)
    assert "gain_auroc" not in record["hospitals"]["south"]
    assert record["references"]["pooled"]["auroc"]["value"] == 0.7
    assert list(record["references"]["alone"]) == ["north"]
    comparison = compare([record], sandboxes=SANDBOX_NAMES)
    standings = {each["sandbox"]: each["standing"] for each in comparison.sandboxes}
    assert standings.pop("minimal") == "may_win"
    assert set(standings.values()) == {"not_measured"}
    over_pooled = comparison.references["gains"][1]
    assert (over_pooled["against"], over_pooled["value"]) == ("pooled", pytest.approx(0.2))


def test_references_of_another_kind_give_no_gain(kept: Home) -> None:
    other = references(digests={"north": "other images"})
    (kept.artifacts / "reference_models.json").write_text(json.dumps(other))

    (record,) = measurements(kept, read_prices(), {})

    assert record["references"] == {"why_not": "images", "private": False}
    assert "gain_auroc" not in record["hospitals"]["north"]


def test_a_run_of_another_roster_is_compared_with_a_caution_in_each_sentence(kept: Home) -> None:
    roster = read_roster(SHIPPED_ROSTER)
    wanted = wanted_of(roster, Settings(home=kept))
    assert set(wanted) == set(SANDBOX_NAMES)

    (record,) = measurements(kept, read_prices(), wanted)

    assert {"part": "rounds", "measured": 2, "asked": 15} in record["otherwise"]
    comparison = compare([record], sandboxes=SANDBOX_NAMES)
    for of in comparison.profiles.values():
        said = "Measured with 2 rounds where the roster asks for 15: minimal"
        assert said in said_of(of)
        assert "Medido con 2 rondas cuando la lista de" in said_of(of, "es")


def test_of_a_sandbox_that_cannot_go_with_the_roster_nothing_is_asked(tmp_path: Path) -> None:
    refined = read_roster(SHIPPED_ROSTER).model_copy(
        update={"aggregation": Averaging(rule="fedprox")}
    )
    wanted = wanted_of(refined, Settings(home=Home(tmp_path)))
    # The shipped configurable sandbox promises a trimmed mean, which no roster takes back.
    assert set(wanted) == set(SANDBOX_NAMES) - {"configurable"}
    assert wanted["minimal"]["controls"]["values"]["aggregation"] == "fedprox"


def test_a_damaged_measurement_is_named(tmp_path: Path) -> None:
    path = Home(tmp_path).measurement("minimal", 0)
    path.parent.mkdir(parents=True)
    path.write_text("{")
    with pytest.raises(StorageError, match=r"seed_0\.json"):
        list(measurements(Home(tmp_path), read_prices(), {}))


def test_a_run_of_which_something_is_not_known_has_no_cost(tmp_path: Path) -> None:
    home = Home(tmp_path)
    path = home.measurement("minimal", 0)
    path.parent.mkdir(parents=True)
    usage = usage_of(None, own_federation=True)
    record = measurement(
        a_report(), MODEL, run_id="r", wall_seconds=20.0, usage=usage, effort=EFFORT
    )
    path.write_text(json.dumps(record))
    (record,) = measurements(home, read_prices(), {})
    assert record["efficiency"]["cost"] is None
    assert record["not_measured"]["cost"] == "not_all_measured"
