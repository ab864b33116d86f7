"""The process that all others of a federation are forked from: modules loaded, nothing known.

`python -m fed_assets.federation.template CHANNEL PARENT` inherits its one channel, whose first
message names the modules to load. It holds no data, key or certificate, and no host-level process
forks at a hospital's request: it forks one supervisor per site at the session's, and each forks for
its own site alone.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import sys
import time

from fed_assets.federation.child import adopt_orphans, die_with_parent
from fed_assets.federation.happenings import Asked, Closed, Ended, happenings, hear, tell
from fed_assets.federation.preload import check_forkable, preload
from fed_assets.federation.site import Site
from fed_assets.federation.supervisor import supervise


def main() -> None:
    """Loads the modules, forks supervisors as told, and ends with all of them."""
    channel, parent = socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2])
    die_with_parent(parent)
    adopt_orphans()
    os.umask(0o077)
    # A core file would hold what a hospital's process held.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    first = hear(channel)
    if first is None:
        return
    started = time.monotonic()
    failures = preload(first["preload"])
    check_forkable(channel.fileno())
    ready = {"seconds": round(time.monotonic() - started, 3), "failures": failures}
    tell(channel, {"ready": ready})
    site, template = fork_supervisors(channel)
    process = supervise(site, template)
    process.run()


def fork_supervisors(channel: socket.socket) -> tuple[Site, int]:
    """Forks a supervisor for each site that the channel names, until the channel is closed.

    Returns:
        In each supervisor, its site and this process's id. It never returns in this process.
    """
    names: dict[int, str] = {}
    template = os.getpid()
    events = happenings(channel)
    for event in events:
        match event:
            case Asked(message):
                site = Site(**message["start"])
                pid = os.fork()
                if pid == 0:
                    events.close()
                    channel.close()
                    return site, template
                names[pid] = site.name
                tell(channel, {"started": site.name, "pid": pid})
            case Ended(pid, code):
                if pid in names:
                    tell(channel, {"ended": names.pop(pid), "code": code})
            case Closed():
                break
    events.close()
    # Each supervisor takes its site's processes with it; they are ours then, to wait for.
    for pid in names:
        os.kill(pid, signal.SIGKILL)
    while True:
        try:
            os.wait()
        except ChildProcessError:
            sys.exit(0)


if __name__ == "__main__":
    main()
