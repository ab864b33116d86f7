from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from fed_assets.errors import (
    DisclosureRefused,
    IdentityRefused,
    RunConfigError,
    StorageError,
    WorkerFailed,
)
from fed_assets.federation.origin import Origin, open_origin
from fed_assets.federation.program import BARE_ENVIRONMENT
from fed_assets.federation.spawned import Spawned
from fed_assets.resources.worker_process import WorkerProcess

QUICK = {"source": {"kind": "phantom", "images": 40, "test_images": 8, "size": 16}}
# Takes minutes: whatever is to happen in mid-task happens long before it ends.
LONG = {"source": {"kind": "phantom", "images": 500_000, "test_images": 0, "size": 64}}
START_AND_DIE = """
import os, sys
from pathlib import Path
from fed_assets.federation.{module} import {origin}
from fed_assets.resources.worker_process import WorkerProcess
store = Path(sys.argv[1])
kept = {{"store": str(store), "storage": "plain", "key_custody": "none", "suppress_below": 0}}
identity = {{"hospitals": {{"north": kept}}, "previews": False}}
origin = {start}
worker = WorkerProcess(origin, "north", identity, store=store)
{busy}
print(worker.pid, flush=True)
os._exit(9)
"""
BUSY = """
import threading, time
long = {"source": {"kind": "phantom", "images": 500_000, "test_images": 0, "size": 64}}
asked = {"hospital": "north", "arguments": long | {"image_size": 64}, "timeout_seconds": 600}
threading.Thread(target=worker.ask, args=("prepare_images",), kwargs=asked, daemon=True).start()
while not list(store.glob("datasets/.partial*")):
    time.sleep(0.05)
"""
ORIGINS = {
    "forked": {
        "module": "origin",
        "origin": "open_origin",
        "start": "open_origin(['fed_assets.hospital.worker'], Path(sys.argv[1]).parent)",
    },
    "spawned": {"module": "spawned", "origin": "Spawned", "start": "Spawned()"},
}
NONSENSE = "fed_assets_tests.resources.nonsense_worker"
Start = Callable[..., WorkerProcess]


@pytest.fixture(scope="module", params=["forked", "spawned"])
def origin(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Origin]:
    """Yields what starts workers: forks of a template, or interpreters of their own."""
    folder = tmp_path_factory.mktemp("template")
    forked = request.param == "forked"
    opened = open_origin(["fed_assets.hospital.worker"], folder) if forked else Spawned()
    yield opened
    opened.close()


@pytest.fixture
def start(tmp_path: Path, origin: Origin) -> Iterator[Start]:
    """Yields a function that starts a worker of some hospitals; all are ended afterwards."""
    started: list[WorkerProcess] = []

    def start(*hospitals: str, previews: bool = True) -> WorkerProcess:
        kept = {"storage": "plain", "key_custody": "none", "suppress_below": 0}
        stores = {name: {"store": str(tmp_path / name), **kept} for name in hospitals}
        identity = {"hospitals": stores, "previews": previews}
        first = hospitals[0]
        started.append(WorkerProcess(origin, first, identity, store=tmp_path / first))
        return started[-1]

    yield start
    for worker in started:
        worker.close()


