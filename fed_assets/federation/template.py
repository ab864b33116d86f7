"""The process that all others are forked from: modules loaded, nothing known.

`python -m fed_assets.federation.template MAILBOX PARENT` inherits its one channel, whose first
message, `{"preload": NAMES, "then": NAMES, "walls": WALLS, "at_once": BOOL}`, names the modules to
load, whether it does so before it is told anything more, and what the sites stand behind, or null.
Between two of the second kind it looks at its mailbox, and starts a program there that is `early`;
the first that is not waits until all are loaded, and with it what comes after it. It holds no data,
key or certificate, and no host-level process forks at a hospital's request: it forks one supervisor
per site at the orchestrator's, and each forks for its own site alone.
"""

from __future__ import annotations

import os
import resource
import select
import signal
import socket
import sys
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

from fed_assets.errors import IdentityRefused
from fed_assets.federation.child import adopt_orphans, die_with_parent
from fed_assets.federation.happenings import (
    Asked,
    Closed,
    Ended,
    Happenings,
    channel_pair,
    hear,
    hung_up,
    tell,
)
from fed_assets.federation.preload import check_forkable, preload
from fed_assets.federation.program import Program
from fed_assets.federation.supervisor import supervise
from fed_assets.federation.walls import Walls


def main() -> None:
    """Loads the modules, forks supervisors as asked, and ends with all of them."""
    mailbox, parent = socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2])
    die_with_parent(parent)
    adopt_orphans()
    os.umask(0o077)
    # A core file would hold what a hospital's process held.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    first = hear(mailbox)
    if first is None:
        return
    walls = Walls.from_record(first["walls"]) if first["walls"] else None
    if walls is not None:
        walls.open_ways()
    if not first["at_once"]:
        select.select([mailbox], [], [])  # and whatever it is told, the walls stand
    preload(first["preload"])
    _Template(mailbox, first["then"], walls).serve()


class _Template:
    """Passes each request on to its site's supervisor, until the mailbox is closed.

    Many may write to the mailbox, and nobody hears from it: answers come over lifelines.

    Args:
        mailbox: Where requests come from.
        unloaded: Names of the modules that early programs need not wait for.
        walls: What the sites stand behind, if anything.
    """

    def __init__(
        self, mailbox: socket.socket, unloaded: Iterable[str], walls: Walls | None
    ) -> None:
        self._unloaded = deque(unloaded)
        self._walls = walls
        self._supervisors: dict[str, tuple[int, socket.socket]] = {}
        self._happenings = Happenings()
        self._happenings.watch(mailbox)

    def serve(self) -> NoReturn:
        """Loads what is left to load, and does what the mailbox asks for, until it is closed."""
        while self._unloaded:
            for event in self._happenings.so_far():
                self._heed(event)
            self._load_next()
        for event in self._happenings:
            self._heed(event)
        raise AssertionError("happenings never end")

    def _load_next(self) -> None:
        if self._unloaded:
            preload([self._unloaded.popleft()])

    def _heed(self, event: Asked | Closed | Ended) -> None:
        match event:
            case Asked(_, {"site": name, **request}, descriptors):
                while self._unloaded and not request["run"]["early"]:
                    self._load_next()
                try:
                    self._pass_on(name, request, descriptors)
                except IdentityRefused as refusal:
                    print(refusal, file=sys.stderr, flush=True)
                for descriptor in descriptors:  # of a request that was refused, its starter hears
                    os.close(descriptor)
            case Ended(ended, _):
                for name, (pid, channel) in list(self._supervisors.items()):
                    if pid == ended:
                        del self._supervisors[name]
                        channel.close()
            case Closed():
                self._end()

    def _pass_on(self, name: str, request: Mapping[str, Any], descriptors: Sequence[int]) -> None:
        if self._walls is not None:
            self._walls.admit(name, Program(**request["run"]))
        if name in self._supervisors and hung_up(self._supervisors[name][1]):
            self._supervisors.pop(name)[1].close()  # it was killed, and is yet to be waited for
        if name not in self._supervisors:
            self._supervisors[name] = self._fork_supervisor(name, descriptors)
        tell(self._supervisors[name][1], request, descriptors)

    def _fork_supervisor(self, name: str, descriptors: Sequence[int]) -> tuple[int, socket.socket]:
        """Returns a new supervisor's process id, and our end of its mailbox.

        Others' mailboxes, and the descriptors of a request in hand, are not the supervisor's.
        """
        others = [channel for _, channel in self._supervisors.values()]
        known = self._happenings.descriptors() | {each.fileno() for each in others}
        check_forkable({*known, *descriptors})
        template = os.getpid()
        ours, theirs = channel_pair()
        pid = os.fork()
        if pid == 0:
            self._happenings.close()
            for channel in (ours, *others):
                channel.close()
            for descriptor in descriptors:
                os.close(descriptor)
            wall = None if self._walls is None else self._walls.sites[name]
            supervise(name, theirs, template, wall)
        theirs.close()
        return pid, ours

    def _end(self) -> NoReturn:
        """Ends with all supervisors.

        Each takes its site's processes with it; they are ours then, to wait for.
        """
        for pid, _ in self._supervisors.values():
            os.kill(pid, signal.SIGKILL)
        while True:
            try:
                os.wait()
            except ChildProcessError:
                sys.exit(0)


if __name__ == "__main__":
    main()
