"""What serves for a hospital is started anew whenever it dies, and ends when it is told to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fed_assets.resources import kept_process
from fed_assets.resources.kept_process import GIVES_UP, keep

COUNT = """
import sys
from pathlib import Path
path = Path(sys.argv[1])
number = int(path.read_text()) + 1
path.write_text(str(number))
sys.exit(0 if number == 3 else 7)
"""


@pytest.fixture(autouse=True)
def own_signals(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(kept_process, "FIRST_WAIT_SECONDS", 0.01)
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def start(*command: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", *command])


def test_what_dies_is_started_again_and_it_is_said(tmp_path: Path) -> None:
    counted = tmp_path / "count"
    counted.write_text("0")
    said: list[str] = []
    assert keep(lambda: start(COUNT, str(counted)), said.append, signal.SIGTERM) == 0
    assert counted.read_text() == "3"
    assert [line[:15] for line in said] == ["It ended with 7"] * 2


def test_what_gives_up_is_not_started_again() -> None:
    said: list[str] = []
    code = keep(lambda: start(f"raise SystemExit({GIVES_UP})"), said.append, signal.SIGTERM)
    assert (code, said) == (GIVES_UP, [])


def test_a_signal_ends_it() -> None:
    started: list[subprocess.Popen[bytes]] = []

    def sleeping() -> subprocess.Popen[bytes]:
        started.append(start("import time; time.sleep(60)"))
        return started[0]

    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM)).start()
    began = time.monotonic()
    assert keep(sleeping, print, signal.SIGTERM) == 0
    assert time.monotonic() - began < 30
    assert started[0].returncode == -signal.SIGTERM
