from __future__ import annotations

import json
from pathlib import Path

from rich.progress import Progress

from fed_assets.cli.comparison_steps import in_lanes
from fed_assets.cli.step import Step
from fed_assets.cli.time_left import Pace, TimeLeft, measured_before, seconds_of
from fed_assets.resources.home import Home
from fed_assets.resources.jobs import AUDIT, COMPARISON, LIFECYCLE, REFERENCES

AUDITS = [Step(AUDIT, "minimal"), Step(AUDIT, "eyes_on")]
RUNS = [Step(LIFECYCLE, "minimal", 0), Step(LIFECYCLE, "eyes_on", 0)]
ALL = [*AUDITS, Step(REFERENCES), *RUNS, Step(COMPARISON)]


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def do(pace: Pace, clock: Clock, step: Step, seconds: float, *, succeeded: bool = True) -> None:
    pace.start(step)
    clock.now += seconds
    pace.end(step, succeeded=succeeded)


def test_until_a_run_was_measured_the_bar_says_that_it_is_estimating() -> None:
    clock = Clock()
    pace = Pace(in_lanes(ALL), clock=clock)
    column = TimeLeft(pace)
    bar = Progress(column, disable=True)
    bar.add_task("", total=10)
    (task,) = bar.tasks
    assert column.render(task).plain == "left: estimating"
    # Audits and references say nothing of how long a run takes.
    for step in (*AUDITS, Step(REFERENCES)):
        do(pace, clock, step, 30)
    assert column.render(task).plain == "left: estimating"
    do(pace, clock, RUNS[0], 120)
    pace.start(RUNS[1])
    # The other run as long as the first, and the comparison by its weight.
    shares = (30 / 1 + 30 / 1 + 30 / 4 + 120 / 4) / 4
    assert column.render(task).plain == f"left: about 0:02:{round(shares):02}"
    clock.now += 500  # longer than expected: what follows is left all the same
    assert column.render(task).plain == f"left: about 0:00:{round(shares):02}"
    pace.end(RUNS[1], succeeded=True)
    do(pace, clock, Step(COMPARISON), 5)
    assert column.render(task).plain == "left: about 0:00:00"


def test_the_last_job_that_takes_longer_than_expected_is_estimated_anew() -> None:
    clock = Clock()
    pace = Pace([[RUNS]], clock=clock)
    do(pace, clock, RUNS[0], 60)
    pace.start(RUNS[1])
    clock.now += 59
    assert pace.seconds_left() == 1
    clock.now += 1
    assert pace.seconds_left() is None


def test_lanes_side_by_side_take_as_long_as_the_longest() -> None:
    took = {Step(AUDIT, "eyes_off"): 20.0, Step(REFERENCES): 90.0, Step(LIFECYCLE, "other", 0): 50}
    pace = Pace([[AUDITS, [Step(REFERENCES)]], [RUNS]], took)
    assert pace.seconds_left() == 90 + 2 * 50


def test_a_job_that_failed_tells_nothing_of_how_long_others_take() -> None:
    clock = Clock()
    pace = Pace([[RUNS]], clock=clock)
    do(pace, clock, RUNS[0], 2, succeeded=False)
    assert pace.seconds_left() is None


def test_a_run_takes_as_long_as_the_same_with_another_seed() -> None:
    took = {RUNS[0]: 60.0, RUNS[1]: 100.0}
    assert seconds_of(Step(LIFECYCLE, "eyes_on", 1), took) == 100
    assert seconds_of(Step(LIFECYCLE, "eyes_off", 1), took) == 80
    assert seconds_of(Step(LIFECYCLE, "eyes_off", 1), {AUDITS[0]: 30.0}) is None


def test_runs_that_were_measured_before_tell_it_from_the_beginning(tmp_path: Path) -> None:
    home, step = Home(tmp_path), Step(LIFECYCLE, "minimal", 1)

    def keep(seed: int, rounds: int, seconds: float | None) -> None:
        path = home.measurement("minimal", seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        spent = {"wall_seconds": seconds}
        path.write_text(json.dumps({"seed": seed, "rounds": rounds, "efficiency": spent}))

    assert measured_before(home, 15, [step]) == {}
    keep(0, 15, 70.0)
    keep(2, 15, None)
    keep(3, 2, 9.0)  # of other rounds
    home.measurement("minimal", 4).write_text("{")  # damaged
    known = measured_before(home, 15, [step, *AUDITS])
    assert known == {RUNS[0]: 70.0}
    assert Pace([[[step]]], known).seconds_left() == 70
