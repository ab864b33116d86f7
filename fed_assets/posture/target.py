"""One hospital's process that keeps and holds a canary, for attempts to be made on."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fed_assets.posture.evidence import Attempt


@dataclass(frozen=True)
class Target:
    """A hospital's process, for as long as it runs.

    Attributes:
        hospital: Whose it is.
        pid: Its process id.
        store: The folder of the hospital's store.
        keys: What the hospital's key lies in, if it has one.
        canary: What it keeps in its store, and holds in its memory.
        ask: Asks it for a task of `hospital.canary` or `hospital.canary_container`, by name, with
            the task's arguments.
        container: Where what it keeps is put away, if a container backs its store: `url`, `name` of
            the canary there, and `by_token`, whether a token opens it.
    """

    hospital: str
    pid: int
    store: Path
    keys: tuple[Path, ...]
    canary: bytes
    ask: Callable[..., Mapping[str, Any]]
    container: Mapping[str, Any] | None = None

    @classmethod
    def planted(
        cls,
        hospital: str,
        pid: int,
        store: Path,
        keys: Iterable[Path],
        ask: Callable[..., Mapping[str, Any]],
    ) -> Target:
        """Returns the target of a process, after having it plant a canary.

        Raises:
            FedAssetsError: It could not.
        """
        told = ask("plant_canary")
        canary = base64.b64decode(told["canary"])
        return cls(hospital, pid, store, tuple(keys), canary, ask, told.get("container"))


def together(attempts: Iterable[Attempt]) -> Attempt:
    """Returns attempts on several hospitals as one: it succeeded where one of them did.

    Raises:
        ValueError: There is none, which shows nothing.
    """
    made = list(attempts)
    if not made:
        raise ValueError("there was nothing to try it on")
    names = dict.fromkeys(name for each in made for name in each.counts)
    counts = {name: sum(int(each.counts.get(name, 0)) for each in made) for name in names}
    return Attempt(any(each.succeeded for each in made), {"hospitals": len(made), **counts})
