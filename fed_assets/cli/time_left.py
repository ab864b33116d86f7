"""How much time a row of jobs takes yet, by what jobs of their kind took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from statistics import fmean

from rich.progress import ProgressColumn, Task
from rich.text import Text

from fed_assets.cli.comparison_steps import WEIGHTS
from fed_assets.cli.step import Step
from fed_assets.errors import StorageError
from fed_assets.resources.home import Home
from fed_assets.resources.jobs import LIFECYCLE

ESTIMATING = "estimating"
Stages = Sequence[Sequence[Sequence[Step]]]  # one after another: lanes side by side, of steps


def seconds_of(step: Step, took: Mapping[Step, float]) -> float | None:
    """Returns how long a job is expected to take; None where nothing tells it.

    It takes as long as the same with another seed did; else, as others of its kind did on the
    average. Where none of its kind was measured, what was measured of others is taken by
    `WEIGHTS`; but of a lifecycle, which takes the most, nothing else tells it.

    Args:
        step: the job.
        took: seconds by what ended.

    >>> took = {Step(LIFECYCLE, "minimal", 0): 60.0, Step(LIFECYCLE, "eyes_on", 0): 80.0}
    >>> seconds_of(Step(LIFECYCLE, "eyes_on", 1), took)
    80.0
    >>> seconds_of(Step(LIFECYCLE, "eyes_off", 0), took)
    70.0
    """
    alike = {known: seconds for known, seconds in took.items() if known.job == step.job}
    same = [seconds for known, seconds in alike.items() if known.sandbox == step.sandbox]
    if alike:
        return fmean(same or alike.values())
    if step.job == LIFECYCLE or not took:
        return None
    return WEIGHTS[step.job] * fmean(took[known] / WEIGHTS[known.job] for known in took)


class Pace:
    """How long jobs took that ended, and what is still to be done.

    Args:
        stages: all that is to be done.
        took: seconds by what ended before.
        clock: tells seconds.
    """

    def __init__(
        self,
        stages: Stages,
        took: Mapping[Step, float] | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stages, self._took, self._clock = stages, dict(took or {}), clock
        self._begun: dict[Step, float] = {}
        self._ended: set[Step] = set()

    def start(self, step: Step) -> None:
        """Notes that a job starts."""
        self._begun[step] = self._clock()

    def end(self, step: Step, *, succeeded: bool) -> None:
        """Notes that a job ended; one that failed tells nothing of how long others take."""
        self._ended.add(step)
        if succeeded:
            self._took[step] = self._clock() - self._begun[step]

    def seconds_left(self) -> float | None:
        """Returns the time that is left; None where it cannot be told.

        That is so while a job is expected of whose kind none was measured (`seconds_of`), and where
        the last one takes longer than was expected.
        """
        left, open_steps = 0.0, False
        for lanes in self._stages:
            longest = 0.0
            for lane in lanes:
                seconds = [self._left_of(step) for step in lane if step not in self._ended]
                open_steps = open_steps or bool(seconds)
                if None in seconds:
                    return None
                longest = max(longest, sum(each for each in seconds if each is not None))
            left += longest
        return left if left > 0 or not open_steps else None

    def _left_of(self, step: Step) -> float | None:
        expected = seconds_of(step, self._took)
        if expected is None or step not in self._begun:
            return expected
        return max(0.0, expected - (self._clock() - self._begun[step]))


def measured_before(home: Home, rounds: int, steps: Iterable[Step]) -> dict[Step, float]:
    """Returns how many seconds the last runs of these lifecycles' sandboxes took, by run.

    Args:
        home: where they are kept.
        rounds: those of other rounds tell nothing.
        steps: the jobs.
    """
    from fed_assets.resources.artifact_store import read_whole

    found = {}
    for sandbox in {step.sandbox for step in steps if step.job == LIFECYCLE and step.sandbox}:
        for path in (home.measurements / sandbox).glob("seed_*.json"):
            record = None
            with suppress(StorageError):  # what is damaged is measured anew
                record = read_whole(path, what="What is stored", cure="", needs=("seed", "rounds"))
            if record is None or record["rounds"] != rounds:
                continue
            if seconds := (record.get("efficiency") or {}).get("wall_seconds"):
                found[Step(LIFECYCLE, sandbox, record["seed"])] = float(seconds)
    return found


class TimeLeft(ProgressColumn):
    """The time left, or that it is being estimated."""

    def __init__(self, pace: Pace) -> None:
        super().__init__()
        self._pace = pace

    def render(self, task: Task) -> Text:
        """Returns it as the bar shows it."""
        left = self._pace.seconds_left()
        told = ESTIMATING if left is None else f"about {timedelta(seconds=round(left))}"
        return Text(f"left: {told}", style="progress.remaining")
