"""Where runs ask for hospitals on hosts of their own: the door's side that only this user reaches.

A run keeps a connection to the desk's socket for as long as it lasts. What it asks for is handed to
the hospital's machine, now or as soon as that is connected again; the sites of a federation that it
had opened there are closed when it is gone, however it went.
"""

from __future__ import annotations

import signal
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from fed_assets.errors import FedAssetsError, HostAway
from fed_assets.hosts.desk_socket import Caller, listen_at
from fed_assets.hosts.desk_state import Host, Request, Site, event_of
from fed_assets.hosts.frames import Gone, Stream
from fed_assets.hosts.lending import Lending
from fed_assets.hosts.post import Post

# For so long a hospital that is asked may be away: a connection that was cut comes back by then.
AWAY_SECONDS = 75.0


class Desk:
    """Takes what runs ask for, and hands on what hospitals answer; `close` it after.

    Args:
        folder: Where its socket lies.
        terms: What a hospital's machine is told of the data that are wanted of it.
        kits: Makes the kit of a hospital whose machine a run starts, see `lending`.
        away_seconds: How long one that is asked may be away.

    Raises:
        StorageError: The socket cannot be made.
    """

    def __init__(
        self,
        folder: Path,
        terms: Callable[[str], Mapping[str, Any]],
        kits: Callable[[str], str],
        *,
        away_seconds: float = AWAY_SECONDS,
    ) -> None:
        self._away_seconds = away_seconds
        self.terms = terms
        self._lending = Lending(kits)
        self._lock = threading.RLock()
        self._hosts: dict[str, Host] = {}
        self._requests: dict[str, Request] = {}
        self._sites: dict[str, Site] = {}
        self._began = time.monotonic()
        self._listener = listen_at(folder)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Ends listening."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def connected(self) -> list[str]:
        """Returns the hospitals whose machines are connected."""
        with self._lock:
            return sorted(name for name, host in self._hosts.items() if host.connections)

    def serve(self, hospital: str, stream: Stream, sites: Iterable[str]) -> None:
        """Carries messages from and to a hospital's machine until its connection ends.

        Raises:
            Gone: It has ended.
        """
        with self._lock:
            host = self._host(hospital)
            host.connections += 1
            self._compare(hospital, set(sites))
        try:
            host.post.carry(stream)
        finally:
            with self._lock:
                host.connections -= 1
                host.away_since = time.monotonic()

    def _compare(self, hospital: str, there: set[str]) -> None:
        """Has a machine close what nobody wants any more, and tells who wants what is not there.

        Its sites ended with the process that served before, if that is another one now.
        """
        for site in there - self._sites.keys():
            self._host(hospital).post.put({"do": "close", "site": site})
        for name, known in self._sites.items():
            if known.hospital == hospital and known.port and name not in there:
                known.caller.tell({"site": name, "event": {"ended": -signal.SIGKILL}})

    def part_with(self, hospital: str) -> None:
        """Ends the connection of a hospital's machine."""
        with self._lock:
            self._host(hospital).post.close()

    def port_of(self, hospital: str, site: str) -> int:
        """Returns the port of the server of the federation that a site takes part in.

        Raises:
            HostAway: There is no such site, or it is another hospital's.
        """
        with self._lock:
            found = self._sites.get(site)
        if found is None or found.hospital != hospital or not found.port:
            raise HostAway(f"{hospital} takes part in no such federation")
        return found.port

    def give_up_the_absent(self) -> None:
        """Gives up hospitals that have been away for too long, and tells who waits for them.

        What they were asked is answered so, and their sites count as ended; one that comes back
        later is told to close them.
        """
        with self._lock:
            away = self._absent()
            for name, request in list(self._requests.items()):
                if (seconds := away.get(request.hospital)) is not None:
                    self._drop(name)
                    gone = HostAway(
                        f"{request.hospital} has a host of its own, which is not connected",
                        seen=f"nothing was heard of it for {seconds:.0f} s",
                    )
                    request.caller.tell({"id": request.number, "error": gone.as_record()})
            for name, site in list(self._sites.items()):
                if site.port and site.hospital in away:
                    del self._sites[name]
                    why = f"its host was not connected for {away[site.hospital]:.0f} s"
                    site.caller.tell(
                        {"site": name, "event": {"ended": -signal.SIGKILL, "why": why}}
                    )

    def _absent(self) -> dict[str, float]:
        """Returns for how many seconds each hospital has been away that is given up."""
        hospitals = {request.hospital for request in self._requests.values()}
        hospitals |= {site.hospital for site in self._sites.values()}
        away = {
            name: time.monotonic() - host.away_since
            for name in hospitals
            if not (host := self._host(name)).connections
        }
        return {name: seconds for name, seconds in away.items() if seconds > self._away_seconds}

    def _host(self, hospital: str) -> Host:
        if hospital not in self._hosts:
            post = Post(
                lambda header, _: self._heard(hospital, header), lambda: self._ask_again(hospital)
            )
            self._hosts[hospital] = Host(post, away_since=self._began)
        return self._hosts[hospital]

    def _ask_again(self, hospital: str) -> None:
        """Hands what was asked to a machine's new process, which knows of none of it."""
        with self._lock:
            for name, request in self._requests.items():
                if request.hospital == hospital:
                    self._host(hospital).post.take_back(request.letter)
                    self._hand_on(name, request)

    def _hand_on(self, name: str, request: Request) -> None:
        post = self._host(request.hospital).post
        request.letter = post.put({**request.header, "request": name}, request.attachments)

    def _drop(self, name: str) -> Request:
        """Forgets a request; where it was not sent yet, it is not any more."""
        request = self._requests.pop(name)
        self._host(request.hospital).post.take_back(request.letter)
        return request

    def _heard(self, hospital: str, header: Mapping[str, Any]) -> None:
        with self._lock:
            if site := self._sites.get(str(header.get("site", ""))):
                event = event_of(header.get("event"))
                if site.hospital == hospital and event is not None:
                    site.caller.tell({"site": header["site"], "event": event})
                return
            request = self._requests.get(str(header.get("request", "")))
            if request is None or request.hospital != hospital:
                return
            self._drop(str(header["request"]))
            said = {name: header[name] for name in ("result", "error") if name in header}
            request.caller.tell({"id": request.number, **said})

    def _accept(self) -> None:
        while True:
            try:
                link, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._attend, args=(Caller(Stream(link)),), daemon=True).start()

    def _attend(self, caller: Caller) -> None:
        try:
            while True:
                for header in caller.told():
                    caller.stream.put(header)
                for header, attachments in caller.stream.turn(1.0, caller.woken):
                    self._asked(caller, header, attachments)
        except Gone:
            pass
        finally:
            caller.stream.close()
            self._forget(caller)

    def _asked(self, caller: Caller, header: dict[str, Any], attachments: list[bytes]) -> None:
        number, hospital = header.pop("id"), str(header.get("hospital"))
        if header["do"] == "who":
            caller.tell({"id": number, "result": {"connected": self.connected()}})
            return
        if header["do"] == "kit":
            self._lend(caller, number, hospital)
            return
        with self._lock:
            if header["do"] in ("open", "start"):
                port = int(header.pop("port", 0))
                self._sites[str(header["site"])] = Site(caller, hospital, port)
            elif header["do"] == "close":
                self._sites.pop(str(header["site"]), None)
                self._lending.give_back(caller, hospital)
            name = uuid.uuid4().hex
            request = Request(caller, number, hospital, header, attachments)
            self._requests[name] = request
            self._hand_on(name, request)

    def _lend(self, caller: Caller, number: int, hospital: str) -> None:
        with self._lock:
            try:
                serving = self._host(hospital).connections > 0
                kit = self._lending.lend(hospital, caller, serving=serving)
                caller.tell({"id": number, "result": {"kit": kit}})
            except FedAssetsError as error:
                caller.tell({"id": number, "error": error.as_record()})

    def _forget(self, caller: Caller) -> None:
        with self._lock:
            self._lending.give_back(caller)
            for name, request in list(self._requests.items()):
                if request.caller is caller:
                    self._drop(name)
            for site, known in list(self._sites.items()):
                if known.caller is caller:
                    del self._sites[site]
                    self._host(known.hospital).post.put({"do": "close", "site": site})
