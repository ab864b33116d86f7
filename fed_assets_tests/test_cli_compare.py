from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from fed_assets.assets.stored_references import reference_value
from fed_assets.automation.jobs import JOBS
from fed_assets.cli.compare import COMPARE, STOPPING, show_comparison
from fed_assets.cli.comparison_steps import comparing, missing_steps, wanted_seeds
from fed_assets.cli.step import Step
from fed_assets.cli.stored_results import require_comparable, require_made_anew, stored_results
from fed_assets.cli.time_left import USUAL
from fed_assets.comparison.profiles import shipped_profiles
from fed_assets.errors import MeasurementError, RunConfigError, StorageError
from fed_assets.federation.roster import Roster
from fed_assets.reporting.comparison_words import page_words
from fed_assets.resources.home import Home
from fed_assets.resources.jobs import AUDIT, LIFECYCLE, REFERENCES
from fed_assets.resources.prices import SHIPPED_PRICES
from fed_assets.sandboxes.presets import EYES_OFF, EYES_ON, MINIMAL
from fed_assets.sandboxes.sandbox import Sandbox
from fed_assets_tests.leftovers import seconds_until_clean
from fed_assets_tests.places import make_place
from fed_assets_tests.reporting.comparisons import measurements, own_profile, record_of
from fed_assets_tests.stored_records import (
    DATA,
    ROSTER,
    a_model,
    a_run,
    an_audit,
    attacks,
    keep,
    references,
)

OTHER = "d2" * 32  # of what hospitals are asked to make of which images


def test_the_rosters_seeds_come_first_and_each_once() -> None:
    roster = ROSTER.model_copy(update={"seeds": (7, 1)})
    assert wanted_seeds(roster, 1) == [7]
    assert wanted_seeds(roster, 4) == [7, 1, 0, 2]
    with pytest.raises(RunConfigError, match=r"101.*Give --seeds a number from 1 to 100"):
        wanted_seeds(roster, 101)


def steps_for(
    home: Home,
    roster: Roster,
    sandboxes: Sequence[Sandbox],
    seeds: Sequence[int],
    *,
    again: bool,
    data: str | None = None,
) -> list[Step]:
    known = stored_results(home, roster, sandboxes, data)
    return missing_steps(known, roster, sandboxes, seeds, again=again, data=data)


def test_what_is_there_is_not_run_again_unless_it_is_asked_for(tmp_path: Path) -> None:
    home, both = Home(tmp_path), [MINIMAL, EYES_ON]
    everything = steps_for(home, ROSTER, both, [0, 1], again=False)
    # References come before the runs, whose reports are compared with them.
    assert everything == [
        *(Step(AUDIT, each.name) for each in both),
        Step(REFERENCES),
        *(Step(LIFECYCLE, each.name, seed) for seed in (0, 1) for each in both),
    ]
    keep(home.posture("minimal") / "posture.json", an_audit(MINIMAL))
    keep(home.measurement("eyes_on", 1), a_run(EYES_ON, seed=1))
    keep(home.artifacts / "reference_models.json", references())
    left = steps_for(home, ROSTER, both, [0, 1], again=False)
    assert set(everything) - set(left) == {
        Step(AUDIT, "minimal"),
        Step(LIFECYCLE, "eyes_on", 1),
        Step(REFERENCES),
    }
    assert not any(step.again for step in left)
    assert steps_for(home, ROSTER, both, [0, 1], again=True) == everything
    assert Step(REFERENCES) in steps_for(home, ROSTER, both, [0, 1, 2], again=False)
    home.measurement("eyes_on", 1).write_text("{")  # damaged: it is measured anew
    assert Step(LIFECYCLE, "eyes_on", 1) in steps_for(home, ROSTER, both, [1], again=False)


