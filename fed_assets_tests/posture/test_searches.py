from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fed_assets.posture.evidence import Attempt
from fed_assets.posture.searches import look_into, open_files, search_files, search_memory

CANARY = secrets.token_bytes(4096)
HOLDER = "import sys; held = sys.stdin.buffer.read(4096); print('held', flush=True); input()"
STRANGER = 54_321


@pytest.fixture
def holder() -> Iterator[int]:
    """Returns a process that holds the canary in its memory alone."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(CANARY)
    process.stdin.flush()
    assert process.stdout.readline() == b"held\n"
    yield process.pid
    process.kill()
    process.communicate()


def as_a_stranger(attempt: Callable[[], Attempt]) -> Attempt:
    """Returns what an attempt comes to for a user who owns nothing here."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setresgid(STRANGER, STRANGER, STRANGER)
        os.setresuid(STRANGER, STRANGER, STRANGER)
        made = attempt()
        os.write(writing, json.dumps([made.succeeded, dict(made.counts)]).encode())
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as answer:
        succeeded, counts = json.loads(answer.read())
    os.waitpid(child, 0)
    return Attempt(succeeded, counts)


def test_a_canary_in_a_file_is_found_wherever_it_lies(tmp_path: Path) -> None:
    (tmp_path / "deep" / "deeper").mkdir(parents=True)
    (tmp_path / "deep" / "deeper" / "file").write_bytes(b"x" * 77 + CANARY)
    (tmp_path / "other").write_bytes(bytes(5000))
    attempt = search_files([tmp_path], CANARY)
    assert attempt.succeeded
    assert attempt.counts == {"read": 2, "denied": 0, "found": 1}


def test_where_it_is_not_it_is_not_found(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(CANARY[:-1])
    assert not search_files([tmp_path], CANARY).succeeded


def test_what_is_not_there_is_counted_as_denied(tmp_path: Path) -> None:
    assert search_files([tmp_path / "none"], CANARY).counts["denied"] == 1
    assert open_files([tmp_path / "none"]).counts == {"opened": 0, "denied": 1}


def test_a_file_that_can_be_opened_is_counted(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("{}")
    assert open_files([tmp_path / "key"]).succeeded


def test_a_canary_in_the_memory_of_a_process_is_found(holder: int) -> None:
    attempt = search_memory([holder], CANARY)
    assert attempt.succeeded
    assert attempt.counts == {"read": 1, "denied": 0, "found": 1}
    assert not search_memory([holder], secrets.token_bytes(4096)).succeeded


def test_a_process_of_the_same_user_is_looked_into(holder: int) -> None:
    assert look_into([holder]).counts == {"shown": 5, "denied": 0}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_another_user_finds_nothing(holder: int, tmp_path: Path) -> None:
    assert as_a_stranger(lambda: look_into([holder])).counts == {"shown": 0, "denied": 5}
    assert as_a_stranger(lambda: search_memory([holder], CANARY)).counts["denied"] == 1
    (tmp_path / "file").write_bytes(CANARY)
    tmp_path.chmod(0o700)
    attempt = as_a_stranger(lambda: search_files([tmp_path], CANARY))
    assert attempt == Attempt(succeeded=False, counts={"read": 0, "denied": 1, "found": 0})
