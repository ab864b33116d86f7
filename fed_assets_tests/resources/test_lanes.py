from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from fed_assets.resources import lanes
from fed_assets.resources.dagster_run import Launch
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
        )
    assert seen[0] == 2
    assert not running()


def test_all_that_are_under_way_are_asked_to_stop_at_once(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = {name: tmp_path / f"{name}.txt" for name in "abc"}

    def lingering(name: str) -> Launch:
        plain = launch(home, name, "lingers")
        return Launch((*plain.command, str(notes[name])), plain.tag, plain.log)

    slept = time.sleep

    def interrupt(seconds: float) -> None:
        slept(seconds)
        if all(note.exists() and note.read_text() for note in notes.values()):
            monkeypatch.undo()
            raise KeyboardInterrupt

    monkeypatch.setattr(lanes.time, "sleep", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run_lanes(
            [["a"], ["b"], ["c"]],
            lingering,
            home,
            on_start=lambda _: None,
            on_end=lambda *_: None,
        )
    asked = sorted(float(note.read_text()) for note in notes.values())
    # One after another the last would have been asked six seconds after the first.
    assert asked[-1] - asked[0] < 2.5
