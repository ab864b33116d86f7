"""Unix users of this home alone: numbers that no account has, the same in every run.

<home>/users.json    {"sites": GROUP, "hub": USER, "hospitals": {"<id>": USER}}
"""

from __future__ import annotations

import fcntl
import grp
import json
import os
import pwd
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fed_assets.errors import StorageError
from fed_assets.resources.artifact_store import write_whole

USERS_FILE = "users.json"
# Above the accounts of people and packages, and above what containers and subuids are given.
RANGE = range(1_900_000_000, 2_100_000_000)
# A home takes its numbers in a row: two homes on one machine hardly ever meet.
ROW = 1_000


@dataclass(frozen=True)
class Users:
    """The numbers of one home.

    Attributes:
        sites: The group of all sites, by which they pass the home's folders.
        hub: The user of the orchestrator, the coordinator and the server.
        hospitals: Each hospital's user, and its group.
    """

    sites: int
    hub: int
    hospitals: Mapping[str, int]


def users_of(home: Path, hospitals: Iterable[str]) -> Users:
    """Returns the home's numbers, after drawing those that are still missing; it takes root.

    Raises:
        StorageError: The file is not what root wrote there, or cannot be written.
    """
    path = home / USERS_FILE
    with (home / f".{USERS_FILE}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        known = _read(path)
        own: dict[str, int] = known.get("hospitals", {})
        taken = {known[name] for name in ("sites", "hub") if name in known} | {*own.values()}
        start = min(taken, default=RANGE.start + ROW * secrets.randbelow(len(RANGE) // ROW))
        free = (number for number in range(start, RANGE.stop) if _is_free(number, taken))
        sites: int = known.get("sites") or next(free)
        hub: int = known.get("hub") or next(free)
        users = Users(sites, hub, own | {name: next(free) for name in hospitals if name not in own})
        if asdict(users) != known:
            write_whole(path, json.dumps(asdict(users), indent=1).encode())
    return users


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open() as file:
            found = os.fstat(file.fileno())
            known: dict[str, Any] = json.load(file)
        numbers = [known["sites"], known["hub"], *known["hospitals"].values()]
        whole = all(number in RANGE for number in numbers) and len({*numbers}) == len(numbers)
        if whole and found.st_uid == 0 and not found.st_mode & 0o022:
            return known
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    raise StorageError(
        "The home's list of users is not what root wrote there",
        where=str(path),
        cure="Put it back from a backup: hospitals' folders belong to its numbers. Where there is "
        "none, remove it and give the folders to the numbers that are then drawn",
    )


def _is_free(number: int, taken: set[int]) -> bool:
    """Returns whether no account, no group and nobody in this home has a number."""
    if number in taken:
        return False
    for known in (pwd.getpwuid, grp.getgrgid):
        try:
            known(number)
        except KeyError:
            continue
        return False
    return True
