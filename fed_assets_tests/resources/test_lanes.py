from __future__ import annotations

import ast
import errno
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from fed_assets.resources import lanes, next_run
from fed_assets.resources.dagster_run import Launch, StartedRun
from fed_assets.resources.home import Home
from fed_assets.resources.lanes import run_stages
from fed_assets.resources.run_events import RunEvents

PROGRAMS = {
    "ends": "",
    "fails": "raise SystemExit('no luck')",
    "sleeps": "import time; time.sleep(600)",
    # Says which process it is, and with which arguments.
    "notes": """
import os, pathlib, sys
pathlib.Path(sys.argv[-1]).write_text(f"{os.getpid()} {sys.argv[1:-1]}")
""",
    # Goes on until somebody says that it is enough.
    "lasts": """
import pathlib, sys, time
while not pathlib.Path(sys.argv[-1]).exists():
    time.sleep(0.05)
""",
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


def launch(home: Home, name: str, program: str, *arguments: str, measured: bool = False) -> Launch:
    """Returns a launch of a real process that is no job of Dagster's, and so ends at once."""
    command = (f"lane_{program}", "--tags", "{}", *arguments)
    return Launch(command, name, home.root / "logs" / f"{name}.log", measured)


def waiting() -> list[psutil.Process]:
    """Returns the processes that wait to be let go."""
    return [
        each
        for each in psutil.Process().children()
        if each.status() != psutil.STATUS_ZOMBIE and "fed_assets.ready" in each.cmdline()
    ]


def test_lanes_run_side_by_side_and_a_lane_goes_on_after_a_failed_run(home: Home) -> None:
    told: list[tuple[str, str]] = []
    ends = {"a1": "fails", "a2": "ends", "b1": "ends", "c1": "ends"}
    run_stages(
        [[["a1", "a2"], ["b1"], []], [["c1"]]],
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
    # A stage begins when all lanes of the one before are over.
    assert told[-2:] == [("start", "c1"), ("()", "c1")]
    assert len(told) == 8


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
        run_stages(
            [[["a"], ["b"]]],
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
        run_stages(
            [[["a"], ["b"], ["c"]]],
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


class Row:
    """Runs in a row: of the first it is noted who waits beside it, the last notes what it is."""

    def __init__(self, home: Home, folder: Path, *, measured: bool = False) -> None:
        self._home, self._measured = home, measured
        self._enough, self.note = folder / "enough", folder / "note"
        self.planned: list[str] = []
        self.beside: list[psutil.Process] = []
        self.failures: dict[str, tuple[str, ...]] = {}

    def launch(self, name: str) -> Launch:
        self.planned.append(name)
        if name == "first":
            enough = str(self._enough)
            return launch(self._home, name, "lasts", enough, measured=self._measured)
        return launch(self._home, name, "notes", name, str(self.note))

    def run(self) -> None:
        run_stages(
            [[["first"]], [["second"]]],
            self.launch,
            self._home,
            on_start=lambda _: None,
            on_end=lambda name, finished: self.failures.update({name: finished.failures}),
            on_stop=lambda: None,
        )

    def look(self) -> None:
        """Notes who waits beside the first, and lets that end."""
        if not self._enough.exists():
            self.beside = waiting()
            self._enough.touch()


def at_a_look(monkeypatch: pytest.MonkeyPatch, number: int, act: Callable[[], None]) -> None:
    """Has something done between two looks at what is under way."""
    looks = itertools.count(1)
    sleep = time.sleep

    def then(seconds: float) -> None:
        if next(looks) == number:
            act()
        sleep(seconds)

    monkeypatch.setattr(lanes.time, "sleep", then)


def test_the_next_of_another_stage_gets_ready_while_one_goes_on_and_is_what_was_asked_for(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = Row(home, tmp_path)
    at_a_look(monkeypatch, 2, row.look)
    row.run()
    (process,) = row.beside  # and never more than one
    pid, _, arguments = row.note.read_text().partition(" ")
    assert int(pid) == process.pid
    tags, name = ast.literal_eval(arguments)[1:]
    assert name == "second"
    assert json.loads(tags)["fed_assets/launch"] == "second"
    assert row.planned == ["first", "second"]
    assert row.failures == {"first": (), "second": ()}
    assert not waiting()


def test_beside_what_is_measured_nothing_gets_ready_before_its_report(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = Row(home, tmp_path, measured=True)
    at_a_look(monkeypatch, 2, row.look)
    row.run()  # the first never made one: the second starts as any run does
    assert row.beside == []
    assert "second" in row.note.read_text()
    monkeypatch.setattr(RunEvents, "follow", lambda events: setattr(events, "reported", True))
    row = Row(home, tmp_path / "other", measured=True)
    (tmp_path / "other").mkdir()
    at_a_look(monkeypatch, 2, row.look)
    row.run()
    (process,) = row.beside
    assert row.note.read_text().startswith(f"{process.pid} ")


def test_a_run_whose_process_was_killed_while_it_waited_is_started_anew(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = Row(home, tmp_path)

    def kill() -> None:
        row.look()
        for each in row.beside:
            each.kill()
            os.waitid(os.P_PID, each.pid, os.WEXITED | os.WNOWAIT)

    at_a_look(monkeypatch, 2, kill)
    row.run()
    (process,) = row.beside
    assert row.failures == {"first": (), "second": ()}
    assert "second" in row.note.read_text()
    assert not row.note.read_text().startswith(f"{process.pid} ")


def test_where_no_process_can_get_ready_what_goes_on_is_not_disturbed(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_memory(*_: Any) -> None:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(next_run, "made_ready", no_memory)
    row = Row(home, tmp_path)
    at_a_look(monkeypatch, 4, row.look)
    row.run()
    assert row.beside == []
    assert row.planned == ["first", "second", "second"]  # it is tried once, and then started
    assert row.failures == {"first": (), "second": ()}


def test_whoever_interrupts_it_ends_the_one_that_waits_of_which_nothing_is_left(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = Row(home, tmp_path)

    def interrupt() -> None:
        row.look()
        assert (home.root / "logs" / "second.log").exists()
        raise KeyboardInterrupt

    at_a_look(monkeypatch, 2, interrupt)
    with pytest.raises(KeyboardInterrupt):
        row.run()
    assert len(row.beside) == 1
    assert not waiting()
    assert not row.note.exists()
    assert [each.name for each in (home.root / "logs").iterdir()] == ["first.log"]


def test_one_that_waits_ends_with_whoever_started_it(home: Home, tmp_path: Path) -> None:
    starter = """
import os, pathlib, sys
from fed_assets.resources.home import Home
from fed_assets.resources.run_process import ReadyProcess
home, note, log = sys.argv[1:]
ready = ReadyProcess(["lane_notes", note], Home(pathlib.Path(home)), pathlib.Path(log))
print(ready._process.pid, flush=True)
os.kill(os.getpid(), 9)
"""
    note, log = tmp_path / "note", tmp_path / "log"
    ran = subprocess.run(
        [sys.executable, "-c", starter, str(home.root), str(note), str(log)],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    with suppress(psutil.NoSuchProcess):
        psutil.Process(int(ran.stdout)).wait(20)
    assert not note.exists()
    assert log.read_text() == ""
