"""The folders of a home whose hospitals are confined: made, and given to whom they are for."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from fed_assets.federation.plan import PLAN_FILE
from fed_assets.federation.walls import give, give_one, own_folder
from fed_assets.resources.home import COORDINATOR, Home
from fed_assets.resources.users import Users

# The orchestrator's own: what it writes in lies here, for the home itself stays root's.
_HUBS = (
    *("artifacts", "cache", "dagster", "federations", "logs", "mlflow", "shared", "tmp", "turns"),
    *("warm", "models", "lineage", "withdrawn", "keys"),
)
_LOCKS = (".instance.lock", ".dead_runs.lock")


def make_folders(home: Home, sandbox: str, hospitals: Iterable[str]) -> None:
    """Makes them all: behind walls, nobody could make one in the home."""
    for folder in (*(home.root / name for name in _HUBS), home.hospitals, home.shared(sandbox)):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name in (COORDINATOR, *hospitals):
        home.hospital(name).mkdir(exist_ok=True, mode=0o700)
    for name in _LOCKS:
        (home.root / name).touch(mode=0o600)
    with suppress(FileExistsError):  # or else the hub could not read one that is made while it runs
        found = os.open(home.revocations, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(found, "w") as file:
            file.write("[]")


def give_folders(home: Home, sandbox: str, users: Users, hospitals: Iterable[str]) -> None:
    """Gives each hospital its folder, and the hub all else but what leads there; it takes root.

    What root wrote in this sandbox before is given too, so that a run can go on from it.
    """
    for folder in (home.root, home.hospitals):
        os.chown(folder, 0, users.sites)
        folder.chmod(0o710)
    for name in _HUBS:
        give(home.root / name, 0, users.hub, users.sites)
    for name in _LOCKS:
        _give_file(home.root / name, users.hub, users.sites)
    _give_file(home.revocations, users.hub, users.sites)
    for folder in (home.root / "shared", home.shared(sandbox)):
        with own_folder(folder, users.hub) as shared:
            if shared is not None:
                os.fchmod(shared, 0o750)
    _show(home.cache, users.hub)
    for name in (COORDINATOR, *hospitals):
        user = users.hub if name == COORDINATOR else users.hospitals[name]
        own, key = home.hospital(name), home.key_file(name, sandbox)
        os.chown(own, user, user)
        own.chmod(0o700)
        if key.parent.exists():
            os.chown(key.parent, user, user, follow_symlinks=False)
        for kept in key.parent.glob(f"{sandbox}.*"):  # the key, and which code may be given it
            _give_file(kept, user, user)
        for place in (home.container(name), *home.dead_containers(name).values()):
            _give_file(place, user, user)
        give(home.store(name, sandbox), 0, user, user)


def clear_forgotten(home: Home, sandbox: str) -> None:
    """Removes what is left of runs that the hub has forgotten: hospitals' folders were not its."""
    runs = home.root / "federations" / sandbox
    with _opened(runs) as folder:
        for run in os.listdir(folder) if folder is not None else ():
            if not (runs / run / PLAN_FILE).exists():
                shutil.rmtree(run, ignore_errors=True, dir_fd=folder)


def _give_file(path: Path, user: int, group: int) -> None:
    with _opened(path.parent) as folder:
        if folder is not None:
            with suppress(FileNotFoundError):
                give_one(path.name, folder, 0, user, group)


def _show(cache: Path, hub: int) -> None:
    """Has all sites read the fetched data sets, which are public."""
    with own_folder(cache, hub) as folder:
        if folder is None:
            return
        os.fchmod(folder, 0o750)
        for name in os.listdir(folder):
            with suppress(OSError):  # a link
                flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
                with open(os.open(name, flags, dir_fd=folder), "rb") as file:
                    found = os.fstat(file.fileno())
                    if stat.S_ISREG(found.st_mode) and found.st_uid == hub:
                        os.fchmod(file.fileno(), 0o640)


@contextmanager
def _opened(folder: Path) -> Iterator[int | None]:
    """Yields a folder's descriptor, whosever it is; None where it is none, or a link."""
    with ExitStack() as stack:
        try:
            owner = folder.lstat().st_uid
        except FileNotFoundError:
            yield None
            return
        yield stack.enter_context(own_folder(folder, owner))
