from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median

import pytest
from dagster import job, op
from rich.console import Console

from fed_assets.cli.comparison_steps import in_lanes
from fed_assets.cli.step import Step
from fed_assets.cli.stored_results import Stored
from fed_assets.cli.time_left import USUAL, JobsBar, Pace, about, pace_of, usual_seconds
from fed_assets.federation.roster import read_roster
from fed_assets.resources.dagster_run import instance_of
from fed_assets.resources.home import Home
from fed_assets.resources.jobs import AUDIT, COMPARISON, LIFECYCLE, REFERENCES
from fed_assets.resources.settings import SHIPPED_ROSTER
from fed_assets.sandboxes.presets import SANDBOX_NAMES
from fed_assets_tests.conftest import PROJECT

ROSTER = read_roster(SHIPPED_ROSTER)
AUDITS = [Step(AUDIT, "minimal"), Step(AUDIT, "eyes_on")]
RUNS = [Step(LIFECYCLE, "minimal", 0), Step(LIFECYCLE, "eyes_on", 0)]
ALL = [*AUDITS, Step(REFERENCES), *RUNS, Step(COMPARISON)]
SECONDS = {AUDIT: 10.0, REFERENCES: 60.0, LIFECYCLE: 60.0, COMPARISON: 20.0}


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def pace(
    steps: list[Step], clock: Clock | None = None, took: Mapping[Step, float] | None = None
) -> Pace:
    return Pace(in_lanes(steps), took or {}, lambda step: SECONDS[step.job], clock=clock or Clock())


def do(of: Pace, clock: Clock, step: Step, seconds: float, *, succeeded: bool = True) -> None:
    of.start(step)
    clock.now += seconds
    of.end(step, succeeded=succeeded)


def test_the_time_left_is_told_from_the_first_moment_and_tightens_as_jobs_end() -> None:
    clock = Clock()
    of = pace(ALL, clock)
    # Audits beside the references, two runs, and the comparison: 60 + 120 + 20, within a guess.
    assert of.seconds_left() == pytest.approx((0.8 * 200, 1.6 * 200))
    assert of.told() == "about 3 to 5 min, a first guess if nothing else runs"
    for step in AUDITS:
        do(of, clock, step, 20)  # twice as slow as usual
    assert of.told() == "about 5 to 11 min"
    do(of, clock, Step(REFERENCES), 120)
    least, most = of.seconds_left()
    assert (least, most) == pytest.approx((0.8 * 280, 1.6 * 280))
    do(of, clock, RUNS[0], 130)
    # The other run about as long as the first, and the comparison is a guess yet.
    slower = (20 + 20 + 120 + 130) / (10 + 10 + 60 + 60)
    assert of.seconds_left() == pytest.approx(
        (0.7 * 130 + 0.8 * slower * 20, 1.4 * 130 + 1.6 * slower * 20)
    )
    do(of, clock, RUNS[1], 130)
    do(of, clock, Step(COMPARISON), 30)
    assert of.seconds_left() == (0, 0)


# Seconds that `fed-assets compare` of the shipped recipe took from nothing on two cores, by
# Dagster's records: five audits beside the references, the five sandboxes, and the comparison.
TOOK = {
    AUDIT: (22, 28, 28, 30, 25),
    REFERENCES: (122,),
    LIFECYCLE: (67, 66, 67, 110, 52),
    COMPARISON: (14,),
}
ALONE = {AUDIT: 10.0, REFERENCES: 62.0}  # what these two usually take with nothing beside them
NEAR_SECONDS = 15


def replayed(usual: Callable[[Step], float]) -> Iterator[tuple[float, float, float]]:
    """Yields each second what was left in truth, and the least and the most that were told."""
    seconds = {
        Step(job, name): each
        for job, of_job in TOOK.items()
        for name, each in zip(SANDBOX_NAMES, of_job, strict=False)
    }
    stages, spans, whole = in_lanes(list(seconds)), {}, 0
    for lanes in stages:
        ends = [whole] * len(lanes)
        for place, lane in enumerate(lanes):
            for step in lane:
                spans[step] = (ends[place], ends[place] + seconds[step])
                ends[place] += seconds[step]
        whole = max(ends)
    clock = Clock()
    of = Pace(stages, {}, usual, clock=clock)
    for second in range(whole):
        for step in [each for each, (_, end) in spans.items() if end == second]:
            of.end(step, succeeded=True)
        for step in [each for each, (begin, _) in spans.items() if begin == second]:
            of.start(step)
        yield whole - second, *of.seconds_left()
        clock.now += 1


def far_off(usual: Callable[[Step], float]) -> list[tuple[float, float, float]]:
    """Returns where the truth is further from what was told than by half as much again.

    By `NEAR_SECONDS` it may be: who waits for the last minute does not mind.
    """
    return [
        (left, least, most)
        for left, least, most in replayed(usual)
        if not least / 1.5 - NEAR_SECONDS <= left <= 1.5 * most + NEAR_SECONDS
    ]