@pytest.mark.parametrize(
    "change, why",
    [
        ({"rounds": 3}, "Measured with 3 rounds where the roster asks for 15: minimal."),
        (
            {"model": a_model({"_target_": "other"})},
            "Measured with another network than is asked for now: minimal.",
        ),
        (
            {"trained_with": {"recipe": {"learning_rate": 0.5}}},
            "Measured with another recipe than is asked for now: minimal.",
        ),
        (
            {"controls": {"transport": {"declared": "mtls"}}},
            "Measured with other controls than the sandbox has now: minimal.",
        ),
    ],
)
def test_a_run_of_another_roster_is_run_again_and_says_why(
    tmp_path: Path, change: dict[str, Any], why: str
) -> None:
    home = Home(tmp_path)
    keep(home.posture("minimal") / "posture.json", an_audit(MINIMAL))
    keep(home.artifacts / "reference_models.json", references())
    keep(home.measurement("minimal", 0), a_run(MINIMAL))
    assert steps_for(home, ROSTER, [MINIMAL], [0], again=False) == []
    keep(home.measurement("minimal", 0), a_run(MINIMAL, **change))
    (step,) = steps_for(home, ROSTER, [MINIMAL], [0], again=False)
    assert step == Step(LIFECYCLE, "minimal", 0)
    assert [page_words("en").caution(each) for each in step.again] == [why]
    assert page_words("es").caution(step.again[0]).startswith("Medido con ")


def test_an_audit_of_other_controls_is_made_again_and_says_why(tmp_path: Path) -> None:
    home = Home(tmp_path)
    of_minimal = MINIMAL.model_copy(update={"name": "eyes_on"})
    keep(home.posture_record("eyes_on"), an_audit(of_minimal))
    keep(home.artifacts / "reference_models.json", references())
    keep(home.measurement("eyes_on", 0), a_run(EYES_ON))
    (step,) = steps_for(home, ROSTER, [EYES_ON], [0], again=False)
    assert step == Step(AUDIT, "eyes_on")
    assert page_words("en").caution(step.again[0]) == (
        "Audited with other controls than the sandbox has now: eyes_on."
    )
    # Pictures in the UI change nothing of what an audit attempts.
    keep(home.posture("eyes_on") / "posture.json", an_audit(EYES_ON))
    blind = EYES_ON.model_copy(update={"previews": False})
    assert Step(AUDIT, "eyes_on") not in steps_for(home, ROSTER, [blind], [0], again=False)


def test_runs_of_another_roster_of_data_are_made_anew_and_say_why(tmp_path: Path) -> None:
    home, both = Home(tmp_path), [MINIMAL, EYES_ON]
    for each in both:
        keep(home.posture_record(each.name), an_audit(each))
        keep(home.measurement(each.name, 0), a_run(each))
    keep(home.artifacts / "reference_models.json", references())
    assert steps_for(home, ROSTER, both, [0], again=False, data=DATA) == []
    assert steps_for(home, ROSTER, both, [0], again=False, data=None) == []  # it cannot be told
    steps = steps_for(home, ROSTER, both, [0], again=False, data=OTHER)
    lifecycles = [Step(LIFECYCLE, each.name, 0) for each in both]
    assert steps == [Step(REFERENCES), *lifecycles]
    said = page_words("en").caution(steps[1].again[0])
    assert said == (
        "Measured on other data than the roster names now, or than the newest runs: minimal."
    )
    assert page_words("es").caution(steps[1].again[0]).startswith("Medido con otros datos")
    # What did not record it is not held against it.
    keep(home.measurement("eyes_on", 0), a_run(EYES_ON, trained_with={}))
    again = steps_for(home, ROSTER, [EYES_ON], [0], again=False, data=OTHER)
    assert again == [Step(REFERENCES)]


