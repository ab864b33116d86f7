"""The process that all others are forked from: modules loaded, nothing known.

`python -m fed_assets.federation.template MAILBOX PARENT` inherits its one channel, whose first
message names the modules to load. It holds no data, key or certificate, and no host-level process
forks at a hospital's request: it forks one supervisor per site at the orchestrator's, and each
forks for its own site alone.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import sys
from collections.abc import Iterable
from typing import NoReturn

from fed_assets.federation.child import adopt_orphans, die_with_parent
from fed_assets.federation.happenings import (
    Asked,
    Closed,
    Ended,
    Happenings,
    channel_pair,
    hear,
    tell,
)
from fed_assets.federation.preload import check_forkable, preload
from fed_assets.federation.supervisor import supervise


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
    preload(first["preload"])
    check_forkable(mailbox.fileno())
    _serve(mailbox)


def _serve(mailbox: socket.socket) -> NoReturn:
    """Passes each request on to its site's supervisor, until the mailbox is closed.

    Many may write to the mailbox, and nobody hears from it: answers come over lifelines.
    """
    supervisors: dict[str, tuple[int, socket.socket]] = {}
    happenings = Happenings()
    happenings.watch(mailbox)
    for event in happenings:
        match event:
            case Asked(_, {"site": name, **request}, descriptors):
                if name not in supervisors:
                    others = [channel for _, channel in supervisors.values()]
                    supervisors[name] = _fork_supervisor(name, happenings, others, descriptors)
                tell(supervisors[name][1], request, descriptors)
                for descriptor in descriptors:
                    os.close(descriptor)
            case Ended(ended, _):
                for name, (pid, channel) in list(supervisors.items()):
                    if pid == ended:
                        del supervisors[name]
                        channel.close()
            case Closed():
                break
    # Each supervisor takes its site's processes with it; they are ours then, to wait for.
    for pid, _ in supervisors.values():
        os.kill(pid, signal.SIGKILL)
    while True:
        try:
            os.wait()
        except ChildProcessError:
            sys.exit(0)


def _fork_supervisor(
    name: str,
    happenings: Happenings,
    others: Iterable[socket.socket],
    descriptors: Iterable[int],
) -> tuple[int, socket.socket]:
    """Returns a new supervisor's process id, and our end of its mailbox.

    Others' mailboxes, and the descriptors of a request in hand, are not the supervisor's.
    """
    template = os.getpid()
    ours, theirs = channel_pair()
    pid = os.fork()
    if pid == 0:
        happenings.close()
        for channel in (ours, *others):
            channel.close()
        for descriptor in descriptors:
            os.close(descriptor)
        supervise(name, theirs, template)
    theirs.close()
    return pid, ours


if __name__ == "__main__":
    main()
