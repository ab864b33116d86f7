from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fed_assets.resources.process_table import (
    PAGE,
    TICKS,
    Member,
    family,
    read_peak,
    read_share,
    read_title,
    seconds_by_site,
)

NVFLARE = "nvflare.private.fed.app."
# A run as it looks in a list of processes: process id, parent, title.
RUN = [
    (10, 1, "dagster job execute"),
    (11, 10, "python\0-m\0fed_assets.federation.template\x004\x0010\0"),
    (12, 11, "fed_assets.federation.supervisor north"),
    (13, 12, f"{NVFLARE}client.client_train uid=north"),
    (14, 12, f"{NVFLARE}client.worker_process north"),
    (15, 12, "fed_assets.hospital.worker"),
    (16, 15, "python\0-m\0fed_assets.hospital.attestation\0"),
    (17, 11, "fed_assets.federation.supervisor server"),
    (18, 17, f"{NVFLARE}server.runner_process server"),
    (19, 18, "fed_assets.federation.supervisor"),  # it says no more of itself
    (20, 10, "python\0-m\0fed_assets.resources.run_watch\0"),
    (99, 1, "somebody else's"),
]


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """Returns a folder like /proc, with the processes of a run and one that is none of its."""
    for pid, parent, title in RUN:
        folder = tmp_path / str(pid)
        folder.mkdir()
        fields = ["S", str(parent), *["0"] * 50]
        for at, ticks in {11: 3, 12: 1, 13: 40, 14: 10}.items():
            fields[at] = str(ticks * TICKS)
        fields[19], fields[21] = str(1000 + pid), "7"
        # A name may hold anything.
        (folder / "stat").write_text(f"{pid} (a ) name) {' '.join(fields)}\n")
        (folder / "cmdline").write_text(title)
    (tmp_path / "meminfo").touch()
    return tmp_path


def test_each_process_of_a_run_acts_for_the_site_of_its_supervisor(proc: Path) -> None:
    found = {each.pid: (each.program, each.site) for each in family(10, proc=proc)}
    assert found == {
        10: ("run", ""),
        11: ("template", ""),
        12: ("supervisor", "north"),
        13: ("client", "north"),
        14: ("client_job", "north"),
        15: ("task", "north"),
        16: ("key_release", "north"),
        17: ("supervisor", "server"),
        18: ("server_job", "server"),
        19: ("other", "server"),
        20: ("watch", ""),
    }
    assert list(family(7, proc=proc)) == []


def test_what_has_ended_counts_with_the_site_that_waited_for_it(proc: Path) -> None:
    members = {each.pid: each for each in family(10, proc=proc)}
    times = members[13].times
    assert (times.own_seconds, times.waited_seconds) == (4.0, 50.0)
    assert (times.started, times.resident_bytes) == (1013, 7 * PAGE)
    assert seconds_by_site(members) == {"": 3 * 54.0, "north": 5 * 54.0, "server": 3 * 54.0}


def test_of_a_real_process_linux_tells_title_peak_and_share() -> None:
    code = "import time; held = bytearray(50_000_000); print(flush=True); time.sleep(60)"
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        child.stdout.readline()
        own = {each.pid: each for each in family(os.getpid())}
        member = own[child.pid]
        assert isinstance(member, Member) and member.times.parent == os.getpid()
        assert "bytearray(50_000_000)" in read_title(child.pid)
        assert 50e6 < member.times.resident_bytes <= read_peak(child.pid) < 100e6
        assert 50e6 < read_share(child.pid) <= member.times.resident_bytes
    finally:
        child.kill()
        child.communicate()
    # One that has ended holds nothing, which is no error.
    assert child.pid not in {each.pid for each in family(os.getpid())}
    assert (read_title(child.pid), read_peak(child.pid), read_share(child.pid)) == ("", 0, 0)