def test_a_whole_comparison_is_told_about_right_from_its_first_moment_to_its_last() -> None:
    usual = partial(usual_seconds, roster=ROSTER, seeds=1)
    told = list(replayed(usual))
    assert len(told) == 509 and told[0][1] < told[0][0] < told[0][2]
    assert far_off(usual) == []
    # What runs side by side is not to be judged by what it takes alone.
    wrong = far_off(lambda step: ALONE.get(step.job) or usual(step))
    assert len(wrong) > 60 and all(left < least for left, least, _ in wrong)


def test_sandboxes_that_never_ran_here_may_take_more_or_less_than_those_that_did() -> None:
    # From when the first sandbox was measured.
    last = sum(TOOK[LIFECYCLE][1:]) + sum(TOOK[COMPARISON])
    told = list(replayed(partial(usual_seconds, roster=ROSTER, seeds=1)))[-last:]
    assert all(least - NEAR_SECONDS <= left <= most + NEAR_SECONDS for left, least, most in told)
    # As soon as one is known it is no matter of a minute, and the mean alone would be wrong.
    _, least, most = told[0]
    assert most > 1.8 * least
    assert any(abs((least + most) / 2 - left) > 2 * NEAR_SECONDS for left, least, most in told)


def test_a_comparison_tells_nothing_of_how_long_other_jobs_take() -> None:
    of, fresh = pace(ALL, took={Step(COMPARISON): 2.0}), pace(ALL)
    least, most = fresh.seconds_left()
    assert of.seconds_left() == pytest.approx((least - 0.8 * 20 + 2, most - 1.6 * 20 + 2))
    assert of.told() == "about 2 to 5 min, a first guess if nothing else runs"
    # Any other job tells it.
    of = pace(ALL, took={Step(COMPARISON): 2.0, AUDITS[0]: 20.0})
    assert of.seconds_left()[0] > 2 * 0.8 * (60 + 2 * 60)
    assert "guess" not in of.told()


def test_a_slow_machine_is_noticed_before_its_first_job_has_ended() -> None:
    clock = Clock()
    of = pace(ALL, clock)
    of.start(AUDITS[0])
    first = of.seconds_left()
    clock.now += 9  # not longer than usual
    assert of.seconds_left()[1] <= first[1]
    clock.now += 51
    least, most = of.seconds_left()
    assert least > 3 * first[0] and most > 3 * first[1]
    # Something else runs, as it seems.
    assert of.told().endswith(", a first guess")


def test_what_takes_longer_than_expected_has_some_time_left_all_the_same() -> None:
    clock = Clock()
    first, other = RUNS[0], Step(LIFECYCLE, "minimal", 1)
    of = pace([first, other, Step(COMPARISON)], clock, {Step(COMPARISON): 20.0})
    do(of, clock, first, 60)
    of.start(other)
    clock.now += 50
    assert of.seconds_left() == (30, 30)
    told = []
    for _ in range(100):
        clock.now += 5
        told.append(of.seconds_left()[0] - 20)
    assert told[0] == pytest.approx(5.5)
    assert all(left > 5 for left in told)
    assert max(after - before for before, after in pairwise(told)) <= 0.51


def test_lanes_side_by_side_take_as_long_as_the_longest() -> None:
    took = {**dict.fromkeys(AUDITS, 20.0), Step(REFERENCES): 90.0, **dict.fromkeys(RUNS, 50.0)}
    of = Pace([[AUDITS, [Step(REFERENCES)]], [RUNS]], took, lambda step: SECONDS[step.job])
    assert of.seconds_left() == (90 + 2 * 50, 90 + 2 * 50)
    assert of.told() == "about 3 min"


def test_a_job_that_failed_tells_nothing_of_how_long_others_take() -> None:
    clock = Clock()
    of = Pace([[RUNS]], {}, lambda step: SECONDS[step.job], clock=clock)
    do(of, clock, RUNS[0], 2, succeeded=False)
    assert of.seconds_left() == pytest.approx((0.8 * 60, 1.6 * 60))
    assert of.told().endswith(", a first guess if nothing else runs")


def test_a_run_takes_as_long_as_the_same_with_another_seed() -> None:
    took = {RUNS[0]: 60.0, RUNS[1]: 100.0}
    for sandbox, least, most in (("eyes_on", 100, 100), ("eyes_off", 0.7 * 80, 1.4 * 80)):
        of = Pace([[[Step(LIFECYCLE, sandbox, 1)]]], took, lambda step: SECONDS[step.job])
        assert of.seconds_left() == pytest.approx((least, most))


def test_times_are_told_as_roughly_as_they_are_known() -> None:
    assert about(400, 800) == "about 7 to 13 min"
    assert about(44, 46) == "about 45 s"
    assert about(80, 150) == "about 80 s to 2 min"
    assert about(0.5, 2) == "about 5 s"
    assert about(5000, 9000) == "about 1.4 to 2.5 h"


