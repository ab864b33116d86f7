"""How much time a row of jobs takes yet, by what those that are done took."""

from __future__ import annotations

from datetime import timedelta

from rich.progress import ProgressColumn, Task
from rich.text import Text

ESTIMATING = "estimating"
DONE_AFTER = "done_after_seconds"  # of a task: how long what is done took


def seconds_left(
    *, elapsed: float, done: float, total: float, done_after: float | None
) -> float | None:
    """Returns the time that is left; None where nothing tells it.

    What is done tells how long a weight takes. Where the job in progress takes longer than that, it
    tells no more.

    Args:
        elapsed: seconds since the beginning.
        done: the weight of what is done.
        total: the weight of all.
        done_after: how long that took in seconds.

    >>> seconds_left(elapsed=70.0, done=2, total=6, done_after=60.0)
    110.0
    >>> seconds_left(elapsed=70.0, done=0, total=6, done_after=None)
    """
    if done_after is None or done <= 0:
        return None
    left = done_after / done * (total - done) - (elapsed - done_after)
    return left if left > 0 or done >= total else None


class TimeLeft(ProgressColumn):
    """The time left, or that it is being estimated."""

    def render(self, task: Task) -> Text:
        """Returns it as the bar shows it."""
        left = seconds_left(
            elapsed=task.elapsed or 0.0,
            done=task.completed,
            total=task.total or 0.0,
            done_after=task.fields.get(DONE_AFTER),
        )
        told = ESTIMATING if left is None else f"about {timedelta(seconds=round(left))}"
        return Text(f"left: {told}", style="progress.remaining")
