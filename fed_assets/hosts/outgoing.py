"""A hospital's side of the connection: it calls at the door, again and again, and stays."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from fed_assets.errors import DoorUnreachable
from fed_assets.hosts.frames import Gone, relay
from fed_assets.hosts.identity import Identity, refused, unreachable
from fed_assets.hosts.post import Handler, Post
from fed_assets.hosts.tls import call
from fed_assets.hosts.versions import versions

# How long it waits before it calls again: twice as long each time.
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.5, 10.0
RENEWAL_LOOK_SECONDS = 30.0


class Outgoing:
    """The connection of a hospital's machine.

    Args:
        identity: Whose it is.
        on_message: Called with each message of the door's; it must not take long.
        sites: Returns the ids of the sites that are open here.
        say: Called with a sentence for a person.
    """

    def __init__(
        self,
        identity: Identity,
        on_message: Handler,
        sites: Callable[[], Sequence[str]],
        say: Callable[[str], None],
    ) -> None:
        self._identity = identity
        self._post = Post(on_message)
        self._sites = sites
        self._say = say
        self._stopped = threading.Event()
        self._renewal_due = False
        self._looked = 0.0

    def put(self, header: Mapping[str, Any]) -> None:
        """Has the door told something, now or as soon as it can be reached again."""
        self._post.put(header)

    @property
    def is_waiting(self) -> bool:
        """Returns whether the door has not acknowledged yet all that it was told."""
        return self._post.is_waiting

    def stop(self) -> None:
        """Ends `run`."""
        self._stopped.set()
        self._post.close()

    def run(self) -> None:
        """Stays connected until `stop`, calling again whenever the connection ends.

        Its certificate is renewed when half of its time is over; the old one is shown until then.

        Raises:
            DoorUnreachable: The door refuses this machine.
            StorageError: A new certificate cannot be kept.
        """
        wait = FIRST_WAIT_SECONDS
        while not self._stopped.is_set():
            began = time.monotonic()
            try:
                if self._identity.due():
                    self._identity.renew()
                    self._say("This machine has a new certificate.")
                self._serve()
                wait = FIRST_WAIT_SECONDS
                continue  # it left off by itself, to come back with a new certificate
            except _NotNow as reason:
                self._say(f"Not connected: {reason}")
            except DoorUnreachable as error:
                if error.what.startswith("The door refuses"):
                    raise
                self._say(f"Not connected: {error.what} ({error.seen})")
            if time.monotonic() - began > LONGEST_WAIT_SECONDS:
                wait = FIRST_WAIT_SECONDS
            self._stopped.wait(wait)
            wait = min(2 * wait, LONGEST_WAIT_SECONDS)

    def _serve(self) -> None:
        asked = {"purpose": "serve", "sites": list(self._sites()), "versions": versions()}
        try:
            stream, said = call(self._identity.address, self._identity.credentials, asked)
        except (OSError, Gone) as error:
            raise unreachable(self._identity, error) from None
        try:
            if "time" not in said:
                raise refused(said)
            self._say(f"Connected with the door at {self._identity.address}.")
            self._renewal_due = False
            self._post.carry(stream, until=self._leave_off)
        except Gone as reason:
            raise _NotNow(str(reason)) from None
        finally:
            stream.close()

    def _leave_off(self) -> bool:
        now = time.monotonic()
        if not self._stopped.is_set() and now - self._looked > RENEWAL_LOOK_SECONDS:
            self._looked, self._renewal_due = now, self._identity.due()
        return self._stopped.is_set() or self._renewal_due


class _NotNow(Exception):
    """Why the connection ended."""


class Pipes:
    """Listens on loopback for NVFlare's client, and leads each connection to its server.

    Args:
        identity: Whose machine it is.
        site: The id of the site.
    """

    def __init__(self, identity: Identity, site: str) -> None:
        self._identity = identity
        self._site = site
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        """The port on loopback."""
        return int(self._listener.getsockname()[1])

    def close(self) -> None:
        """Ends listening; what is connected ends with the client."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                link, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._lead, args=(link,), daemon=True).start()

    def _lead(self, link: socket.socket) -> None:
        with link, suppress(OSError, Gone):
            asked = {"purpose": "pipe", "site": self._site}
            stream, said = call(self._identity.address, self._identity.credentials, asked)
            try:
                if said.get("open"):
                    there, first = stream.taken()
                    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    relay(there, link, first)
            finally:
                stream.close()