def test_the_first_guess_of_a_lifecycle_is_what_the_benchmarks_measured() -> None:
    results = PROJECT / "benchmarks" / "results"
    shipped = json.loads((results / "lifecycle-minimal.json").read_text())["seconds"]
    assert usual_seconds(RUNS[0], ROSTER, seeds=1) == pytest.approx(shipped, rel=0.1)
    soak = json.loads((results / "soak.json").read_text())
    seconds = [run["seconds"] for run in soak["runs"] if run["code"] == 0 and not run["warm"]]
    small = ROSTER.model_copy(
        update={"hospitals": ROSTER.hospitals[: soak["hospitals"]], "rounds": soak["rounds"]}
    )
    assert usual_seconds(RUNS[0], small, seeds=1) == pytest.approx(median(seconds), rel=0.1)
    # Of three seeds the references are trained, and one lifecycle is of one.
    assert usual_seconds(RUNS[0], ROSTER, seeds=3) == usual_seconds(RUNS[0], ROSTER, seeds=1)
    once, thrice = (usual_seconds(Step(REFERENCES), ROSTER, seeds=n) for n in (1, 3))
    assert thrice == pytest.approx(3 * once)
    assert set(USUAL) == {step.job for step in ALL}


def test_jobs_of_this_home_that_ended_before_tell_it_from_the_beginning(tmp_path: Path) -> None:
    home, step = Home(tmp_path / "home").prepare(), Step(LIFECYCLE, "minimal", 1)

    def record(rounds: int, seconds: float | None) -> dict[str, object]:
        return {"rounds": rounds, "efficiency": {"wall_seconds": seconds}}

    records = {
        RUNS[0]: record(ROSTER.rounds, 70.0),
        Step(LIFECYCLE, "minimal", 2): record(ROSTER.rounds, None),
        Step(LIFECYCLE, "minimal", 3): record(2, 9.0),  # of other rounds
    }
    stages = [[[step]]]
    nothing = Stored({}, {}, None, [])
    assert pace_of(stages, home, nothing, ROSTER, seeds=1).told().endswith("nothing else runs")
    known = Stored(records, {}, None, [])
    assert pace_of(stages, home, known, ROSTER, seeds=1).seconds_left() == (70, 70)

    @op
    def attempt() -> None:
        pass

    @job(name=AUDIT)
    def audit() -> None:
        attempt()

    @job(name=REFERENCES)
    def trained() -> None:
        attempt()

    @job(name=COMPARISON)
    def compared() -> None:
        attempt()

    with instance_of(home) as instance:
        compared.execute_in_process(instance=instance)
    # A comparison of nothing was made, and tells of none but the next comparison.
    of = pace_of(stages, home, nothing, ROSTER, seeds=1)
    usual = usual_seconds(step, ROSTER, seeds=1)
    assert of.seconds_left() == pytest.approx((0.8 * usual, 1.6 * usual))
    assert of.told().endswith(", a first guess if nothing else runs")
    least, most = pace_of([[[Step(COMPARISON)]]], home, nothing, ROSTER, seeds=1).seconds_left()
    assert 0 < least == most < 20
    with instance_of(home) as instance:
        audit.execute_in_process(instance=instance, tags={"dagster/partition": "minimal"})
        trained.execute_in_process(instance=instance)
    of_seeds: dict[str, object] = {"rounds": ROSTER.rounds, "seeds": {"0": {}}}
    for references, first_guess in ((of_seeds, False), (of_seeds | {"rounds": 2}, True)):
        stored = Stored({}, {}, references, [])
        least, most = pace_of([[[Step(REFERENCES)]]], home, stored, ROSTER, seeds=1).seconds_left()
        assert (least < most) is first_guess
    least, most = pace_of([[AUDITS]], home, nothing, ROSTER, seeds=1).seconds_left()
    # One was made, and the other takes about as long.
    assert 0 < least < 20 and most == pytest.approx(least * (1 + 1.4) / (1 + 0.7))


def test_the_bar_names_what_is_going_on_and_fits_into_eighty_columns() -> None:
    console = Console(width=80)
    bar = JobsBar(pace(ALL), console=console, disable=True)
    going = "security_audit of confidential_vm; references"
    bar.add_task(going, total=10)
    with console.capture() as shown:
        for part in bar.get_renderables():
            console.print(part)
    first, second = shown.get().splitlines()
    assert first.strip() == going
    assert second.rstrip().endswith("left: about 3 to 5 min, a first guess if nothing else runs")
    # The longest that there is.
    longest = Pace([[AUDITS]], {}, lambda step: 50.0)
    bar = JobsBar(longest, console=console, disable=True)
    bar.add_task(going, total=10)
    with console.capture() as shown:
        console.print(*bar.get_renderables())
    assert (
        shown.get()
        .splitlines()[-1]
        .rstrip()
        .endswith("left: about 80 s to 3 min, a first guess if nothing else runs")
    )
