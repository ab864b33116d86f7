from __future__ import annotations

from rich.progress import Progress

from fed_assets.cli.time_left import DONE_AFTER, TimeLeft, seconds_left


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_before_anything_is_done_the_bar_says_that_it_is_estimating() -> None:
    clock, column = Clock(), TimeLeft()
    bar = Progress(column, get_time=clock, disable=True)
    task = bar.add_task("", total=10)
    clock.now += 90
    assert column.render(bar.tasks[task]).plain == "left: estimating"
    bar.update(task, advance=4, **{DONE_AFTER: bar.tasks[task].elapsed})
    assert column.render(bar.tasks[task]).plain == "left: about 0:02:15"
    clock.now += 30
    assert column.render(bar.tasks[task]).plain == "left: about 0:01:45"
    clock.now += 300  # a job takes longer than those before it told
    assert column.render(bar.tasks[task]).plain == "left: estimating"
    bar.update(task, advance=6, **{DONE_AFTER: bar.tasks[task].elapsed})
    assert column.render(bar.tasks[task]).plain == "left: about 0:00:00"


def test_what_is_done_says_how_long_a_weight_takes() -> None:
    assert seconds_left(elapsed=60, done=1, total=4, done_after=60) == 180
    assert seconds_left(elapsed=60, done=3, total=4, done_after=60) == 20
    assert seconds_left(elapsed=60, done=0, total=4, done_after=None) is None
    assert seconds_left(elapsed=100, done=3, total=4, done_after=60) is None