def ended(pid: int) -> bool:
    """Returns whether a process is gone, or dead and not yet waited for."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def ask(
    worker: WorkerProcess,
    hospital: str,
    task: str = "prepare_images",
    timeout_seconds: float = 60,
    **arguments: Any,
) -> dict[str, Any]:
    asked = arguments or ({"image_size": 16, **QUICK} if task == "prepare_images" else {})
    return worker.ask(task, hospital=hospital, arguments=asked, timeout_seconds=timeout_seconds)


def wait_until(true: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def is_writing(store: Path) -> bool:
    return any(store.glob("datasets/.partial-*"))


def test_a_process_of_its_own_refuses_another_hospital(start: Start, tmp_path: Path) -> None:
    north, south = start("north"), start("south")
    assert ask(north, "north")["images"] == ask(south, "south")["images"] == 48
    assert north.pid != south.pid
    for worker, other in ((north, "south"), (south, "north")):
        with pytest.raises(IdentityRefused, match=f"hospital {other}"):
            ask(worker, other)
    assert ask(north, "north")["images"] == 48  # a refusal ends nothing
    assert sorted(path.name for path in tmp_path.iterdir()) == ["north", "south"]


def test_a_shared_process_serves_both(start: Start) -> None:
    both = start("north", "south")
    digests = {ask(both, name)["digest"] for name in ("north", "south", "north")}
    assert len(digests) == 1
    assert both.alive


def test_a_worker_killed_in_mid_task_is_an_error_and_no_hang(start: Start, tmp_path: Path) -> None:
    worker = start("north")

    def kill_in_mid_task() -> None:
        wait_until(lambda: is_writing(tmp_path / "north"))
        os.kill(worker.pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_in_mid_task)
    killer.start()
    with pytest.raises(WorkerFailed, match=r"of north ended \(signal 9\) in the task prepare"):
        ask(worker, "north", image_size=64, **LONG)
    killer.join()
    assert not worker.alive


def test_a_time_limit_ends_the_worker_and_names_its_log(start: Start, tmp_path: Path) -> None:
    worker = start("north")
    begun = time.monotonic()
    with pytest.raises(WorkerFailed, match=r"passed the time limit") as caught:
        ask(worker, "north", timeout_seconds=1, image_size=64, **LONG)
    assert time.monotonic() - begun < 5
    assert str(tmp_path / "north" / "worker.log") in str(caught.value)
    assert not worker.alive


def test_a_worker_that_was_ended_answers_with_an_error(start: Start) -> None:
    worker = start("north")
    worker.close()
    worker.close()
    with pytest.raises(WorkerFailed, match=r"was closed"):
        ask(worker, "north")


def test_all_who_wait_for_a_worker_that_dies_hear_of_it(start: Start, tmp_path: Path) -> None:
    worker = start("north", "south")
    with ThreadPoolExecutor(3) as pool:
        waiting = [
            pool.submit(ask, worker, "north", timeout_seconds=2, image_size=64, **LONG)
            for _ in range(3)
        ]
        errors = [each.exception() for each in waiting]
    assert [type(error) for error in errors] == [WorkerFailed] * 3


def test_answers_to_many_threads_are_not_mixed_up(start: Start) -> None:
    worker = start("north", "south")

    def images(number: int) -> int:
        source = {"kind": "phantom", "images": 30 + number, "test_images": 5, "size": 16}
        hospital = "north" if number % 2 else "south"
        return int(ask(worker, hospital, image_size=16, source=source)["images"])

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(images, range(4))) == [35, 36, 37, 38]


def test_nothing_of_the_orchestrators_environment_reaches_a_hospital(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FED_ASSETS_CANARY", "orchestrators-secret")
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "orchestrators-secret")
    worker = start("north")
    ask(worker, "north")
    content = Path(f"/proc/{worker.pid}/environ").read_bytes()
    names = {entry.split(b"=")[0].decode() for entry in content.split(b"\0") if entry}
    assert b"orchestrators-secret" not in content
    assert names == {*BARE_ENVIRONMENT, "HOME", "TMPDIR"}


def test_whom_a_worker_acts_for_stands_in_no_command_line(start: Start) -> None:
    worker = start("north")
    ask(worker, "north")  # in its first moment a fork still bears its parent's name
    assert b"north" not in Path(f"/proc/{worker.pid}/cmdline").read_bytes()


def test_pictures_leave_only_where_previews_are_on(start: Start) -> None:
    shown, hidden = start("north"), start("south", previews=False)
    ask(shown, "north")
    ask(hidden, "south")
    assert len(ask(shown, "north", "contact_sheet", images=4)["png_base64"]) > 1000
    with pytest.raises(DisclosureRefused, match=r"previews"):
        ask(hidden, "south", "contact_sheet", images=4)


def test_the_hospitals_own_error_comes_through(start: Start) -> None:
    worker = start("north")
    ask(worker, "north")
    with pytest.raises(RunConfigError, match=r"1 to 64 images.*Seen: 65"):
        ask(worker, "north", "contact_sheet", images=65)
    assert worker.alive


def test_an_unknown_task_is_refused(start: Start) -> None:
    with pytest.raises(WorkerFailed, match=r"a task that it does not know.*Seen: give_me_images"):
        ask(start("north"), "north", "give_me_images")


def test_a_worker_that_answers_nonsense_is_ended(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fed_assets.resources.worker_process.WORKER", NONSENSE)
    worker = start("north")
    with pytest.raises(WorkerFailed, match=r"answered nonsense"):
        ask(worker, "north")
    assert not worker.alive


@pytest.mark.parametrize("how", ORIGINS)
@pytest.mark.parametrize("busy", ["", BUSY], ids=["idle", "busy"])
def test_a_worker_ends_with_the_process_that_started_it(
    tmp_path: Path, how: str, busy: str
) -> None:
    program = START_AND_DIE.format(busy=busy, **ORIGINS[how])
    started = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "north")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    pid = int(started.stdout)
    wait_until(lambda: ended(pid))


def test_the_log_lies_in_the_store_for_its_owner_alone(start: Start, tmp_path: Path) -> None:
    ask(start("north"), "north")
    log = tmp_path / "north" / "worker.log"
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    assert stat.S_IMODE(log.parent.stat().st_mode) == 0o700


def test_a_store_that_cannot_be_made_is_an_error_of_ours(start: Start, tmp_path: Path) -> None:
    (tmp_path / "north").write_text("mine")
    with pytest.raises(StorageError, match=r"log cannot be written"):
        start("north")
