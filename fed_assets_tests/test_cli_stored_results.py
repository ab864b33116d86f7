"""What cannot be a stored result is damage: named by its file, and made anew or refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fed_assets.cli.comparison_steps import missing_steps
from fed_assets.cli.step import Step
from fed_assets.cli.stored_results import Stored, require_comparable, stored_results
from fed_assets.errors import StorageError
from fed_assets.posture.posture import judge
from fed_assets.resources.home import Home
from fed_assets.resources.jobs import AUDIT, LIFECYCLE
from fed_assets.sandboxes.presets import CONFIDENTIAL_VM, EYES_OFF, EYES_ON, MINIMAL
from fed_assets.sandboxes.sandbox import Sandbox
from fed_assets_tests.stored_records import DATA, ROSTER, a_run, an_audit, attacks, keep, references

Change = Callable[[dict[str, Any]], Any]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Returns a home with all that a comparison of two sandboxes reads."""
    home = Home(tmp_path)
    for sandbox in (EYES_ON, EYES_OFF):
        keep(home.measurement(sandbox.name, 0), a_run(sandbox))
        keep(home.posture_record(sandbox.name), an_audit(sandbox))
    keep(home.artifacts / "reference_models.json", references())
    keep(home.artifacts / "membership_inference.json", attacks(0.1, 0.2))
    return home


def stored(home: Home) -> Stored:
    return stored_results(home, ROSTER, [EYES_ON, EYES_OFF], DATA)


def missing(home: Home) -> list[Step]:
    return missing_steps(stored(home), ROSTER, [EYES_ON, EYES_OFF], [0], again=False, data=DATA)


def damage(path: Path, change: Change) -> None:
    record = json.loads(path.read_text())
    change(record)
    keep(path, record)


@pytest.mark.parametrize("sandbox", [MINIMAL, EYES_ON, EYES_OFF, CONFIDENTIAL_VM])
def test_what_is_whole_is_compared(home: Home, sandbox: Sandbox) -> None:
    keep(home.measurement(sandbox.name, 0), a_run(sandbox))
    keep(home.posture_record(sandbox.name), an_audit(sandbox))
    known = stored(home)
    require_comparable(known, home)
    assert {"eyes_on", "eyes_off", sandbox.name} == known.audits.keys()
    assert missing(home) == []


def put(*path: str | int, value: Any) -> Change:
    """Returns what puts a value into a record at a place."""

    def change(record: dict[str, Any]) -> None:
        *way, last = path
        found: Any = record
        for each in way:
            found = found[each]
        found[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        (put("hospitals", value=[]), "hospitals: a list, and not an object"),
        (put("controls", "transport", value="clear"), "controls.transport: 'clear', and not an"),
        (put("model", "weights", value=[1]), "model.weights: a list, and not a text"),
        (lambda record: record.pop("efficiency"), "efficiency: nothing"),
        (lambda record: record["quality"].pop("auroc"), "quality.auroc: nothing"),
        (put("not_measured", value=[1]), "not_measured: a list, and not an object"),
        (put("otherwise", value="x"), "otherwise: 'x', and not left to the comparison"),
        (put("created", value="yesterday"), "created: 'yesterday', and not a date"),
        (put("machine", value="x"), "machine: 'x', and not an object"),
        (put("versions", value=["x"]), "versions: a list, and not an object"),
        (put("data", "classes", value=5), "data.classes: 5, and not a list"),
        (put("rounds", value="2"), "rounds: '2', and not a whole number"),
        (put("rounds", value=True), "rounds: True, and not a whole number"),
        (put("efficiency", "wall_seconds", value=10**400), "wall_seconds: 1000"),
        (put("efficiency", "wall_seconds", value=float("nan")), "wall_seconds: nan, and not a"),
        (put("resampled", value={"of": "5a", "values": {"auroc": [0.9, "x"]}}), "auroc[1]: 'x'"),
        (put("security", "keeps_its_word", value=True), "security.keeps_its_word: True"),
    ],
)
def test_a_measurement_of_another_form_is_damage(home: Home, change: Change, seen: str) -> None:
    path = home.measurement("eyes_on", 0)
    damage(path, change)
    with pytest.raises(StorageError) as refused:
        require_comparable(stored(home), home)
    assert refused.value.where == str(path) and seen in refused.value.seen
    assert [Step(each.job, each.sandbox, each.seed) for each in missing(home)] == [
        Step(LIFECYCLE, "eyes_on", 0)
    ]


