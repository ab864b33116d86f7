"""The soak: whom it kills, what it says, what it takes for wrong, and that it cleans up."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from benchmarks.soak import SANDBOXES, draw_schedule
from benchmarks.telling import line, table
from benchmarks.verdicts import complaints
from fed_assets.federation.control import CONTROL_SOCKET
from fed_assets.resources.home import Home
from fed_assets_tests.conftest import PROJECT
from fed_assets_tests.leftovers import called, left_behind, processes

IN_THE_HOME = ".bench-*/place/home"
RECORD: dict[str, Any] = {
    "run": 3,
    "sandbox": "minimal",
    "warm": False,
    "kill": "the run",
    "killed": "child 17",
    "code": 1,
    "said": "minimal: The run's process ended (signal 9). To mend it: run again.",
    "seconds": 19.4,
    "left": [],
    "wrong": [],
}


@pytest.mark.parametrize(("runs", "cold", "kills"), [(20, 10, 10), (4, 2, 2), (6, 0, 3), (2, 0, 0)])
def test_half_of_the_runs_are_disturbed_but_never_the_first_of_a_sandbox(runs, cold, kills) -> None:
    for seed in range(20):
        schedule = draw_schedule(runs, cold, random.Random(seed))
        assert len(schedule) == kills
        assert set(schedule) <= set(range(1 + len(SANDBOXES), runs + 1))
        assert schedule == draw_schedule(runs, cold, random.Random(seed))


def test_a_line_says_who_was_killed_how_it_ended_and_how_it_went_on() -> None:
    again = {"job": "retrain", "code": 0, "seconds": 20.9, "resumed_from": {"round": 9}}
    assert line(RECORD | {"again": again}) == (
        " 3 cold minimal · the run killed · failed: The run's process ended (signal 9)"
        " · retrain succeeded from round 10 · 40 s"
    )
    calm = RECORD | {"warm": True, "kill": None, "killed": None, "code": 0, "said": ""}
    assert line(calm) == " 3 warm minimal · nobody killed · succeeded · 19 s"
    assert "the run outrun" in line(RECORD | {"killed": None})
    assert "ended with 7" in line(RECORD | {"code": 7})


def test_what_is_wrong_with_the_run_that_went_on_is_wrong_too() -> None:
    again = {"left": ["port 8002 answers"], "wrong": ["it has 9 rounds"]}
    assert complaints(RECORD | {"again": again}) == ["port 8002 answers", "it has 9 rounds"]
    assert complaints(RECORD) == []


def test_the_table_holds_what_grows_beside_its_bounds() -> None:
    soak = json.loads((PROJECT / "benchmarks/results/soak.json").read_text())
    figures = list(table(soak).columns[0].cells)
    assert [figure for figure in figures if "memory" in str(figure)]
    soak.pop("warm_own_memory_bytes_per_job")
    assert len(list(table(soak).columns[0].cells)) == len(figures) - 1


def dead_socket(path: Path) -> None:
    """Leaves a socket's file, as a killed process does."""
    path.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as own:
        # A socket's path may have some hundred characters, a test's folder may have more.
        directory = os.open(path.parent, os.O_RDONLY)
        own.bind(f"/proc/self/fd/{directory}/{path.name}")
        os.close(directory)


def test_the_socket_of_a_killed_federation_is_gone_after_a_look_and_any_other_is_wrong(
    tmp_path: Path,
) -> None:
    home = Home(tmp_path / "home").prepare()
    own = home.warm("minimal") / CONTROL_SOCKET
    dead_socket(own)
    dead_socket(home.root / "elsewhere" / CONTROL_SOCKET)
    assert own.is_socket()
    assert left_behind(home) == [f"file elsewhere/{CONTROL_SOCKET}"]
    assert not own.exists()


@contextmanager
def soaking(folder: Path, until: str) -> Iterator[subprocess.Popen[str]]:
    """Starts a short soak in a folder; yields when there is something in its home."""
    temporary = folder / "temporary"
    temporary.mkdir()
    options = ["--runs", "2", "--cold", "0", "--jobs", "0", "--output", str(folder / "soak.json")]
    soak = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.soak", *options],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(PROJECT), "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        end = time.monotonic() + 100
        while not [*folder.glob(f"{IN_THE_HOME}/{until}")]:
            assert soak.poll() is None, soak.communicate()
            assert time.monotonic() < end
            time.sleep(0.05)
        yield soak
    finally:
        soak.kill()
        soak.communicate()
        for each in processes(Home(folder)):
            each.kill()


def listening() -> dict[int, int | None]:
    """Returns the ports on which somebody listens, and who."""
    return {
        link.laddr.port: link.pid
        for link in psutil.net_connections(kind="tcp")
        if link.status == psutil.CONN_LISTEN
    }


def ports_of(running: list[psutil.Process]) -> set[int]:
    pids = {each.pid for each in running}
    return {port for port, pid in listening().items() if pid in pids}


def nothing_is_left(folder: Path, ports: set[int], *kept: str) -> None:
    assert [called(each) for each in processes(Home(folder))] == []
    assert ports & listening().keys() == set()
    assert sorted(path.name for path in folder.iterdir()) == sorted(("temporary", *kept))
    assert [*(folder / "temporary").iterdir()] == []


@pytest.mark.long
@pytest.mark.parametrize(
    ("number", "until", "at_work", "open_ports"),
    [
        # A warm federation comes up; a lifecycle is in the middle of its training on it.
        (signal.SIGINT, "warm/minimal/federation/sites", 3, 0),
        (signal.SIGTERM, "federations/minimal/*/outbox/rounds/0001", 3 + 5 * 3, 1),
    ],
)
def test_a_soak_that_is_stopped_in_the_middle_leaves_nothing_and_says_so(
    tmp_path: Path, number: signal.Signals, until: str, at_work: int, open_ports: int
) -> None:
    with soaking(tmp_path, until) as soak:
        running = processes(Home(tmp_path))
        ports = ports_of(running)
        assert len(running) >= at_work
        assert len(ports) >= open_ports
        soak.send_signal(number)
        out, errors = soak.communicate(timeout=30)
        assert soak.returncode == 128 + number
        assert out == ""
        assert errors == (
            f"The soak was stopped by {number.name}: nothing of it is left, no result is written.\n"
        )
        nothing_is_left(tmp_path, ports)


@pytest.mark.long
def test_a_soak_that_breaks_off_leaves_nothing_but_its_log(tmp_path: Path) -> None:
    with soaking(tmp_path, "warm/minimal/federation/sites") as soak:
        running = processes(Home(tmp_path))
        ports = ports_of(running)
        (bringing_up,) = [each for each in running if "federation up minimal" in called(each)]
        bringing_up.kill()  # what it brings up has a session of its own, and lives on
        out, errors = soak.communicate(timeout=30)
        assert soak.returncode == 1
        assert errors == ""
        first, last = out.splitlines()
        assert "broke off, without a result" in first
        assert "`federation up minimal` ended with -9" in first
        assert last == f"The log is {tmp_path / 'soak.log'}"
        assert "RuntimeError" in (tmp_path / "soak.log").read_text()
        nothing_is_left(tmp_path, ports, "soak.log")
