"""The sites of one federation at hospitals on hosts of their own, as the run that opened them.

What becomes of them is noted where the session reads it, see `federation.elsewhere`.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fed_assets.errors import FedAssetsError, HostAway, system_reason
from fed_assets.federation.elsewhere import UNWANTED, WANTED, write_site_ended
from fed_assets.federation.ended import write_ended
from fed_assets.hosts.calls import Calls
from fed_assets.hosts.drawn_key import SEALED_KEY

OPEN_SECONDS = 120.0
LOOK_SECONDS = 0.1
# What is sent of a site's start-up kit; its key is made there.
STARTUP = ("client.crt", "rootCA.pem")


@dataclass
class RemoteSite:
    """One hospital's site on its own machine.

    Attributes:
        hospital: Its id.
        site: The site's.
        folder: Where the sites of the federation lie here.
        say: Called with a sentence for a person.
        trouble: Why it cannot take part; empty while it can.
        sealed_key: What it shares with the others, sealed for it; empty where they share nothing.
        started: Whether its client was asked for.
    """

    hospital: str
    site: str
    folder: Path
    say: Callable[[str], None]
    trouble: str = ""
    sealed_key: bytes = b""
    started: bool = False

    @property
    def workspace(self) -> Path:
        """What lies here of it."""
        return self.folder / self.hospital

    def lose(self, why: str) -> None:
        """Notes why it cannot take part, or not any longer; the first reason is the cause."""
        self.trouble = self.trouble or why
        if self.started:
            self.hear({"ended": 1})

    def hear(self, event: Mapping[str, Any]) -> None:
        """Notes what became of it, where the session reads it."""
        if "why" in event:
            self.trouble = str(event["why"])
            self.say(f"{self.hospital} is given up: {self.trouble}.")
        with suppress(OSError):  # the run is over, and its folder gone
            if "job" in event:
                write_ended(self.workspace, _plain(str(event["job"])), event.get("code"))
            elif "ended" in event:
                write_site_ended(self.workspace, int(event["ended"]), self.trouble)


def watch(
    calls: Calls | None,
    sites: Sequence[RemoteSite],
    over: threading.Event,
    say: Callable[[str], None],
) -> None:
    """Starts each site's client when the session wants it, and closes all in the end.

    Without a connection all have failed, which the session is told.
    """
    if calls is not None:
        for each in sites:
            calls.listen(each.site, each.hear)
    while not over.wait(LOOK_SECONDS):
        for each in sites:
            if not each.started and (each.workspace / WANTED).exists():
                each.started = True
                if calls is not None and not each.trouble:
                    threading.Thread(target=_start, args=(calls, each, say), daemon=True).start()
                else:
                    each.hear({"ended": 1})
    if calls is not None:
        for each in sites:
            with suppress(FedAssetsError):
                header = {"do": "close", "hospital": each.hospital, "site": each.site}
                calls.ask(header, (), 0.5)


def share_key(calls: Calls | None, sites: Sequence[RemoteSite], keys: Mapping[str, str]) -> None:
    """Has the first hospital that can draw the key which all share, sealed for each of them.

    Raises:
        HostAway: None can.
    """
    reasons = []
    for each in sites:
        if each.trouble or calls is None:
            continue
        header = {"do": "draw", "hospital": each.hospital, "site": each.site, "public_keys": keys}
        try:
            said = calls.ask(header, (), OPEN_SECONDS)["sealed"]
            sealed = {site.hospital: bytes.fromhex(said[site.hospital]) for site in sites}
        except FedAssetsError as error:
            reasons.append(f"{each.hospital}: {error.what}")
            continue
        except (KeyError, TypeError, ValueError):
            reasons.append(f"{each.hospital}: it answered with what is no key for each of them")
            continue
        for site in sites:
            site.sealed_key = sealed[site.hospital]
        return
    raise HostAway(
        "No hospital draws the key by which they encrypt",
        seen="; ".join(reasons) or "none opened a site",
    )


def _start(calls: Calls, site: RemoteSite, say: Callable[[str], None]) -> None:
    startup = site.workspace / "startup"
    try:
        files = {path.name: path.read_bytes() for path in startup.iterdir() if path.name in STARTUP}
        if site.sealed_key:
            files[SEALED_KEY] = site.sealed_key
        header = {
            "do": "start",
            "hospital": site.hospital,
            "site": site.site,
            "files": list(files),
            "port": _port(startup),
        }
        calls.ask(header, list(files.values()), OPEN_SECONDS)
    except (OSError, FedAssetsError) as error:
        if not (site.workspace / UNWANTED).exists():
            say(f"{site.hospital} takes no part: {error}")
        site.lose(error.what if isinstance(error, FedAssetsError) else system_reason(error))


def _port(startup: Path) -> int:
    (server,) = json.loads((startup / "fed_client.json").read_text())["servers"]
    return int(str(server["service"]["target"]).rpartition(":")[2])


def _plain(name: str) -> str:
    """Returns a job's id, which names a file, without what leads elsewhere."""
    return "".join(letter for letter in name if letter.isalnum() or letter in "-_")[:64]