def test_what_learned_from_other_images_than_the_newest_run_is_made_anew(tmp_path: Path) -> None:
    """The roster may be the same, and a file's content another."""
    home, three = Home(tmp_path), [MINIMAL, EYES_ON, EYES_OFF]
    other = {"name": "chest", "digest": "6f" * 32, "test_digest": "4f" * 32, "synthetic": False}
    for each in three:
        keep(home.posture_record(each.name), an_audit(each))
        keep(home.measurement(each.name, 0), a_run(each))
    newest = {"data": other, "created": "2026-11-27T06:00:00+00:00"}
    keep(home.measurement("eyes_off", 0), a_run(EYES_OFF, **newest))
    keep(home.artifacts / "reference_models.json", references())
    steps = steps_for(home, ROSTER, three, [0], again=False, data=DATA)
    assert steps == [Step(LIFECYCLE, "minimal", 0), Step(LIFECYCLE, "eyes_on", 0)]
    assert {each["kind"] for step in steps for each in step.again} == {"other_data"}
    # A run without all hospitals decides nothing, however new it is.
    keep(home.measurement("eyes_off", 0), a_run(EYES_OFF, degraded=True, **newest))
    steps = steps_for(home, ROSTER, three, [0], again=False, data=DATA)
    assert steps == [Step(LIFECYCLE, "eyes_off", 0)]


def test_runs_of_different_data_are_refused_as_they_are_stored_with_a_cure_that_works(
    tmp_path: Path,
) -> None:
    home, both = Home(tmp_path), [MINIMAL, EYES_ON]
    keep(home.measurement("minimal", 0), a_run(MINIMAL, trained_with={"data": OTHER}))
    keep(home.measurement("eyes_on", 0), a_run(EYES_ON))
    require_comparable(
        stored_results(home, ROSTER, both, DATA), home
    )  # but for the words, it is one
    of_old = {"name": "chest", "digest": "6f" * 32, "test_digest": "4f" * 32, "synthetic": False}
    old = a_run(MINIMAL, trained_with={"data": OTHER}, data=of_old, created="2026-11-27T06:00:00")
    keep(home.measurement("minimal", 0), old)
    with pytest.raises(MeasurementError) as refused:
        require_comparable(stored_results(home, ROSTER, both, DATA), home)
    said = str(refused.value)
    assert "minimal (seed 0) not on the data of eyes_on (seed 0)" in said
    assert "without `--stored`" in said and "minimal/seed_0.json" in said
    # What the cure names does it: that very run is made anew, or it is removed.
    keep(home.posture_record("minimal"), an_audit(MINIMAL))
    keep(home.posture_record("eyes_on"), an_audit(EYES_ON))
    keep(home.artifacts / "reference_models.json", references())
    steps = steps_for(home, ROSTER, both, [0], again=False, data=DATA)
    assert steps == [Step(LIFECYCLE, "minimal", 0)]
    home.measurement("minimal", 0).unlink()
    require_comparable(stored_results(home, ROSTER, both, DATA), home)


@pytest.mark.parametrize(
    "change, seen",
    [
        (
            {"quality": {"auroc": {"value": 1.7, "low": 0.9, "high": 1.8}}},
            "A value of auroc is from 0 to 1: auroc of minimal, seed 0: 1.7",
        ),
        (
            {"quality": {"auroc": {"value": 0.535, "low": 0.9, "high": 0.95}}},
            "A value is not within its interval: auroc of minimal, seed 0: 0.535, and 0.9 to 0.95",
        ),
        (
            {"resampled": {"of": "5a", "values": {"auroc": [5.0, 14.99]}}},
            "A value of auroc is from 0 to 1: auroc of minimal, seed 0: 5",
        ),
        ({"efficiency": {"wall_seconds": -5}}, "wall_seconds of minimal, seed 0: -5"),
        ({"seed": 3}, "It is another run's: minimal, seed 3"),
        ({"hospitals": {"hospital_01": 3}}, "hospitals.hospital_01: 3, and not an object"),
    ],
)
def test_a_value_that_cannot_be_is_damage_which_is_made_anew_or_named_by_its_file(
    tmp_path: Path, change: dict[str, Any], seen: str
) -> None:
    home = Home(tmp_path)
    keep(home.posture_record("minimal"), an_audit(MINIMAL))
    keep(home.artifacts / "reference_models.json", references())
    keep(home.measurement("minimal", 0), a_run(MINIMAL, **change))
    (step,) = steps_for(home, ROSTER, [MINIMAL], [0], again=False, data=DATA)
    assert step == Step(LIFECYCLE, "minimal", 0)
    path = home.measurement("minimal", 0)
    said = page_words("en").caution(step.again[0])
    assert said.startswith("What was measured of minimal is damaged") and str(path) in said
    assert seen in said
    # So it is with a seed that nobody asked for, which would be compared too.
    assert step in steps_for(home, ROSTER, [MINIMAL], [1], again=False, data=DATA)
    # Where nothing makes it anew, it is said at once, and removing it is what mends it.
    known = stored_results(home, ROSTER, [MINIMAL], DATA)
    with pytest.raises(StorageError, match=f"{path}.*To mend it: .* without `--stored`.*{path}"):
        require_comparable(known, home)
    require_made_anew(known, [step])
    with pytest.raises(StorageError, match=f"{path}.*To mend it: Remove {path}"):
        require_made_anew(known, [COMPARE])
    path.unlink()
    require_comparable(stored_results(home, ROSTER, [MINIMAL], DATA), home)


