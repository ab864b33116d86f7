"""How much time a row of jobs takes yet: a first guess at once, and soon by what jobs took here."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from statistics import fmean
from typing import Any

from rich.console import RenderableType
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TimeElapsedColumn
from rich.text import Text

from fed_assets.cli.step import Step
from fed_assets.cli.stored_results import Stored
from fed_assets.federation.roster import Roster
from fed_assets.resources.home import Home
from fed_assets.resources.jobs import AUDIT, COMPARISON, LIFECYCLE, REFERENCES

# Seconds on two cores with nothing else to do: of a job, and for each hospital and round besides.
# Lifecycles: by benchmarks/results/lifecycle-minimal.json and soak.json; the others: by how long
# they took as against lifecycles, in `fed-assets compare` of 3 hospitals with 2 rounds and 10 with
# 15. Audits and references run side by side there, which takes each about twice as long as alone:
# judged by what they take alone, they would make a machine out to be half as fast as it is.
USUAL = {
    AUDIT: (26.0, 0.0),
    REFERENCES: (16.0, 0.7),  # of each seed
    LIFECYCLE: (16.0, 0.31),
    COMPARISON: (14.0, 0.0),
}
# Between what times its middle a guess lies: it is within a factor of two, rather of more.
LEAST, MOST = 0.8, 1.6
# How long a sandbox that never ran here takes, as against the mean of those that did: on a quiet
# machine the five took 52 to 110 seconds, 72 on the average.
SHORTEST, LONGEST = 0.7, 1.4
OVERDUE = 0.1  # what is left at least of a job, as a share of what it has taken
Stages = Sequence[Sequence[Sequence[Step]]]  # one after another: lanes side by side, of steps


def usual_seconds(step: Step, roster: Roster, *, seeds: int) -> float:
    """Returns how long a job takes on a quiet machine of two cores; of how many seeds."""
    of_job, of_round = USUAL[step.job]
    once = of_job + of_round * len(roster.hospitals) * roster.rounds
    return once * seeds if step.job == REFERENCES else once


class Pace:
    """How long jobs took that ended, and what is still to be done.

    Args:
        stages: all that is to be done.
        took: seconds by what ended before.
        usual: how long a job takes on a quiet machine, see `usual_seconds`.
        clock: tells seconds.
    """

    def __init__(
        self,
        stages: Stages,
        took: Mapping[Step, float],
        usual: Callable[[Step], float],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.usual = usual
        self._stages, self._took, self._clock = stages, dict(took), clock
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

    def seconds_left(self) -> tuple[float, float]:
        """Returns the least and the most time that is left; both 0 where all is done.

        A job is expected to take as long as the same with another seed did; else, about as long as
        the same of other sandboxes did on the average. Where none of its kind was measured, it is a
        guess: as much longer than usual as what was measured took. What takes longer than was
        expected has some time left all the same.
        """
        slower = self._slower()
        least = most = 0.0
        for lanes in self._stages:
            of_lanes = [
                [self._left_of(step, slower) for step in lane if step not in self._ended]
                for lane in lanes
            ]
            least += max((sum(low for low, _ in lane) for lane in of_lanes), default=0.0)
            most += max((sum(high for _, high in lane) for lane in of_lanes), default=0.0)
        return least, most

    def told(self) -> str:
        """Returns the time that is left in words.

        Until a job was measured that tells how slow the machine is, that is called a first guess:
        for a machine with nothing else to do, until a job takes longer than it would there.
        """
        told = about(*self.seconds_left())
        if self._telling():
            return told
        quiet = " if nothing else runs" if self._slower() == 1 else ""
        return f"{told}, a first guess{quiet}"

    def _left_of(self, step: Step, slower: float) -> tuple[float, float]:
        elapsed = self._elapsed(step)
        alike = {known: took for known, took in self._took.items() if known.job == step.job}
        same = [took for known, took in alike.items() if known.sandbox == step.sandbox]
        if same:
            least = most = fmean(same)
        elif alike:
            least, most = (fmean(alike.values()) * part for part in (SHORTEST, LONGEST))
        else:
            least, most = (self.usual(step) * slower * part for part in (LEAST, MOST))
        return (
            max(least - elapsed, OVERDUE * elapsed),
            max(most - elapsed, OVERDUE * elapsed),
        )

    def _slower(self) -> float:
        """Returns how many times as long as usual jobs take here, those too that are overdue."""
        known = self._telling()
        slower = self._times_usual(known)
        for step in self._begun.keys() - self._ended:
            if (elapsed := self._elapsed(step)) > self.usual(step) * slower:
                known[step] = elapsed
        return self._times_usual(known)

    def _telling(self) -> dict[Step, float]:
        """Returns the seconds of what tells how slow the machine is.

        A comparison takes as long as there is much to compare, and of nothing a few seconds.
        """
        return {step: took for step, took in self._took.items() if step.job != COMPARISON}

    def _times_usual(self, known: Mapping[Step, float]) -> float:
        usual = sum(map(self.usual, known))
        return sum(known.values()) / usual if usual else 1.0

    def _elapsed(self, step: Step) -> float:
        return self._clock() - self._begun[step] if step in self._begun else 0.0


def about(least: float, most: float) -> str:
    """Returns a span of time in words, as roughly as it is known.

    >>> about(400, 800), about(44, 46), about(80, 150), about(0.5, 2)
    ('about 7 to 13 min', 'about 45 s', 'about 80 s to 2 min', 'about 5 s')
    >>> about(5000, 9000)
    'about 1.4 to 2.5 h'
    """
    (low, unit), (high, larger) = map(_rough, (least, most))
    if (low, unit) == (high, larger):
        return f"about {low} {unit}"
    return f"about {low}{'' if unit == larger else f' {unit}'} to {high} {larger}"


def _rough(seconds: float) -> tuple[str, str]:
    if seconds < 90:
        return str(max(5, 5 * round(seconds / 5))), "s"
    if seconds < 3600:
        return str(round(seconds / 60)), "min"
    return f"{seconds / 3600:.1f}", "h"


def pace_of(stages: Stages, home: Home, stored: Stored, roster: Roster, *, seeds: int) -> Pace:
    """Returns the pace of a comparison that begins.

    Args:
        stages: all that is to be done.
        home: where jobs ran before.
        stored: what they came to.
        roster: what is asked for.
        seeds: how many seeds are.

    Raises:
        StorageError: Dagster's tables cannot be read or written.
    """
    took = measured_before(home, stored, roster.rounds, seeds=seeds)
    return Pace(stages, took, partial(usual_seconds, roster=roster, seeds=seeds))


def measured_before(home: Home, stored: Stored, rounds: int, *, seeds: int) -> dict[Step, float]:
    """Returns how many seconds jobs took that ended before, by job; see `pace_of`.

    Lifecycles and references of other rounds tell nothing, and references take as long by seed.
    """
    from fed_assets.resources.earlier_seconds import earlier_seconds

    found = {
        Step(job, sandbox): seconds
        for (job, sandbox), seconds in earlier_seconds(
            home, (AUDIT, REFERENCES, COMPARISON)
        ).items()
    }
    references, trained = stored.references or {}, Step(REFERENCES)
    if references.get("rounds") != rounds or not references.get("seeds"):
        found.pop(trained, None)
    elif trained in found:
        found[trained] *= seeds / len(references["seeds"])
    for run, record in stored.records.items():
        seconds = (record.get("efficiency") or {}).get("wall_seconds")
        if seconds and record["rounds"] == rounds:
            found[run] = float(seconds)
    return found


class TimeLeft(ProgressColumn):
    """The time that is left."""

    def __init__(self, pace: Pace) -> None:
        super().__init__()
        self._pace = pace

    def render(self, task: Task) -> Text:
        """Returns it as the bar shows it."""
        return Text(f"left: {self._pace.told()}", style="progress.remaining")


class JobsBar(Progress):
    """What is going on in a line, and below it how far all is, how long it took and takes yet."""

    def __init__(self, pace: Pace, **settings: Any) -> None:
        # So narrow that the longest time left fits into a line of 80 columns.
        super().__init__(BarColumn(10), TimeElapsedColumn(), TimeLeft(pace), **settings)

    def get_renderables(self) -> Iterable[RenderableType]:
        """Returns the lines."""
        for task in self.tasks:
            yield Text(task.description, no_wrap=True, overflow="ellipsis")
        yield self.make_tasks_table(self.tasks)
