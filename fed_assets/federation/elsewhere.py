"""A site on a host of its own, as the session sees it: by files that another reads and writes.

    <workspace>/wanted       its client is to run
    <workspace>/unwanted     it is to end
    <workspace>/ended.json   it has ended: its exit `code`, and `why` where that is known

The session cannot reach another machine; the run that started it does, see `resources`. How the
site's jobs ended is written there as the site itself would, see `ended`.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from fed_assets.errors import ProcessNotStarted

WANTED, UNWANTED, ENDED = "wanted", "unwanted", "ended.json"


class Elsewhere:
    """The process of a site on another machine.

    Args:
        workspace: What lies here of the site.
    """

    def __init__(self, workspace: Path) -> None:
        self._workspace = workspace
        (workspace / WANTED).touch()

    def pid(self, seconds: float) -> int:
        """Has none here.

        Raises:
            ProcessNotStarted: In any case.
        """
        raise ProcessNotStarted("A site on another machine is no process here")

    def ended(self) -> int | None:
        """Returns its exit code; None while it runs, or while nothing is heard of it."""
        with suppress(FileNotFoundError):
            return int(json.loads((self._workspace / ENDED).read_text())["code"])
        return None

    def signal(self, number: int) -> None:
        """Does nothing: signals do not travel."""

    def end(self) -> None:
        """Asks that it be ended."""
        with suppress(OSError):  # the folder is gone: so is whoever would read it
            (self._workspace / UNWANTED).touch()

    def gone(self, seconds: float) -> bool:
        """Returns that nothing of it is left here; its host ends it in its own time."""
        return True

    def kill(self) -> None:
        """Does what `end` did."""
        self.end()


def why_ended(workspace: Path) -> str:
    """Returns why a site's client ended, as far as more is known than its code; else nothing."""
    with suppress(FileNotFoundError):
        return str(json.loads((workspace / ENDED).read_text())["why"])
    return ""


def write_site_ended(workspace: Path, code: int, why: str = "") -> None:
    """Notes that a site's client has ended on its machine, or cannot start there."""
    partial = workspace / f".{ENDED}"
    partial.write_text(json.dumps({"code": code, "why": why}))
    partial.rename(workspace / ENDED)