def test_an_audit_and_references_that_cannot_be_are_made_anew(tmp_path: Path) -> None:
    home = Home(tmp_path)
    keep(home.measurement("minimal", 0), a_run(MINIMAL))
    keep(home.posture_record("minimal"), an_audit(MINIMAL) | {"in_use": 7})
    wrong = references()
    wrong["seeds"]["1"]["pooled"] = {"test": {"auroc": {"value": -1}, "accuracy": {"value": 1}}}
    keep(home.artifacts / "reference_models.json", wrong)
    steps = steps_for(home, ROSTER, [MINIMAL], [0], again=False, data=DATA)
    assert steps == [Step(AUDIT, "minimal"), Step(REFERENCES)]
    with pytest.raises(StorageError, match=r"posture\.json.*in_use: 7, and not a whole number"):
        require_comparable(stored_results(home, ROSTER, [MINIMAL], DATA), home)
    with pytest.raises(StorageError, match=r"reference_models\.json.*auroc is from 0 to 1"):
        reference_value(home)


def test_all_that_is_damaged_is_named_at_once_and_that_alone_is_made_anew(tmp_path: Path) -> None:
    home = Home(tmp_path)
    of_references = home.artifacts / "reference_models.json"
    of_attacks = home.artifacts / "membership_inference.json"
    keep(home.posture_record("minimal"), an_audit(MINIMAL))
    keep(home.measurement("minimal", 0), a_run(MINIMAL))
    keep(of_references, references())
    keep(of_attacks, attacks(0.1, 0.2))
    whole = stored_results(home, ROSTER, [MINIMAL], DATA)
    require_comparable(whole, home)
    assert missing_steps(whole, ROSTER, [MINIMAL], [0], again=False, data=DATA) == []
    assert comparing(whole).again == ()

    keep(of_references, references() | {"digests": None})
    keep(of_attacks, attacks(0.1, 1.7))
    known = stored_results(home, ROSTER, [MINIMAL], DATA)
    with pytest.raises(StorageError) as refused:
        require_comparable(known, home)
    said = str(refused.value)
    assert said.startswith("2 stored results are damaged.")
    assert f"{of_references}: It is not in its form: digests: None, and not an object" in said
    assert f"{of_attacks}: A value of membership_advantage is from -1 to 1" in said
    assert "Run `fed-assets compare` without `--stored`" in said
    # The references alone are trained again, and each says why; what compares attacks again.
    (step,) = missing_steps(known, ROSTER, [MINIMAL], [0], again=False, data=DATA)
    assert step == Step(REFERENCES)
    require_made_anew(known, [step, COMPARE])
    for language, words in (
        ("en", ["What the references came to is damaged", "models showed is damaged"]),
        ("es", ["Lo que alcanzaron las referencias está", "a los modelos está dañado"]),
    ):
        told = [page_words(language).caution(*each.again) for each in (step, comparing(known))]
        for sentence, part, path in zip(told, words, (of_references, of_attacks), strict=True):
            assert part in sentence and str(path) in sentence
    # What no job makes anew is named too, such as a copy beside a measurement.
    copy = home.measurement("minimal", 0).with_name("seed_0_copy.json")
    keep(copy, a_run(MINIMAL))
    of_nobody = stored_results(home, ROSTER, [MINIMAL], DATA)
    with pytest.raises(StorageError, match=f"{copy}.*another run's.*Remove {copy}: no job"):
        require_made_anew(of_nobody, [step, COMPARE])


