"""`process: confined`: the walls around a home's hospitals, and the orchestrator's own way out.

As root, each hospital has a Unix user of its own and the orchestrator takes on the hub's; as any
other user, all of them go behind Landlock.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import fed_assets
from fed_assets.errors import ProcessNotStarted, UnenforcedControl
from fed_assets.federation.landlock import LEAST_ABI, SIGNALS_ABI, everything_but, landlock_abi
from fed_assets.federation.plan import SERVER
from fed_assets.federation.site import NVFLARE_PROCESS, PLACES, SITE_MODULES, SITES, TEMPORARY
from fed_assets.federation.walls import LANDLOCK, USERS, Wall, Walls, stand_behind
from fed_assets.federation.ways import takes_view
from fed_assets.resources.capabilities import TO_BE_OTHERS, TO_MOUNT, lacking
from fed_assets.resources.held_tables import hold_tables
from fed_assets.resources.home import COORDINATOR, Home
from fed_assets.resources.hospital_folders import clear_forgotten, give_folders, make_folders
from fed_assets.resources.users import users_of
from fed_assets.resources.worker_process import WORKER

# What a hospital's user is asked to run; the site's own job module is NVFlare's.
MODULES = (WORKER, NVFLARE_PROCESS, *(name for name in SITE_MODULES if ".client." in name))
_SYSTEM = ("/bin", "/etc", "/lib", "/lib64", "/opt", "/proc", "/sbin", "/sys", "/usr")
_CONTAINERS_CURE = (
    "Let the container's root have what Docker's has, on a disk that keeps owners, or run as an "
    "ordinary user on a kernel with Landlock"
)
_UNREACHABLE = "hospitals' users cannot reach Python, the home or the data"
_WAYS_CURE = "Put them where every user may pass, or run where root may mount"
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty", "dri", "nvidia*")


@dataclass(frozen=True)
class Confinement:
    """What stands around a run's processes, as it was found: a fact for the run's record.

    Attributes:
        kind: `users` or `landlock`.
        landlock_abi: The version of the kernel's Landlock; 0 where it has none.
        user: The user that the orchestrator's own process is from then on.
        capped_because: What is not held; empty where all is.
    """

    kind: str
    landlock_abi: int
    user: int
    capped_because: str = ""

    def as_record(self) -> dict[str, Any]:
        """Returns it as a JSON-ready object."""
        return asdict(self)


_own: Confinement | None = None
_tables: list[sqlite3.Connection] = []  # held as long as this process lives


def own_confinement() -> Confinement | None:
    """Returns what this process has put itself behind, if it has."""
    return _own


def build_walls(
    home: Home,
    sandbox: str,
    sources: Mapping[str, Sequence[str]],
    *,
    federation: Path | None = None,
) -> Walls:
    """Returns the walls of a sandbox's hospitals, after giving each its folder.

    Args:
        home: The home.
        sandbox: The sandbox's name.
        sources: Where each hospital's images come from.
        federation: The folder of the run's federation, if there will be one.

    Raises:
        UnenforcedControl: Neither users nor Landlock can be had here.
        ProcessNotStarted: This process has given up what it takes.
        StorageError: The home's list of users cannot be used.
    """
    if _own is not None:
        raise ProcessNotStarted(
            "This process has put itself behind walls for an earlier run",
            cure="Start each run of a confined sandbox as a process of its own",
        )
    if os.geteuid() == 0:
        if missing := lacking(TO_BE_OTHERS):
            seen = f"root lacks the capabilities {', '.join(missing)} here"
            raise _refused(sandbox, seen, _CONTAINERS_CURE)
        if federation is not None:  # it is a run, and has the sandbox's turn
            clear_forgotten(home, sandbox)
        return _by_users(home, sandbox, sources)
    abi = landlock_abi()
    if abi >= LEAST_ABI:
        return _by_landlock(home, sandbox, sources, federation)
    raise _refused(
        sandbox,
        f"user {os.geteuid()} may not take on other users, and Landlock's ABI is {abi}",
        f"Run as root, or on a kernel whose Landlock has ABI {LEAST_ABI} (Linux 6.2) and is "
        "named in its `lsm=`",
    )


def _refused(sandbox: str, seen: str, cure: str) -> UnenforcedControl:
    return UnenforcedControl(
        f"Sandbox {sandbox} is refused: process=confined cannot be enforced on this machine",
        seen=seen,
        cure=cure,
    )


def _by_users(home: Home, sandbox: str, sources: Mapping[str, Sequence[str]]) -> Walls:
    users = users_of(home.root, sources)
    hub = Wall(users.hub, users.sites, (users.hub,))
    walls = {name: hub for name in (COORDINATOR, SERVER)}
    for name in sources:
        own = users.hospitals[name]
        walls[name] = Wall(own, own, (users.sites,), modules=MODULES)
    make_folders(home, sandbox, sources)
    try:
        give_folders(home, sandbox, users, sources)
    except OSError as error:
        seen = f"root cannot give hospitals' folders to users of their own ({error.strerror})"
        raise _refused(sandbox, seen, _CONTAINERS_CURE) from None
    # A hospital's folder may be a link: in Azure ML it leads to what outlasts its machine.
    folders = (str(home.hospital(name).resolve()) for name in sources)
    images = (path for each in sources.values() for path in each)
    ways = (str(home.root), *folders, *_code(), *images)
    if takes_view(map(Path, ways)) and lacking(TO_MOUNT):
        raise _refused(sandbox, f"{_UNREACHABLE} (root may not mount)", _WAYS_CURE)
    return Walls(USERS, walls, users.hub, ways)


def _by_landlock(
    home: Home, sandbox: str, sources: Mapping[str, Sequence[str]], federation: Path | None
) -> Walls:
    make_folders(home, sandbox, sources)
    devices = [str(path) for name in _DEVICES for path in Path("/dev").glob(name)]
    hub = Wall(writable=tuple(_reach_of_hub(home)))
    walls = {name: hub for name in (COORDINATOR, SERVER)}
    for name, paths in sources.items():
        own = [str(home.hospital(name))]
        if federation is not None:
            own += [str(federation / place / name) for place in (SITES, TEMPORARY)]
            own.append(str(federation / PLACES))
        readable = (*_SYSTEM, *_code(), str(home.shared(sandbox)), *paths)
        walls[name] = Wall(modules=MODULES, readable=readable, writable=(*own, *devices))
    return Walls(LANDLOCK, walls)


def _reach_of_hub(home: Home) -> Iterator[str]:
    yield from map(str, everything_but(home.hospitals))
    yield str(home.hospital(COORDINATOR))


def _code() -> Iterator[str]:
    """Yields where Python and what it imports lie; of a folder of sources, its packages alone."""
    yield from (sys.base_prefix, sys.prefix)
    for entry in {str(Path(fed_assets.__file__).parent.parent), *filter(None, sys.path)}:
        folder = Path(entry)
        if folder.name == "site-packages":
            yield entry
        elif folder.is_dir() and not folder.is_relative_to(sys.base_prefix):
            # A home may lie beside them, with hospitals' folders in it.
            yield from (str(each.parent) for each in folder.glob("*/__init__.py"))


def require_ways(walls: Walls, sandbox: str) -> None:
    """Has this process, and what it starts from now on, see what every user must reach.

    Raises:
        UnenforcedControl: They lie in a folder that is closed to others, and no way can be made.
    """
    try:
        walls.open_ways()
    except OSError as error:
        raise _refused(sandbox, f"{_UNREACHABLE} ({error.strerror})", _WAYS_CURE) from None


def confine_orchestrator(walls: Walls, home: Home, instance: Path | None, run: str) -> Confinement:
    """Puts this process out of reach of every hospital, for good; returns what came of it.

    What was started before keeps what it has: open templates first.

    Args:
        walls: Those that stand around the sites.
        home: The home.
        instance: The folder in which Dagster's instance writes; None where it has none.
        run: The id of the run that this process is.

    Raises:
        UnenforcedControl: It is root, and could not go on as anybody else.
        OSError: The kernel refuses.
    """
    global _own
    inside = instance is not None and instance.resolve().is_relative_to(home.root.resolve())
    if walls.kind == USERS and not inside:
        raise UnenforcedControl(
            "Dagster's process cannot give root up: its instance lies outside of the home",
            where=str(instance or "no folder"),
            cure="Set DAGSTER_HOME to what `fed-assets home` prints, or start Dagster as an "
            "ordinary user",
        )
    if walls.kind == USERS and instance is not None:
        _tables.extend(hold_tables(instance, run))
    abi, capped = landlock_abi(), _not_held(walls.kind)
    if not (walls.kind == LANDLOCK and _threads() > 1):
        stand_behind(walls.sites[COORDINATOR])
        _own = Confinement(walls.kind, abi, os.geteuid(), capped)
        return _own
    return Confinement(walls.kind, abi, os.geteuid(), capped)


def _not_held(kind: str) -> str:
    """Returns what walls of a kind do not hold here; nothing where they hold all."""
    faults = []
    if kind == LANDLOCK and _threads() > 1:
        faults.append("Dagster's process has more threads than one, and Landlock takes one alone")
    if kind == LANDLOCK and (abi := landlock_abi()) < SIGNALS_ABI:
        faults.append(f"Landlock's ABI {abi} does not hold signals; {SIGNALS_ABI} does")
    return "; ".join(faults)


def _threads() -> int:
    return len(os.listdir("/proc/self/task"))
