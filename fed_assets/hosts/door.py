"""The door of the orchestrator: hospitals' machines call at it, and runs reach them through it.

Hospitals open all connections, to one port. Over the one that stays they are handed what they are
asked for; over others, one for each that NVFlare's client there opens, they reach the server of a
federation that they take part in, which listens on loopback alone.
"""

from __future__ import annotations

import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_der_x509_certificate

from fed_assets.errors import FedAssetsError, KitRefused, PortTaken
from fed_assets.federation.revocations import revoked_in
from fed_assets.hosts.authority import DOOR, DOOR_LIFETIME, as_pem, name_of, new_key
from fed_assets.hosts.desk import Desk
from fed_assets.hosts.frames import Gone, Stream, relay
from fed_assets.hosts.identity import HOSPITAL_LIFETIME, public_key_of
from fed_assets.hosts.issued import Issued
from fed_assets.hosts.succession import keep_authority, moment
from fed_assets.hosts.tls import lively
from fed_assets.hosts.versions import versions

HANDSHAKE_SECONDS = 10.0
LOOK, ENROL, SERVE, PIPE = "look", "enrol", "serve", "pipe"
Said = Callable[[str], None]


class Door:
    """Listens for hospitals' machines; `close` it after.

    Args:
        folder: Where the authority and the list of issued certificates lie.
        revocations: The list of revoked hospitals.
        desk: Where runs ask for hospitals.
        listen: The address and port on which it listens.
        say: Called with a sentence for a person, whenever somebody comes, goes or is refused.
        lifetime: How long the certificates are valid that it issues.
        own_lifetime: How long its own are; each is replaced after half of that.

    Raises:
        KitRefused: The authority cannot be used.
        StorageError: The folder cannot be written.
        PortTaken: Nothing can listen there.
    """

    def __init__(
        self,
        folder: Path,
        revocations: Path,
        desk: Desk,
        listen: tuple[str, int],
        say: Said,
        *,
        lifetime: timedelta = HOSPITAL_LIFETIME,
        own_lifetime: timedelta = DOOR_LIFETIME,
    ) -> None:
        self._folder = folder
        self._issued = Issued(folder)
        self._revocations = revocations
        self._desk = desk
        self._say = say
        self._lifetime = lifetime
        self._own_lifetime = own_lifetime
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_3
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._show_new_certificate()
        try:
            family = socket.AF_INET6 if ":" in listen[0] else socket.AF_INET
            self._listener = socket.create_server(listen, family=family, backlog=64)
        except OSError as error:
            raise PortTaken(
                f"The door cannot listen on port {listen[1]}",
                where=f"{listen[0]}:{listen[1]}",
                seen=error.strerror or type(error).__name__,
                cure="End what holds it, or name another in the roster's `federation.door`",
            ) from None
        self._closed = threading.Event()
        for work in (self._accept, self._keep_fresh):
            threading.Thread(target=work, daemon=True).start()

    @property
    def port(self) -> int:
        """The port on which it listens."""
        return int(self._listener.getsockname()[1])

    def close(self) -> None:
        """Ends listening; connections that are open end with the process."""
        self._closed.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _show_new_certificate(self) -> None:
        """Has callers from now on shown a new certificate; those that are connected stay so."""
        self._authority = keep_authority(self._folder, known_within=self._lifetime)
        self._context.load_verify_locations(cadata=self._authority.trusted)
        key = new_key()
        certificate = self._authority.issue(DOOR, key.public_key(), self._own_lifetime, door=True)
        self._fresh_until = moment(certificate, 1 / 2)
        # OpenSSL takes both from files alone.
        with tempfile.NamedTemporaryFile() as file:
            file.write(as_pem(key) + certificate.public_bytes(Encoding.PEM))
            file.flush()
            self._context.load_cert_chain(file.name)

    def _keep_fresh(self) -> None:
        said = set()
        while not self._closed.wait(1.0):
            self._desk.give_up_the_absent()
            for lacks, work in (
                ("has no new certificate", self._renew_in_time),
                ("cannot tell who is revoked", self._part_with_revoked),
            ):
                try:
                    work()
                except (FedAssetsError, OSError) as error:  # what it has to do besides goes on
                    trouble = f"The door {lacks}: {error}"
                    if trouble not in said:
                        said.add(trouble)
                        self._say(trouble)

    def _renew_in_time(self) -> None:
        if datetime.now(UTC) > self._fresh_until:
            self._show_new_certificate()

    def _part_with_revoked(self) -> None:
        for name in self._desk.connected():
            if self._revoked(name):
                self._desk.part_with(name)

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                link, address = self._listener.accept()
            except OSError:
                if not self._closed.is_set():  # out of descriptors, say
                    time.sleep(0.1)
                continue
            threading.Thread(target=self._receive, args=(link, address[0]), daemon=True).start()

    def _receive(self, link: socket.socket, caller: str) -> None:
        link.settimeout(HANDSHAKE_SECONDS)
        try:
            spoken = self._context.wrap_socket(lively(link), server_side=True)
        except OSError as error:
            if not isinstance(error, ssl.SSLEOFError):  # who only looks whether somebody is there
                reason = getattr(error, "reason", None) or str(error)
                self._say(f"{caller} was not let in: {reason.lower().replace('_', ' ')}")
            link.close()
            return
        stream = Stream(spoken)
        try:
            self._attend(stream, spoken, caller)
        except (Gone, OSError):
            pass
        except FedAssetsError as error:
            self._say(str(error))
            # A machine that is refused gives up; where the trouble is the door's, it calls again.
            word = "refused" if isinstance(error, KitRefused) else "trouble"
            stream.put({word: error.what, "seen": error.seen})
            stream.flush(1.0)
        finally:
            stream.close()

    def _attend(self, stream: Stream, spoken: ssl.SSLSocket, caller: str) -> None:
        shown = load_der_x509_certificate(spoken.getpeercert(binary_form=True) or b"")
        hospital, asked = name_of(shown), stream.next(HANDSHAKE_SECONDS)
        purpose = asked.get("purpose")
        enrolling = purpose in (LOOK, ENROL)
        revoked = self._revoked(hospital)
        if refusal := revoked or self._issued.refusal(
            hospital, shown.serial_number, enrolling=enrolling
        ):
            self._say(f"{hospital}, from {caller}, was refused: {refusal}")
            told = {"refused": f"{hospital} is not let in", "seen": refusal}
            stream.put({**told, "revoked": bool(revoked)})
            stream.flush(1.0)
            return
        welcome = {
            "time": time.time(),
            "versions": versions(),
            "terms": self._desk.terms(hospital),
            "until": shown.not_valid_after_utc.timestamp(),
        }
        match purpose:
            case "look":
                stream.put(welcome)
                stream.flush(HANDSHAKE_SECONDS)
            case "enrol":
                key = public_key_of(str(asked.get("public_key")))
                certificate = self._authority.issue(hospital, key, self._lifetime)
                self._issued.renewed(hospital, certificate.serial_number)
                said = certificate.public_bytes(Encoding.PEM).decode()
                stream.put({"certificate": said, "authorities": self._authority.trusted})
                stream.flush(HANDSHAKE_SECONDS)
            case "serve":
                stream.put(welcome)
                self._say(f"{hospital} is connected from {caller}")
                try:
                    self._desk.serve(hospital, stream, asked.get("sites", []))
                finally:
                    self._say(f"{hospital}, from {caller}, is connected no longer")
            case "pipe":
                port = self._desk.port_of(hospital, str(asked.get("site")))
                with socket.create_connection(("127.0.0.1", port), HANDSHAKE_SECONDS) as server:
                    stream.put({"open": True})
                    stream.flush(HANDSHAKE_SECONDS)
                    server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    link, first = stream.taken()
                    relay(link, server, first)
            case _:
                raise KitRefused(f"{hospital} asks for what this door does not know")

    def _revoked(self, hospital: str) -> str:
        return revoked_in(self._revocations, "*").get(hospital, "")
