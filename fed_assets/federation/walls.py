"""The walls around each site's processes: a Unix user of its own, or Landlock.

The template is told of them before it loads anything, and each supervisor stands behind its own
before it forks or reads anything. Who asks for a process chooses neither.
"""

from __future__ import annotations

import ctypes
import os
import signal
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fed_assets.errors import IdentityRefused
from fed_assets.federation.child import die_with_parent
from fed_assets.federation.ended import ENDED_FOLDER
from fed_assets.federation.landlock import restrict
from fed_assets.federation.program import Program
from fed_assets.federation.site import PLACES
from fed_assets.federation.ways import open_ways

USERS, LANDLOCK = "users", "landlock"
_DUMPABLE, _NO_NEW_PRIVILEGES, _GET_DEATH_SIGNAL = 4, 38, 2
_library = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Wall:
    """What one site's processes are, and what they reach.

    Attributes:
        user: Its Unix user; 0 behind Landlock.
        group: The group of what it makes.
        groups: What groups it is in beside.
        modules: The modules that it may run; None if any.
        readable: Behind Landlock, what it may read.
        writable: Behind Landlock, what it may read and write.
    """

    user: int = 0
    group: int = 0
    groups: tuple[int, ...] = ()
    modules: tuple[str, ...] | None = None
    readable: tuple[str, ...] = ()
    writable: tuple[str, ...] = ()

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Wall:
        """Reads what `asdict` wrote, after JSON."""
        lists = {name: tuple(each) for name, each in record.items() if isinstance(each, list)}
        return cls(**{**record, **lists})


@dataclass(frozen=True)
class Walls:
    """The walls of all sites of a template.

    Attributes:
        kind: `users` or `landlock`.
        sites: The wall of each site; no other site is there.
        hub: The user of the server, the coordinator and the orchestrator; 0 behind Landlock.
        ways: Paths that every site must reach, see `ways`.
    """

    kind: str
    sites: Mapping[str, Wall]
    hub: int = 0
    ways: tuple[str, ...] = field(default=())

    def as_record(self) -> dict[str, Any]:
        """Returns them as a JSON-ready object."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Walls:
        """Returns the walls that `as_record` described."""
        sites = {name: Wall.of(each) for name, each in record["sites"].items()}
        return cls(record["kind"], sites, record["hub"], tuple(record["ways"]))

    def open_ways(self) -> None:
        """Has all users reach what every site must."""
        if self.kind == USERS:
            open_ways(Path(way) for way in self.ways)

    def admit(self, site: str, program: Program) -> None:
        """Refuses a program that a site may not run, and hands the site the folder of one it may.

        Raises:
            IdentityRefused: The site has no wall, or may not run that.
        """
        wall = self.sites.get(site)
        if wall is None:
            raise IdentityRefused("A process was asked for at a site that has no wall", where=site)
        if wall.modules is not None:
            # NVFlare's modules are run by one of ours, which takes theirs for its first argument.
            asked = {program.module, program.job_module, *program.arguments[:1]} - {""}
            if program.environment or not asked <= set(wall.modules):
                raise IdentityRefused(
                    "A process was asked for that a hospital does not run",
                    where=site,
                    seen=", ".join(sorted(asked - set(wall.modules))) or "an environment",
                )
        if self.kind == USERS and wall.user != self.hub:
            for folder in (Path(program.folder), Path(program.temporary)):
                self._hand_over(folder, wall.user)
            # Where hospitals take turns to learn, see `hospital.places`.
            with own_folder(Path(program.temporary).parent.parent / PLACES, self.hub) as places:
                if places is not None:
                    os.fchmod(places, 0o2770)

    def _hand_over(self, folder: Path, user: int) -> None:
        """Gives a site what the hub has made for it, and a way to it; nothing else changes hands.

        The hub learns from it how the site's jobs ended, and no more.
        """
        with (
            own_folder(folder, self.hub) as own,
            own_folder(folder / ENDED_FOLDER, self.hub) as end,
        ):
            if own is None:
                return  # the site makes it itself, or has it already
            give(folder, self.hub, user, user)
            for each, mode in ((own, 0o710), (end, 0o2750)):
                if each is not None:
                    os.fchown(each, user, self.hub)
                    os.fchmod(each, mode)
        for parent in folder.parents:
            with own_folder(parent, self.hub) as opened:
                if opened is None:
                    return
                os.fchmod(opened, stat.S_IMODE(os.fstat(opened).st_mode) | 0o010)


def stand_behind(wall: Wall) -> None:
    """Puts this process behind a wall, for good; call it from the only thread there is.

    Raises:
        OSError: The kernel refuses.
    """
    parent, dies = os.getppid(), _dies_with_parent()
    if wall.user:
        os.setgroups(wall.groups)
        os.setresgid(*(wall.group,) * 3)
        os.setresuid(*(wall.user,) * 3)
    else:
        restrict(wall.readable, wall.writable)
    _prctl(_NO_NEW_PRIVILEGES, 1)
    _prctl(_DUMPABLE, 0)  # no process of the same user looks into it
    if dies:
        die_with_parent(parent)  # the kernel forgets it where the user changes


@contextmanager
def own_folder(path: Path, owner: int) -> Iterator[int | None]:
    """Yields a folder's descriptor, or None where it is none, a link, or somebody else's.

    Who asks root for something names paths, and may change what they lead to.
    """
    try:
        opened = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        yield None
        return
    try:
        yield opened if os.fstat(opened).st_uid == owner else None
    finally:
        os.close(opened)


def give(folder: Path, owner: int, user: int, group: int) -> None:
    """Hands a folder and all in it to another user, where they are the owner's.

    What somebody planted there as a link to a file elsewhere stays its owner's.
    """
    if not folder.is_dir():
        return
    for _, folders, names, descriptor in os.fwalk(folder, follow_symlinks=False):
        for name in (".", *folders, *names):
            with suppress(FileNotFoundError):
                give_one(name, descriptor, owner, user, group)


def give_one(name: str, folder: int, owner: int, user: int, group: int) -> None:
    """Gives one entry of an open folder, unless it is somebody else's, or has a second name."""
    opened = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        found = os.fstat(opened)
        if found.st_uid != owner or stat.S_ISLNK(found.st_mode):
            return
        if not stat.S_ISDIR(found.st_mode) and found.st_nlink > 1:
            return
        os.chown(f"/proc/self/fd/{opened}", user, group)
    finally:
        os.close(opened)


def _dies_with_parent() -> bool:
    number = ctypes.c_int()
    _library.prctl(_GET_DEATH_SIGNAL, ctypes.byref(number), 0, 0, 0)
    return number.value == signal.SIGKILL


def _prctl(option: int, value: int) -> None:
    if _library.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}) failed")