def test_the_command_names_all_damage_before_it_runs_anything(tmp_path: Path) -> None:
    place = make_place(tmp_path / "place", rounds=2)
    for name in ("reference_models.json", "membership_inference.json"):
        keep(place.home.artifacts / name, {"seeds": 3})
    keep(place.home.posture_record("minimal"), {})
    code, printed = place.tell("compare", "--stored")
    said = " ".join(printed.split())
    assert code == 1 and "3 stored results are damaged" in said
    for name in ("posture.json", "reference_models.json", "membership_inference.json"):
        assert name in said
    assert not (place.home.root / "logs").exists()


@pytest.mark.parametrize("content", [{}, [], "minimal", None])
def test_what_is_stored_in_another_shape_is_made_anew(tmp_path: Path, content: object) -> None:
    home = Home(tmp_path)
    keep(home.posture("minimal") / "posture.json", content)
    keep(home.artifacts / "reference_models.json", content)
    keep(home.measurement("minimal", 0), content)
    assert steps_for(home, ROSTER, [MINIMAL], [0], again=False) == [
        Step(AUDIT, "minimal"),
        Step(REFERENCES),
        Step(LIFECYCLE, "minimal", 0),
    ]


@pytest.mark.parametrize(
    "change", [{"rounds": 2}, {"threshold": 0.4}, {"network": {"_target_": "other"}}]
)
def test_references_of_another_roster_are_trained_anew(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    home = Home(tmp_path)
    keep(home.artifacts / "reference_models.json", references())
    changed = ROSTER.model_copy(update=change)
    assert steps_for(home, ROSTER, [], [0, 1], again=False) == []
    assert steps_for(home, changed, [], [0, 1], again=False) == [Step(REFERENCES)]


def test_every_step_is_a_job_that_there_is() -> None:
    assert set(USUAL) < {job.name for job in JOBS}


def test_the_terminal_speaks_the_language_of_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    record = record_of(measurements())
    show_comparison(record, "en")
    english = capsys.readouterr().out
    show_comparison(record, "es")
    spanish = capsys.readouterr().out
    for word, palabra in (
        ("Who may win", "Quién puede ganar"),
        ("Sandbox", "Entorno"),
        ("Standing", "Situación"),
        ("not measured", "sin medir"),
        ("All groups alike", "Todos los grupos por igual"),
        ("Comes first", "Queda primero"),
    ):
        assert word in " ".join(english.split()) and word not in spanish
        assert palabra in " ".join(spanish.split()) and palabra not in english


@pytest.mark.parametrize("language", ["en", "es"])
def test_names_stand_whole_in_eighty_columns(
    language: str, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = measurements()
    for run in runs:
        if run["sandbox"] == "confidential_vm":
            run["security"] |= {"keeps_its_word": None, "audit": "of_other_controls"}
    record = record_of(runs, profiles={**shipped_profiles(), **own_profile()})
    show_comparison(record, language)
    rows = [line for line in capsys.readouterr().out.splitlines() if line[:1] in "┃│"]
    words = page_words(language)
    assert all(len(line) <= 80 for line in rows)
    # The sandboxes once with their standing, and once with each few profiles.
    for row in record["sandboxes"]:
        assert sum(line[1:].split()[0] == row["sandbox"] for line in rows) == 3
    written = {word for line in rows for word in line.replace("┃", " ").replace("│", " ").split()}
    headings = [words.profile(name) for name in record["profiles"]]
    for said in (*headings, words.standing(record["sandboxes"][3])):
        assert set(said.split()) <= written, said


def test_the_only_one_left_has_no_per_cent_on_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show_comparison(record_of(measurements()[:1]), "en")
    printed = " ".join(capsys.readouterr().out.split())
    assert "the only one that may win" in printed and "%" not in printed


@pytest.mark.parametrize("language", ["en", "es"])
def test_the_terminal_writes_a_chance_as_the_page_does(
    language: str, capsys: pytest.CaptureFixture[str]
) -> None:
    record = record_of(measurements())
    first = record["profiles"]["equal"]["first"]
    first |= dict(zip(first, [0.996, 0.004, 0.0], strict=False))
    show_comparison(record, language)
    cells = [
        row.split("│")[2].strip() for row in capsys.readouterr().out.splitlines() if "│" in row
    ]
    assert cells.count("<1\N{NO-BREAK SPACE}%") == 2 and ">99\N{NO-BREAK SPACE}%" in cells
    assert not {"0 %", "100 %", "0\N{NO-BREAK SPACE}%"} & set(cells)


def test_each_step_has_the_config_of_its_job() -> None:
    assert Step(LIFECYCLE, "minimal", 3).config([3], {}) == {
        "ops": {"federated_training": {"config": {"seed": 3}}}
    }
    of_references = Step(REFERENCES).config([0, 1], {})
    assert of_references["ops"]["reference_models"]["config"] == {"seeds": [0, 1]}
    assert Step(AUDIT, "minimal").config([0], {}) == {}
    assert str(Step(LIFECYCLE, "minimal", 3)) == "federated_lifecycle of minimal, seed 3"


def test_wrong_prices_are_refused_before_anything_runs(tmp_path: Path) -> None:
    place = make_place(tmp_path / "place", rounds=2)
    (tmp_path / "prices.yaml").write_text(SHIPPED_PRICES.read_text().replace("EUR", "euros"))
    place.environment["FED_ASSETS_PRICES"] = str(tmp_path / "prices.yaml")
    code, printed = place.tell("compare")
    assert code == 1
    assert "prices.yaml, currency. Seen: euros. To mend it: Write three capitals" in " ".join(
        printed.split()
    )
    assert not (place.home.root / "logs").exists()


@pytest.mark.parametrize(
    ("written", "seen"),
    [
        ("mine: {groups: {efficiency: -1}}", "mine"),
        ("equal: {groups: {efficiency: 1, security: 100}}", "name of a shipped one, and other"),
        ("- a list", "The file of weight profiles"),
        (None, "The file of weight profiles cannot be read"),
    ],
)
def test_wrong_profiles_are_refused_before_anything_runs(
    tmp_path: Path, written: str | None, seen: str
) -> None:
    place = make_place(tmp_path / "place", rounds=2)
    if written is not None:
        (tmp_path / "mine.yaml").write_text(written)
    code, printed = place.tell("compare", "--profiles", str(tmp_path / "mine.yaml"))
    assert code == 1
    assert seen in " ".join(printed.split()) and "To mend it" in printed
    assert not (place.home.root / "logs").exists()


@pytest.mark.long
def test_ctrl_c_ends_it_in_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    place = make_place(tmp_path / "place", rounds=2)
    keep(place.home.posture("minimal") / "posture.json", an_audit(MINIMAL))
    process = place.start("fed_assets.cli", "compare", "--approved-only")
    end = time.monotonic() + 60
    # Of two lanes: when the second starts, the first is under way.
    while len(list((place.home.root / "logs").glob("run-*.log"))) < 2:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    told, errors = process.communicate(timeout=60)
    assert process.returncode == 130, told + errors
    *jobs, stopping, line = [each for each in (told + errors).splitlines() if each.strip()]
    assert jobs.pop(0).startswith("Not run, as the roster does not fit it: configurable. ")
    assert jobs.pop(0).startswith("Not run, for want of approved code: confidential_vm (north, ")
    begun = jobs.pop(0)  # before a job starts
    assert re.fullmatch(r"To run: \d+ jobs \(left: about .+, a first guess if .+\)", begun)
    assert jobs and all(each.split()[0] in USUAL for each in jobs)  # no terminal: a line a job
    assert all("(left: about " in each for each in jobs)
    assert stopping == STOPPING  # which is said before the wait, see `test_lanes`
    assert line == (
        "Interrupted; what was measured is kept, and the same command goes on with the rest."
    )
    assert (place.home.posture("minimal") / "posture.json").exists()
    _, left = seconds_until_clean(place.home, within_seconds=20)
    assert left == []


@pytest.mark.long
@pytest.mark.timeout(600)
def test_what_was_measured_is_compared_and_what_was_not_is_missing(tmp_path: Path) -> None:
    place = make_place(tmp_path / "place", rounds=2)
    place.home.prepare()
    place.run("dagster", "job", "execute", "-m", "fed_assets", "-j", REFERENCES)
    code, printed = place.tell("run", "minimal")
    assert code == 0, printed
    assert "Over a hospital's training alone: " in printed
    report = json.loads((place.home.report("minimal") / "report.json").read_text())
    assert report["references"]["why_not"] is None
    assert len(report["references"]["rows"]) == 2 + 3 * 2 + 3 * 4
    code, printed = place.tell("compare", "--stored", "--allow-unaudited")
    assert code == 3
    assert "not measured" in printed
    record = json.loads((place.home.comparison / "comparison.json").read_text())
    standings = {row["sandbox"]: row["standing"] for row in record["sandboxes"]}
    assert standings.pop("minimal") == "may_win"
    assert set(standings.values()) == {"not_measured"}
    (measured,) = record["measurements"]
    assert measured["otherwise"] == []  # it is as the roster asks: it would not be run again
    assert record["references"]["not_compared"] == []
    assert {row["sandbox"] for row in record["references"]["gains"]} == {"minimal"}
    assert measured["efficiency"]["wall_seconds"] > 0
    spent = measured["efficiency"]
    assert spent["cpu_seconds"] > 1
    assert spent["peak_memory_bytes"] > 3e8
    assert spent["cost"] > 0 and measured["prices"]["example"]
    known = sum(row["cpu_seconds"] for row in measured["processes"])
    assert 0.5 * spent["cpu_seconds"] < known < 1.05 * spent["cpu_seconds"]
    for each in measured["hospitals"].values():
        assert 0.1 < each["cpu_seconds"] < spent["cpu_seconds"]
        assert each["peak_memory_bytes"] > 1e8
    assert measured["effort"]["steps"] == [] and measured["effort"]["setup_seconds"] > 0
    # Its weights were kept, and attacked on the images that the references say are open.
    assert sorted(measured["model"]["learned_from"]) == ["east", "north", "south"]
    assert place.home.measured_weights("minimal", 0).stat().st_size > 1000
    advantage = measured["security"]["membership_advantage"]
    assert -1 <= advantage["low"] <= advantage["value"] <= advantage["high"] <= 1
    # The same measurements give the same comparison, and another profile is a matter of seconds.
    code, _ = place.tell("compare", "--stored", "--allow-unaudited")
    assert json.loads((place.home.comparison / "comparison.json").read_text()) == record
    files = {each.name for each in place.home.comparison.iterdir()}
    assert {"comparison.json", "comparison.html", "decision.csv", "gains.csv"} <= files
    code, printed = place.tell("compare", "--stored", "--allow-unaudited", "--lang", "es")
    page = (place.home.comparison / "comparison.html").read_text()
    assert 'lang="es"' in page
    assert "Entorno" in printed and "sin medir" in printed and "Página: " in printed
    assert json.loads((place.home.comparison / "comparison.json").read_text()) == record
    (tmp_path / "wrong.yaml").write_text("mine: {groups: {speed: 1}}")
    wrong = str(tmp_path / "wrong.yaml")
    code, printed = place.tell("compare", "--stored", "--profiles", wrong)
    assert code == 1
    assert "speed" in printed