PROMISED = {"at_rest": 0, "in_transit": 0, "in_use": 0}


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        (put("controls", value={}), "controls.transport: nothing"),
        (put("controls", value=[]), "controls: a list, and not an object"),
        (lambda record: record["controls"].pop("job_code"), "controls.job_code: nothing"),
        (put("probes", value=[]), "come to: at_rest, in_transit, in_use, shortfalls, keeps_its"),
        (put("probes", value="abc"), "probes: 'abc', and not a list"),
        (put("probes", 0, "outcome", value="foo"), "probes[0].outcome: 'foo', and not one of"),
        (put("probes", 0, "outcome", value="failed"), "come to: at_rest, shortfalls, keeps_its"),
        (lambda record: record["probes"][0].pop("rung"), "probes[0].rung: nothing"),
        (lambda record: record["probes"].pop(), "come to: shortfalls, keeps_its_word"),
        (put("at_rest", value=None), "at_rest: None, and not a whole number from 0 to 4"),
        (put("in_use", value=0.5), "in_use: 0.5, and not a whole number from 0 to 4"),
        (put("in_use", value=3), "come to: in_use"),
        (put("shortfalls", value=["x"]), "come to: shortfalls"),
        (put("keeps_its_word", value=False), "come to: keeps_its_word"),
        (put("promised", value=PROMISED), "come to: promised"),
        (put("withstood", value={}), "come to: withstood"),
        (put("controls", "process", value="own"), "come to: promised"),
        (put("sandbox", value="eyes_on"), "another sandbox's: eyes_on"),
    ],
)
def test_an_audit_that_says_what_its_probes_do_not_show_is_damage(
    home: Home, change: Change, seen: str
) -> None:
    path = home.posture_record("eyes_off")
    damage(path, change)
    known = stored(home)
    assert "eyes_off" not in known.audits
    with pytest.raises(StorageError) as refused:
        require_comparable(known, home)
    assert refused.value.where == str(path) and seen in refused.value.seen
    assert [Step(each.job, each.sandbox) for each in missing(home)] == [Step(AUDIT, "eyes_off")]


def test_an_audit_that_fell_short_and_says_so_is_whole(home: Home) -> None:
    keep(home.posture_record("eyes_off"), judge(EYES_OFF, []).as_record())
    known = stored(home)
    require_comparable(known, home)
    assert known.audits["eyes_off"]["keeps_its_word"] is False


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        (put("seeds", value=[]), "seeds: a list, and not an object"),
        (put("seeds", "0", value={}), "seeds.0.pooled: nothing"),
        (lambda record: record["seeds"].update(one=record["seeds"]["0"]), "seeds: 'one'"),
        (put("digests", "hospital_01", value=[1]), "digests.hospital_01: a list"),
        (lambda record: record.pop("rounds"), "rounds: nothing"),
    ],
)
def test_references_of_another_form_are_damage(home: Home, change: Change, seen: str) -> None:
    path = home.artifacts / "reference_models.json"
    damage(path, change)
    with pytest.raises(StorageError) as refused:
        require_comparable(stored(home), home)
    assert refused.value.where == str(path) and seen in refused.value.seen


def test_files_that_nest_too_deep_are_damage_and_all_are_named_at_once(home: Home) -> None:
    deep = "[" * 100_000
    paths = [home.measurement("eyes_on", 0), home.posture_record("eyes_on")]
    for path in paths:
        path.write_text(deep)
    damage(home.artifacts / "membership_inference.json", put("models", value={}))
    with pytest.raises(StorageError, match="3 stored results are damaged") as refused:
        require_comparable(stored(home), home)
    for path in (*paths, home.artifacts / "membership_inference.json"):
        assert str(path) in refused.value.seen
