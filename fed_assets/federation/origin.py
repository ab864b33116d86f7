"""Where processes come from: forked from a template, or spawned anew."""

from __future__ import annotations

import os
import socket
import stat
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from fed_assets.errors import UnenforcedControl
from fed_assets.federation.forked import Forked, start_template
from fed_assets.federation.program import Program
from fed_assets.federation.spawned import Spawned
from fed_assets.federation.walls import Walls


class Process(Protocol):
    """A process that was started, with all that it starts itself."""

    def pid(self, seconds: float) -> int:
        """Returns its process id.

        Raises:
            ProcessNotStarted: It could not be started within that time.
        """
        ...

    def ended(self) -> int | None:
        """Returns its exit code, `-N` after signal N; None while it runs."""
        ...

    def signal(self, number: int) -> None:
        """Sends it a signal."""
        ...

    def end(self) -> None:
        """Asks that it be ended at once, with all that it started; may be called again."""
        ...

    def gone(self, seconds: float) -> bool:
        """Waits for its end; says whether nothing of it is left then."""
        ...

    def kill(self) -> None:
        """Ends what does not heed `end`."""
        ...


class Origin(Protocol):
    """Starts processes, each for one site; they die with the process that made this."""

    def load(self) -> None:
        """Has what is imported for all of them be imported, if that has not begun."""
        ...

    def start(self, site: str, program: Program, channel: socket.socket | None = None) -> Process:
        """Starts a program for a site; it gets a socket, if one is given, as its stdin."""
        ...

    def broken(self) -> str | None:
        """Returns why nothing can be started any more, and what was started is dead; else None."""
        ...

    def lent(self) -> socket.socket | None:
        """Returns what a process has to be given that is to start others in the same way."""
        ...

    def close(self) -> None:
        """Ends all that was started, and waits for it."""
        ...


def open_origin(
    preload: Iterable[str],
    temporary: Path,
    *,
    then: Iterable[str] = (),
    walls: Walls | None = None,
    at_once: bool = True,
) -> Origin:
    """Returns what starts processes on this system; close it in the end.

    Forking shares what ten hospitals' processes would otherwise each import, and needs Linux to
    tie them to each other.

    Args:
        preload: Names of the modules that they will import.
        temporary: Absolute path of a folder for what an import may write.
        then: Names of more, which a program that is `early` does not need.
        walls: What the sites stand behind, if anything.
        at_once: Whether they are imported now; else, by `load`, or for the first process.

    Raises:
        UnenforcedControl: There are no walls on this system.
    """
    if sys.platform != "linux":
        if walls is not None:
            raise UnenforcedControl("Processes cannot be confined here", cure="Use Linux")
        return Spawned()
    return start_template(preload, temporary, then=then, walls=walls, at_once=at_once)


def lent_origin() -> Origin | None:
    """Returns what this process's starter lent it as stdin to start others; None if nothing."""
    if stat.S_ISSOCK(os.fstat(0).st_mode):
        return Forked(socket.socket(fileno=0))
    return None


def stop(processes: Iterable[Process], *, grace_seconds: float) -> None:
    """Ends processes: asks all of them, and kills what is left after the grace."""
    processes = list(processes)
    for process in processes:
        process.end()
    for process in [each for each in processes if not each.gone(grace_seconds)]:
        process.kill()
        process.gone(grace_seconds)
