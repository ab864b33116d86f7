"""Where the processes of a federation come from: forked from a template, or spawned anew."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Protocol

from fed_assets.federation.forked import Forked
from fed_assets.federation.plan import FederationPlan
from fed_assets.federation.preload import modules_of
from fed_assets.federation.site import TEMPORARY, Site
from fed_assets.federation.spawned import Spawned


class Origin(Protocol):
    """Starts the processes of one federation, and knows which of them have ended."""

    def start(self, site: Site, seconds: float) -> int:
        """Starts what runs at a site; returns the process that all of the site descend from.

        Raises:
            FederationDidNotStart: It could not be started within that time.
        """
        ...

    def ended(self) -> dict[str, int]:
        """Returns the exit code of each site whose main process has ended."""
        ...

    def roots(self) -> list[int]:
        """Returns the processes that all others descend from."""
        ...

    def end(self) -> None:
        """Asks every process to end; may be called again."""
        ...


def open_origin(plan: FederationPlan) -> Origin:
    """Returns what starts a plan's processes on this system; in the end, `processes.stop` it.

    Forking shares what ten hospitals' processes would otherwise each import, and needs Linux to
    tie them to each other.

    Args:
        plan: Its folder is claimed.
    """
    if sys.platform != "linux":
        return Spawned()
    return Forked(modules_of(plan), Path(plan.folder) / TEMPORARY)
