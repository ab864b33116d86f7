from __future__ import annotations

from pathlib import Path
from typing import Any

import psutil
import pytest

from fed_assets.resources import lanes
from fed_assets.resources.dagster_run import Launch, StartedRun
from fed_assets.resources.home import Home
from fed_assets.resources.lanes import run_lanes

PROGRAMS = {
    "ends": "",
    "fails": "raise SystemExit('no luck')",
    "sleeps": "import time; time.sleep(600)",
    # Says when it was asked to stop, and takes its time.
    "lingers": """
import pathlib, signal, sys, time
def stop(*_):
    pathlib.Path(sys.argv[-1]).write_text(str(time.time()))
    time.sleep(3)
    sys.exit(130)
signal.signal(signal.SIGINT, stop)
pathlib.Path(sys.argv[-1]).write_text("ready")
time.sleep(600)
""",
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    for name, program in PROGRAMS.items():
        (tmp_path / f"lane_{name}.py").write_text(program)
    return Home(tmp_path / "home").prepare()


def launch(home: Home, name: str, program: str) -> Launch:
    """Returns a launch of a real process that is no job of Dagster's, and so ends at once."""
    command = (f"lane_{program}", "--tags", "{}")
    return Launch(command, tag=name, log=home.root / "logs" / f"{name}.log")


def test_lanes_run_side_by_side_and_a_lane_goes_on_after_a_failed_run(home: Home) -> None:
    told: list[tuple[str, str]] = []
    ends = {"a1": "fails", "a2": "ends", "b1": "ends"}
    run_lanes(
        [["a1", "a2"], ["b1"], []],
        lambda name: launch(home, name, ends[name]),
        home,
        on_start=lambda name: told.append(("start", name)),
        on_end=lambda name, finished: told.append((f"{finished.failures}", name)),
        on_stop=lambda: told.append(("stop", "all")),
    )
    assert told[:2] == [("start", "a1"), ("start", "b1")]
    assert told.index(("('no luck',)", "a1")) < told.index(("start", "a2"))
    assert ("()", "a2") in told
    assert ("()", "b1") in told
    assert len(told) == 6


def test_whoever_interrupts_it_stops_all_that_were_under_way(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def running() -> list[psutil.Process]:
        return [
            each
            for each in psutil.Process().children()
            if each.status() != psutil.STATUS_ZOMBIE and "lane_sleeps" in each.cmdline()
        ]

    seen: list[int] = []
    stopped: list[None] = []

    def interrupt(_: float) -> None:
        seen.append(len(running()))
        if len(seen) == 1:  # waiting for processes to end sleeps too
            raise KeyboardInterrupt

    def not_ended(*_: Any) -> None:
        pytest.fail("a run ended before it was interrupted")

    monkeypatch.setattr(lanes.time, "sleep", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run_lanes(
            [["a"], ["b"]],
            lambda name: launch(home, name, "sleeps"),
            home,
            on_start=lambda _: None,
            on_end=not_ended,
            on_stop=lambda: stopped.append(None),
        )
    assert seen[0] == 2
    assert len(stopped) == 1
    assert not running()


@pytest.mark.parametrize("between_looks", [True, False])
def test_all_that_are_under_way_are_asked_to_stop_at_once_and_that_is_told_before_the_wait(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, between_looks: bool
) -> None:
    notes = {name: tmp_path / f"{name}.txt" for name in "abc"}

    def lingering(name: str) -> Launch:
        plain = launch(home, name, "lingers")
        return Launch((*plain.command, str(notes[name])), plain.tag, plain.log)

    # Ctrl-C comes while nothing is done, or while it is looked whether a run has ended.
    place, name = (lanes.time, "sleep") if between_looks else (StartedRun, "ended")
    went_on = getattr(place, name)

    def interrupt(of: Any) -> Any:
        if all(note.exists() and note.read_text() for note in notes.values()):
            monkeypatch.undo()
            raise KeyboardInterrupt
        return went_on(of)

    told: list[list[int]] = []

    def on_stop() -> None:
        told.append([each.pid for each in psutil.Process().children() if lingers(each)])

    def lingers(process: psutil.Process) -> bool:
        alive = process.status() != psutil.STATUS_ZOMBIE
        return alive and "lane_lingers" in process.cmdline()

    monkeypatch.setattr(place, name, interrupt)
    with pytest.raises(KeyboardInterrupt):
        run_lanes(
            [["a"], ["b"], ["c"]],
            lingering,
            home,
            on_start=lambda _: None,
            on_end=lambda *_: None,
            on_stop=on_stop,
        )
    asked = sorted(float(note.read_text()) for note in notes.values())
    # One after another the last would have been asked six seconds after the first.
    assert asked[-1] - asked[0] < 2.5
    (stopping,) = told
    assert len(stopping) == 3  # all of them were there yet
