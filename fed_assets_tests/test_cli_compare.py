from __future__ import annotations

import json
from pathlib import Path

import pytest

from fed_assets.cli.compare import Step, missing_steps, wanted_seeds
from fed_assets.errors import RunConfigError
from fed_assets.federation.roster import read_roster
from fed_assets.resources.home import Home
from fed_assets.resources.settings import SHIPPED_ROSTER
from fed_assets_tests.places import make_place

AUDIT, LIFECYCLE = "security_audit", "federated_lifecycle"


def keep(path: Path, content: object = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def test_the_rosters_seeds_come_first_and_each_once() -> None:
    roster = read_roster(SHIPPED_ROSTER).model_copy(update={"seeds": (7, 1)})
    assert wanted_seeds(roster, 1) == [7]
    assert wanted_seeds(roster, 4) == [7, 1, 0, 2]
    with pytest.raises(RunConfigError, match="101"):
        wanted_seeds(roster, 101)


def test_what_is_there_is_not_run_again_unless_it_is_asked_for(tmp_path: Path) -> None:
    home, names = Home(tmp_path), ["minimal", "eyes_on"]
    everything = missing_steps(home, names, [0, 1], again=False)
    assert everything == [
        *(Step(AUDIT, name) for name in names),
        *(Step(LIFECYCLE, name, seed) for seed in (0, 1) for name in names),
        Step("references"),
    ]
    keep(home.posture("minimal") / "posture.json")
    keep(home.measurement("eyes_on", 1))
    keep(home.artifacts / "reference_models.json", {"seeds": {"0": {}, "1": {}}})
    left = missing_steps(home, names, [0, 1], again=False)
    assert set(everything) - set(left) == {
        Step(AUDIT, "minimal"),
        Step(LIFECYCLE, "eyes_on", 1),
        Step("references"),
    }
    assert missing_steps(home, names, [0, 1], again=True) == everything
    assert Step("references") in missing_steps(home, names, [0, 1, 2], again=False)


def test_each_step_has_the_config_of_its_job() -> None:
    assert Step(LIFECYCLE, "minimal", 3).config([3], {}) == {
        "ops": {"federated_training": {"config": {"seed": 3}}}
    }
    references = Step("references").config([0, 1], {})
    assert references["ops"]["reference_models"]["config"] == {"seeds": [0, 1]}
    assert Step(AUDIT, "minimal").config([0], {}) == {}
    assert str(Step(LIFECYCLE, "minimal", 3)) == "federated_lifecycle of minimal, seed 3"


@pytest.mark.long
@pytest.mark.timeout(600)
def test_what_was_measured_is_compared_and_what_was_not_is_missing(tmp_path: Path) -> None:
    place = make_place(tmp_path / "place", rounds=2)
    code, printed = place.tell("run", "minimal")
    assert code == 0, printed
    code, printed = place.tell("compare", "--stored", "--allow-unaudited")
    assert code == 3
    assert "not measured" in printed
    record = json.loads((place.home.comparison / "comparison.json").read_text())
    standings = {row["sandbox"]: row["standing"] for row in record["sandboxes"]}
    assert standings.pop("minimal") == "may_win"
    assert set(standings.values()) == {"not_measured"}
    (measured,) = record["measurements"]
    assert measured["efficiency"]["wall_seconds"] > 0
    assert measured["efficiency"]["cpu_seconds"] > 1
    # Its weights are kept for an attack, which has to know what is open.
    assert sorted(measured["model"]["learned_from"]) == ["east", "north", "south"]
    assert place.home.measured_weights("minimal", 0).stat().st_size > 1000
    assert "membership_advantage" not in measured["security"]
    # The same measurements give the same comparison, and another profile is a matter of seconds.
    code, _ = place.tell("compare", "--stored", "--allow-unaudited")
    assert json.loads((place.home.comparison / "comparison.json").read_text()) == record
    files = {each.name for each in place.home.comparison.iterdir()}
    assert {"comparison.json", "comparison.html", "decision.csv", "hospitals.csv"} <= files
    code, printed = place.tell("compare", "--stored", "--allow-unaudited", "--lang", "es")
    page = (place.home.comparison / "comparison.html").read_text()
    assert 'lang="es"' in page
    assert json.loads((place.home.comparison / "comparison.json").read_text()) == record
    (tmp_path / "wrong.yaml").write_text("mine: {groups: {speed: 1}}")
    wrong = str(tmp_path / "wrong.yaml")
    code, printed = place.tell("compare", "--stored", "--profiles", wrong)
    assert code == 1
    assert "speed" in printed
