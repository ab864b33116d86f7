"""What a run's meter tells of real processes, and that it costs little and leaves nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from fed_assets.resources.energy import NO_COUNTERS, UNREADABLE
from fed_assets.resources.looks import HIDDEN, Looks, rows
from fed_assets.resources.run_meter import METER, RunMeter
from fed_assets_tests.confining import BECOMES, require_root, run_module

HIDDEN_PROCESS = "fed_assets_tests.resources.hidden_process"
# Holds memory and takes processor time; then forks some that share the memory.
WORK = """
import os, sys, time
held = bytearray(os.urandom(1)) * 100_000_000
while time.process_time() < 0.5: pass
for _ in range(int(sys.argv[1])):
    if os.fork() == 0:
        time.sleep(600)
print(flush=True)
sys.stdin.read()
"""

GROW = """
import os, sys
print(flush=True)
sys.stdin.readline()
held = bytearray(os.urandom(1)) * 100_000_000
print(flush=True)
sys.stdin.read()
"""


@contextmanager
def working(children: int = 0) -> Iterator[psutil.Process]:
    """Yields a process that has done its work, and whose children share its memory."""
    command = [sys.executable, "-c", WORK, str(children)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        known = psutil.Process(process.pid)
        try:
            yield known
        finally:
            for each in known.children():
                each.kill()
            process.kill()


@pytest.fixture
def meter(tmp_path: Path) -> Iterator[RunMeter]:
    made = RunMeter(tmp_path)
    yield made
    made.end()


def meters_below() -> list[psutil.Process]:
    return [
        each
        for each in psutil.Process().children()  # those of other tests may be zombies
        if each.status() != psutil.STATUS_ZOMBIE and METER in " ".join(each.cmdline())
    ]


def row(told: dict[str, Any], program: str) -> dict[str, Any]:
    (found,) = [each for each in told["processes"] if each["program"] == program]
    return dict(found)


def highest(looks: Looks) -> tuple[int, int]:
    """Returns the highest total so far, and how often what is shared was read."""
    told = looks.told()
    return told["peak_memory_bytes"], told["meter"]["readings"]


def test_a_meter_tells_time_and_memory_of_a_process_and_all_below_it(meter: RunMeter) -> None:
    before = meter.told()
    with working():
        told = meter.told()
    assert before is not None and told is not None
    assert 0.45 <= told["cpu_seconds"] - before["cpu_seconds"] < 2.0
    assert row(told, "other")["peak_memory_bytes"] > 100e6
    assert row(told, "other")["cpu_seconds"] >= 0.45  # Linux counts by hundredths
    assert row(told, "run")["processes"] == row(told, "meter")["processes"] == 1
    assert told["sites"] == {}
    # What has ended counts with who waited for it.
    after = meter.told()
    assert after is not None
    assert after["cpu_seconds"] - before["cpu_seconds"] >= 0.45  # Linux counts by hundredths


def test_what_processes_share_counts_once() -> None:
    with working(children=4) as process:
        looks = Looks(process.pid)
        looks.look()
        told = looks.told()
        resident = sum(each.memory_info().rss for each in (process, *process.children()))
    assert row(told, "other")["processes"] == 4
    assert row(told, "other")["peak_memory_bytes"] > 100e6
    assert 100e6 < told["peak_memory_bytes"] < 160e6 < 500e6 < resident


def test_memory_is_read_as_soon_as_it_has_grown_and_the_highest_moment_stays() -> None:
    looks = Looks(os.getpid())
    command = [sys.executable, "-c", GROW]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdout.readline()
        looks.look()
        low, readings = highest(looks)
        process.stdin.write(b"\n")
        process.stdin.flush()
        process.stdout.readline()
        looks.look()
        looks.look()  # it grows no more
        high, more = highest(looks)
        assert more > readings
        assert high > low + 90e6
        process.kill()
    looks.look()
    looks.look()
    assert highest(looks)[0] == high


def test_shares_are_read_no_more_often_than_they_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fed_assets.resources.looks.MOST_SHARE", 1e-9)
    monkeypatch.setattr("fed_assets.resources.looks.FIRST_SECONDS", 0.0)
    looks = Looks(os.getpid())
    for _ in range(3):
        with working():
            assert looks.look() > 1000
            looks.look()
    assert highest(looks)[1] == 1


def test_what_has_ended_and_was_not_waited_for_is_what_it_was() -> None:
    looks = Looks(os.getpid())
    command = [sys.executable, "-c", "import sys; sys.stdin.read()", "client.client_train"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE)
    looks.look()
    process.kill()
    while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    looks.look()
    process.communicate()
    assert row(looks.told(), "client")["peak_memory_bytes"] > 1e6


def test_a_task_is_what_it_says_of_itself(meter: RunMeter) -> None:
    meter.note("north", {"cpu_seconds": 0.25, "peak_memory_bytes": 10})
    meter.note("north", {"cpu_seconds": 0.5, "peak_memory_bytes": 30})
    meter.note("north", {"log": "its outbox log, which says nothing of a cost"})
    told = meter.told()
    assert told is not None
    assert row(told, "task") == {
        "site": "north",
        "program": "task",
        "processes": 2,
        "cpu_seconds": 0.75,
        "peak_memory_bytes": 30,
    }
    seen = [("north", "client", 1.0, 5), ("", "run", 2.0, 9), ("north", "client", 1.0, 4)]
    assert [each["site"] for each in rows(seen)] == [None, "north"]


def test_what_the_machine_does_not_tell_is_null_with_the_reason(meter: RunMeter) -> None:
    told = meter.told()
    assert told is not None
    why = told["not_measured"].get("energy_joules")
    assert (told["energy_joules"] is None) == (why in (NO_COUNTERS, UNREADABLE))


def test_who_may_not_look_into_a_process_tells_no_total_memory() -> None:
    ran = run_module(HIDDEN_PROCESS, user=BECOMES)
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert told["peak_memory_bytes"] is None
    assert told["not_measured"]["peak_memory_bytes"] == HIDDEN
    assert row(told, "other")["peak_memory_bytes"] > 1e6  # of each process alone anyone is told
    assert told["cpu_seconds"] > 0


def test_root_is_told_of_hidden_processes_too() -> None:
    require_root()
    told = json.loads(run_module(HIDDEN_PROCESS).stdout)
    if "peak_memory_bytes" in told["not_measured"]:
        pytest.skip("this root may not look into other processes")
    assert told["peak_memory_bytes"] > 1e6


def test_it_looks_about_once_a_second_is_small_and_ends_with_the_run(tmp_path: Path) -> None:
    meter = RunMeter(tmp_path)
    (process,) = meters_below()
    with working(children=20):
        time.sleep(3)
        assert process.memory_full_info().pss < 15e6
        told = meter.told()
    assert told is not None
    measuring = told["meter"]
    assert 1 <= measuring["readings"] <= measuring["looks"] <= measuring["seconds"] + 2
    meter.end()
    assert meters_below() == []
    assert meter.told() is None


def test_a_meter_that_was_killed_tells_nothing(meter: RunMeter) -> None:
    (process,) = meters_below()
    process.kill()
    assert meter.told() is None


def test_it_goes_with_a_run_that_is_killed(tmp_path: Path) -> None:
    run = (
        "import sys; from pathlib import Path\n"
        "from fed_assets.resources.run_meter import RunMeter\n"
        "meter = RunMeter(Path(sys.argv[1]))\n"
        "print(meter.told() is not None, flush=True)\n"
        "sys.stdin.read()"
    )
    command = [sys.executable, "-c", run, str(tmp_path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "True\n"
    (below,) = psutil.Process(process.pid).children()
    process.kill()
    process.communicate()
    below.wait(10)
