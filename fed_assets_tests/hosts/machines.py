"""An open door, and hospitals' machines that call at it, all on loopback."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from fed_assets.errors import FedAssetsError
from fed_assets.hosts.authority import DOOR_LIFETIME, open_authority
from fed_assets.hosts.desk import Desk
from fed_assets.hosts.desk_socket import reach_desk
from fed_assets.hosts.door import Door
from fed_assets.hosts.frames import Stream
from fed_assets.hosts.identity import HOSPITAL_LIFETIME, Identity, take_up
from fed_assets.hosts.issued import Issued
from fed_assets.hosts.kit import make_kit, read_kit
from fed_assets.hosts.outgoing import Outgoing
from fed_assets.resources.hospital_host import HospitalHost
from fed_assets.resources.host_settings import HostSettings
from fed_assets.resources.settings import Settings


@dataclass
class OpenDoor:
    """A door, and what it said."""

    door: Door
    desk: Desk
    folder: Path
    said: list[str]

    @property
    def address(self) -> str:
        return f"localhost:{self.door.port}"

    def heard(self, words: str, seconds: float = 10) -> bool:
        return within(seconds, lambda: any(words in line for line in self.said))


@contextmanager
def open_door(
    folder: Path,
    *,
    lifetime: timedelta = HOSPITAL_LIFETIME,
    own_lifetime: timedelta = DOOR_LIFETIME,
    away_seconds: float = 5.0,
    port: int = 0,
) -> Iterator[OpenDoor]:
    said: list[str] = []
    desk = Desk(
        folder,
        lambda hospital: {"of": hospital},
        lambda hospital: f"a kit of {hospital}",
        away_seconds=away_seconds,
    )
    door = Door(
        folder,
        folder.parent / "revoked.json",
        desk,
        ("127.0.0.1", port),
        said.append,
        lifetime=lifetime,
        own_lifetime=own_lifetime,
    )
    try:
        yield OpenDoor(door, desk, folder, said)
    finally:
        door.close()
        desk.close()


@dataclass
class Machine:
    """A hospital's machine, which answers with how much it got."""

    identity: Identity
    sites: list[str] = field(default_factory=list)
    asked: list[Mapping[str, Any]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    answering: threading.Event = field(default_factory=threading.Event)
    ended_by: list[FedAssetsError] = field(default_factory=list)
    link: Outgoing = field(init=False)
    _thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self.answering.set()
        self.link = Outgoing(self.identity, self._hear, lambda: self.sites, self.said.append)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.link.run()
        except FedAssetsError as error:
            self.ended_by.append(error)

    def _hear(self, header: dict[str, Any], attachments: list[bytes]) -> None:
        self.asked.append(header)

        def answer() -> None:
            self.answering.wait()
            told = {"bytes": sum(map(len, attachments))}
            if "request" in header:
                self.link.put({"request": header["request"], "result": told})

        threading.Thread(target=answer, daemon=True).start()

    def stop(self) -> None:
        self.link.stop()
        self._thread.join(5)
        assert not self._thread.is_alive()


@contextmanager
def machine(identity: Identity, *sites: str) -> Iterator[Machine]:
    running = Machine(identity, list(sites))
    try:
        yield running
    finally:
        running.stop()


@contextmanager
def serving(
    door: OpenDoor, hospital: str, chosen: Settings, *accepts: str, one_federation: bool = False
) -> Iterator[threading.Thread]:
    """Has a hospital's own machine, whose home is `chosen`, join at a door and answer there."""
    content, made = make_kit(open_authority(door.folder), hospital, door.address, version="1")
    Issued(door.folder).give_kit(hospital, made.serial_number)
    kit = chosen.home.root / "kit"
    kit.touch(0o600)
    kit.write_bytes(content)
    identity = take_up(read_kit(kit), chosen.home.host)
    said: list[str] = []
    allowed = HostSettings(accepts=accepts)
    host = HospitalHost(chosen, identity, allowed, said.append, one_federation=one_federation)
    thread = threading.Thread(target=host.run)
    thread.start()
    try:
        yield thread
    finally:
        host.stop()
        thread.join(20)
        assert not thread.is_alive()


def ask(folder: Path, hospital: str, *attachments: bytes, seconds: float = 15) -> dict[str, Any]:
    """Returns what is answered to one request at the desk."""
    stream = Stream(reach_desk(folder))
    try:
        stream.put({"id": 1, "do": "ask", "hospital": hospital}, attachments)
        return stream.next(seconds)
    finally:
        stream.close()


def within(seconds: float, what: Callable[[], bool]) -> bool:
    """Returns whether something comes true in time."""
    end = time.monotonic() + seconds
    while not what():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True
