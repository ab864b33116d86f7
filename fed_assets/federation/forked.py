"""A federation's processes as forks of one template, which imports what they need once."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from fed_assets.errors import FederationDidNotStart
from fed_assets.federation.happenings import channel_pair, hear, tell
from fed_assets.federation.site import BARE_ENVIRONMENT, Site

# Room for the titles of the forks, which are written over the template's own command line.
_ROOM = "-" * 160
TEMPLATE = "template"
# Its end of the channel closes shortly before it can be waited for.
END_SECONDS = 1.0


class Forked:
    """Starts a template at once; it loads its modules while other work goes on.

    The template is tied to the thread that makes this, and every process to the template.

    Args:
        preload: Names of the modules that the template imports.
        temporary: Folder for what an import may write.
    """

    def __init__(self, preload: Iterable[str], temporary: Path) -> None:
        self._channel, theirs = channel_pair()
        self._started: dict[str, int] = {}
        self._ended: dict[str, int] = {}
        module = ("-m", "fed_assets.federation.template")
        with theirs:
            self._template = subprocess.Popen(
                [sys.executable, *module, str(theirs.fileno()), str(os.getpid()), _ROOM],
                cwd=temporary,
                env={**BARE_ENVIRONMENT, "HOME": str(temporary), "TMPDIR": str(temporary)},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        tell(self._channel, {"preload": list(preload)})

    def start(self, site: Site, seconds: float) -> int:
        """Has the template fork a site's supervisor, and returns its process id.

        Raises:
            FederationDidNotStart: The template has ended, or did not answer in time.
        """
        deadline = time.monotonic() + seconds
        tell(self._channel, {"start": asdict(site)})
        while site.name not in self._started:
            if not self._hears(max(deadline - time.monotonic(), 0.0)):
                raise FederationDidNotStart(
                    "The federation's template does not answer",
                    seen=f"nothing within {seconds:g} s"
                    if self._template.poll() is None
                    else f"exit code {self._template.returncode}",
                )
        return self._started[site.name]

    def ended(self) -> dict[str, int]:
        """Returns the exit code of each site whose processes have ended."""
        while self._hears(0.0):
            pass
        code = self._template.poll()
        if code is not None:
            # All the others died with it.
            self._ended = {TEMPLATE: code, **dict.fromkeys(self._started, code), **self._ended}
        return dict(self._ended)

    def roots(self) -> list[int]:
        """Returns the processes that all others descend from."""
        return [self._template.pid]

    def end(self) -> None:
        """Has the template end, and all others with it."""
        self._channel.close()

    def _hears(self, seconds: float) -> bool:
        """Takes one message of the template; says whether there was one in time."""
        if self._channel.fileno() == -1 or not select.select([self._channel], [], [], seconds)[0]:
            return False
        message = hear(self._channel)
        if message is None:
            with suppress(subprocess.TimeoutExpired):
                self._template.wait(END_SECONDS)
            return False
        if "started" in message:
            self._started[message["started"]] = message["pid"]
        elif "ended" in message:
            self._ended[message["ended"]] = message["code"]
        return True
