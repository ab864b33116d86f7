"""The folders of a home whose hospitals are confined: made, and given to whom they are for."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from fed_assets.federation.plan import PLAN_FILE
from fed_assets.federation.walls import give
from fed_assets.resources.home import COORDINATOR, Home
from fed_assets.resources.users import Users

# The orchestrator's own: what it writes in lies here, for the home itself stays root's.
_HUBS = (
    *("artifacts", "cache", "dagster", "federations", "logs", "mlflow", "shared", "tmp", "turns"),
    "warm",
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


def give_folders(home: Home, sandbox: str, users: Users, hospitals: Iterable[str]) -> None:
    """Gives each hospital its folder, and the hub all else but what leads there; it takes root.

    What root wrote in this sandbox before is given too, so that a run can go on from it.
    """
    for folder in (home.root, home.hospitals):
        os.chown(folder, 0, users.sites)
        folder.chmod(0o710)
    for run in (home.root / "federations" / sandbox).glob("*"):
        if not (run / PLAN_FILE).exists():  # the hub forgot it, as far as it could
            shutil.rmtree(run, ignore_errors=True)
    for name in (*_HUBS, *_LOCKS):
        _give_all(home.root / name, users.hub, users.sites)
    for folder in (home.root / "shared", home.shared(sandbox)):
        folder.chmod(0o750)
    _show(home.cache)
    for name in (COORDINATOR, *hospitals):
        user = users.hub if name == COORDINATOR else users.hospitals[name]
        own, key = home.hospital(name), home.key_file(name, sandbox)
        own.chmod(0o700)
        for path in (own, key.parent):
            if path.exists():
                os.chown(path, user, user, follow_symlinks=False)
        _give_all(key, user, user)
        _give_all(home.store(name, sandbox), user, user)


def _give_all(path: Path, user: int, group: int) -> None:
    if path.is_dir() and not path.is_symlink():
        give(path, 0, user, group)
    elif path.is_file() and path.lstat().st_uid == 0 and path.lstat().st_nlink == 1:
        os.chown(path, user, group, follow_symlinks=False)


def _show(cache: Path) -> None:
    """Has all sites read the fetched data sets, which are public."""
    cache.chmod(0o750)
    for path in cache.iterdir():
        if path.is_file() and not path.is_symlink():
            path.chmod(0o640)
