"""The process that holds a federation up between runs, and takes jobs for it over a socket.

`python -m fed_assets.federation.warm_process PLAN.json` prints an event per line until the
federation is up, then serves `control.sock` in its working directory. A request is one JSON line:
`{"ask": "status"}`, `{"ask": "down"}`, or `{"ask": "run", "plan": PLAN}`, which is answered by the
run's events, and aborted when whoever asked hangs up.
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from fed_assets.errors import FedAssetsError, JobFailed
from fed_assets.federation.alarms import read_alarms
from fed_assets.federation.certificates import valid_until
from fed_assets.federation.control import CONTROL_SOCKET
from fed_assets.federation.cost import cpu_seconds, family, memory_bytes
from fed_assets.federation.ended import told
from fed_assets.federation.live import LiveFederation
from fed_assets.federation.plan import SERVER, FederationPlan
from fed_assets.federation.revocations import turned_away
from fed_assets.federation.session import (
    Event,
    Interrupted,
    events_to_stdout,
    open_federation,
    stopped_by_signals,
)
from fed_assets.federation.warm import provisioned_with

LOOK_SECONDS = 0.5
# Aborting a job takes less.
STOP_SECONDS = 8.0
_UNREADY = Path(f"{CONTROL_SOCKET}.partial")


class WarmProcess:
    """One federation that is up, and who uses it."""

    def __init__(self, plan: FederationPlan, live: LiveFederation) -> None:
        self._plan = plan
        self._live = live
        self._in_use = threading.Lock()
        self._wanted = True
        self._turned_away: set[str] = set()
        self._valid_until = valid_until(live.federation.kits).isoformat()
        self._jobs = 0
        self._since = datetime.now(UTC).isoformat(timespec="seconds")
        self._note_idle()

    def serve(self, listener: socket.socket) -> None:
        """Answers requests until one asks for the end.

        Raises:
            JobFailed: The server, or the process that all others are forked from, has ended.
            StorageError: The list of revoked hospitals cannot be used.
        """
        while self._wanted:
            self._turn_away()
            if select.select([listener], [], [], LOOK_SECONDS)[0]:
                connection, _ = listener.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()
            federation = self._live.federation
            if reason := federation.origin.broken():
                raise JobFailed(
                    "The process that all others of the warm federation are forked from ended",
                    seen=reason,
                )
            if (code := federation.ended().get(SERVER)) is not None:
                raise JobFailed(
                    "The warm federation's server ended",
                    where=str(federation.console(SERVER)),
                    seen=told(code),
                )
        # A run that is under way is told before all is stopped.
        self._in_use.acquire(timeout=STOP_SECONDS)

    def status(self) -> dict[str, Any]:
        """Returns what there is to say of the federation: how it is, and what it costs.

        Memory is the sum of the processes' proportional set sizes in bytes; CPU seconds are those
        that they have used since the last job.
        """
        missing = set(self._live.federation.ended()) | self._frozen()
        if self._in_use.acquire(blocking=False):
            try:
                with suppress(FedAssetsError):
                    missing |= set(self._plan.hospitals) - self._live.admin.clients()
            finally:
                self._in_use.release()
        members = family()
        return {
            "pid": os.getpid(),
            "provisioned": provisioned_with(self._plan),
            "sandbox": self._plan.sandbox,
            "hospitals": list(self._plan.hospitals),
            "missing": sorted(missing),
            "alarms": read_alarms(self._live.federation.kits),
            "valid_until": self._valid_until,
            "busy": self._in_use.locked(),
            "since": self._since,
            "jobs": self._jobs,
            "processes": len(members),
            "memory_bytes": sum(memory_bytes(member) for member in members),
            "idle_seconds": round(time.monotonic() - self._idle_since, 1),
            "idle_cpu_seconds": round(self._idle_cpu_seconds(members), 2),
        }

    def _answer(self, connection: socket.socket) -> None:
        with connection, suppress(BrokenPipeError, ConnectionResetError):
            request = json.loads(connection.makefile().readline() or "{}")
            match request:
                case {"ask": "status"}:
                    _say(connection, self.status())
                case {"ask": "run", "plan": plan}:
                    self._run(FederationPlan.from_json(plan), connection)
                case {"ask": "down"}:
                    self._wanted = False
                    # Whoever asked sees by the end of the connection that all is over.
                    threading.Event().wait()

    def _run(self, plan: FederationPlan, connection: socket.socket) -> None:
        if not self._in_use.acquire(blocking=False):
            _say(connection, {"event": "refused", "reason": "it works for another run"})
            return
        hung_up = threading.Event()
        threading.Thread(target=_wait_for_end, args=(connection, hung_up), daemon=True).start()
        try:
            self._live.run(
                plan,
                lambda event: _say(connection, event),
                stopped=lambda: hung_up.is_set() or not self._wanted,
            )
        except (BrokenPipeError, ConnectionResetError):
            return  # nobody is there to be told
        except Interrupted:
            if not hung_up.is_set():
                down = JobFailed(
                    "The warm federation was taken down in the middle of the job", where=plan.folder
                )
                _say(connection, {"event": "failed", "error": down.as_record()})
        except FedAssetsError as error:
            _say(connection, {"event": "failed", "error": error.as_record()})
        except Exception as error:
            traceback.print_exc()
            broken = JobFailed(
                f"The warm federation's job broke off with {type(error).__name__}",
                where=plan.folder,
            )
            _say(connection, {"event": "failed", "error": broken.as_record()})
        finally:
            self._jobs += 1
            self._note_idle()
            self._in_use.release()

    def _turn_away(self) -> None:
        """Has the server refuse who was revoked; while a run is on, that run does."""
        new = turned_away(self._plan).keys() - self._turned_away
        if new and self._in_use.acquire(blocking=False):
            for name in new:
                self._live.admin.disable(name)  # what fails here ends all
            self._turned_away |= new
            self._in_use.release()

    def _frozen(self) -> set[str]:
        """Returns the hospitals whose clients were stopped: they run, and do nothing."""
        frozen = set()
        for name, process in self._live.federation.processes.items():
            with suppress(FedAssetsError, psutil.Error):
                if psutil.Process(process.pid(0)).status() == psutil.STATUS_STOPPED:
                    frozen.add(name)
        return frozen

    def _note_idle(self) -> None:
        self._idle_since = time.monotonic()
        self._cpu_seconds = {each.pid: cpu_seconds(each) for each in family()}

    def _idle_cpu_seconds(self, members: list[psutil.Process]) -> float:
        """Returns what the processes that live now have used since the last job."""
        # One that has just ended has used nothing.
        used = (cpu_seconds(each) - self._cpu_seconds.get(each.pid, 0.0) for each in members)
        return sum(max(0.0, each) for each in used)


def _say(connection: socket.socket, message: Event) -> None:
    connection.sendall(json.dumps(message).encode() + b"\n")


def _wait_for_end(connection: socket.socket, hung_up: threading.Event) -> None:
    with suppress(OSError):
        while connection.recv(1):
            pass
    hung_up.set()


@contextmanager
def _listening() -> Iterator[socket.socket]:
    """Yields a socket in the working directory that nobody finds under this name."""
    _UNREADY.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(_UNREADY))
        listener.listen()
        try:
            yield listener
        finally:
            for path in (_UNREADY, Path(CONTROL_SOCKET)):
                path.unlink(missing_ok=True)


def main() -> int:
    """Holds the plan's federation up until it is asked to end; returns 0, or 1 after `failed`."""
    os.umask(0o077)
    tell = events_to_stdout()
    try:
        plan = FederationPlan.read(Path(sys.argv[1]))
        # The socket is shown when all is up, and goes when all is over: who finds none, or is
        # refused, may clear the folder. Whoever connects in between is kept waiting until then.
        with (
            stopped_by_signals(),
            _listening() as listener,
            open_federation(plan, tell) as live,
        ):
            _UNREADY.rename(CONTROL_SOCKET)
            tell({"event": "up"})
            WarmProcess(plan, live).serve(listener)
        return 0
    except Interrupted:
        return 0
    except FedAssetsError as error:
        print(error, file=sys.stderr)
        failure = error
    except Exception as error:
        traceback.print_exc()
        failure = JobFailed(f"The warm federation broke off with {type(error).__name__}")
    with suppress(BrokenPipeError):  # once it is up, nobody listens
        tell({"event": "failed", "error": failure.as_record()})
    return 1


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    # Threads of NVFlare's session that did not end would hold the process for ever.
    os._exit(code)
