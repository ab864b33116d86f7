"""Hospitals' machines in Azure ML for one federation: a job each, that joins as any host does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType

from fed_assets.errors import FedAssetsError, HostAway, WorkerFailed
from fed_assets.resources.azure_runner import AzureMLHospitalRunner
from fed_assets.resources.remote_hospitals import RemoteHospitals

# From when its compute is there until its machine is connected: the image is loaded meanwhile.
CONNECT_SECONDS = 900.0
# How long a machine has to end by itself, once its federation is over.
LEAVE_SECONDS = 60.0
# How long a machine of the run before, which is ending, is waited for.
FREE_SECONDS = 60.0
LOOK_SECONDS = 0.5


class Unwanted(Exception):
    """That a machine is to end."""


@dataclass
class _Up:
    """One machine: whether it has joined, is to end, and has ended."""

    unwanted: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    joined: bool = False
    error: FedAssetsError | None = None


class AzureHosts:
    """The machines of one federation; a context, after which all of them have ended.

    Where it is left by an error, they are cancelled; else each ends by itself, as its site is
    closed, and is cancelled if it does not.

    Args:
        runner: What hands in jobs.
        hospitals: Those that it is for.
        door: The way to the door, which has their kits.
        serve_seconds: How long a machine may serve.
        say: Called with a sentence where one does not do what it should.
    """

    def __init__(
        self,
        runner: AzureMLHospitalRunner,
        hospitals: Sequence[str],
        door: RemoteHospitals,
        serve_seconds: float,
        say: Callable[[str], None],
    ) -> None:
        self._runner = runner
        self._hospitals = frozenset(hospitals)
        self._door = door
        self._serve_seconds = serve_seconds
        self._say = say
        self._up: dict[str, _Up] = {}
        self._over = threading.Event()

    def __enter__(self) -> AzureHosts:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        until = time.monotonic() + (0 if kind else LEAVE_SECONDS)
        for name, up in self._up.items():
            if not up.ended.wait(max(0.0, until - time.monotonic())):
                up.unwanted.set()
                if not kind:
                    self._say(f"The machine of {name} in Azure ML does not end, and is cancelled")
        for up in self._up.values():
            up.ended.wait()

    def give_up(self) -> None:
        """Cancels all of them."""
        self._over.set()
        for up in list(self._up.values()):
            up.unwanted.set()

    def bring_up(self, hospital: str, lost: Callable[[str], None]) -> None:
        """Hands in the job of a hospital's machine, and returns when that is connected.

        Args:
            hospital: Its id; nothing is done for one that is not in Azure ML.
            lost: Called with why, where the machine ends before the federation does.

        Raises:
            CloudRefused: Azure does not do what it is asked.
            HostAway: No door is open, the machine works for another run, or it does not connect.
            FedAssetsError: Why the machine could not join.
        """
        if hospital not in self._hospitals:
            return
        kit = self._kit(hospital)
        up = self._up[hospital] = _Up()
        threading.Thread(target=self._serve, args=(hospital, kit, up, lost)).start()
        try:
            self._wait(hospital, up)
        except BaseException:
            up.unwanted.set()
            raise
        up.joined = True

    def _wait(self, hospital: str, up: _Up) -> None:
        until = time.monotonic() + self._runner.start_seconds(hospital) + CONNECT_SECONDS
        while not self._door.is_connected(hospital):
            if up.ended.wait(LOOK_SECONDS):
                raise up.error or WorkerFailed(f"The machine of {hospital} ended before it joined")
            if self._over.is_set():
                up.unwanted.set()
            if time.monotonic() > until:
                raise HostAway(
                    f"The machine of {hospital} in Azure ML runs, and does not connect",
                    cure="Have the hospital let outgoing TCP to the door's address through",
                )

    def _kit(self, hospital: str) -> bytes:
        until = time.monotonic() + FREE_SECONDS
        while True:
            try:
                return self._door.kit(hospital).encode()
            except HostAway:
                if self._over.wait(LOOK_SECONDS) or time.monotonic() > until:
                    raise

    def _serve(self, hospital: str, kit: bytes, up: _Up, lost: Callable[[str], None]) -> None:
        def require_wanted() -> None:
            if up.unwanted.is_set():
                raise Unwanted
            self._runner.require_wanted()

        try:
            self._runner.serve(hospital, kit, self._serve_seconds, require_wanted)
        except FedAssetsError as error:
            up.error = error
        except Unwanted:
            up.unwanted.set()
        except Exception as error:
            up.error = WorkerFailed(
                f"What starts the machine of {hospital} came upon an error that nobody foresaw",
                seen=type(error).__name__,
            )
        except BaseException:  # the run is interrupted, and knows
            up.unwanted.set()
        finally:
            if not self._over.is_set():
                lost(up.error.what if up.error else "its machine in Azure ML has ended")
            if up.joined and up.error is not None and not up.unwanted.is_set():
                self._say(f"The machine of {hospital} in Azure ML has ended: {up.error}")
            up.ended.set()
