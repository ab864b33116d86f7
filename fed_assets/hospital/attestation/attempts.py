"""Ways of asking for a hospital's key that must fail, each beside the right one, on a canary.

`python -m fed_assets.hospital.attestation.attempts FOLDER` makes a hospital of its own there, with
a key, an approval and a sealed canary, asks its broker for the key in each wrong way, and prints
what came of it. With `as_process` behind it, it opens the canary of a hospital that is there as any
process of the hospital's would: by whatever code this is.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key

from fed_assets.errors import CodeRefused, FedAssetsError, HospitalError
from fed_assets.hospital.attestation.approval import attester_file
from fed_assets.hospital.attestation.attested_key import (
    KEY_BITS,
    Asked,
    AttestedKey,
    gather_evidence,
    opened,
    public_jwk,
)
from fed_assets.hospital.attestation.attester import SimulatedAttester
from fed_assets.hospital.attestation.beside import start_beside
from fed_assets.hospital.attestation.broker import Broker
from fed_assets.hospital.attestation.canary_place import Place
from fed_assets.hospital.attestation.evidence import (
    ALGORITHM,
    EVIDENCE_SECONDS,
    TEE,
    simulated_claims,
)
from fed_assets.hospital.attestation.measurement import measure
from fed_assets.hospital.attestation.own_file import write_own
from fed_assets.hospital.custody import HospitalKey

HOSPITAL, STRANGER = "canary_hospital", "another_hospital"
AS_PROCESS = "as_process"
Outcome = dict[str, int | str]
Claims = dict[str, Any]


@dataclass(frozen=True)
class Asker:
    """Who asks for a key: the hospital's own process, or somebody who passes for one.

    Attributes:
        place: The hospital's.
        broker: Its broker.
        attester: Its attester.
        own: What the key is to be wrapped to.
    """

    place: Place
    broker: Asked
    attester: Asked
    own: RSAPrivateKey

    def genuine(self) -> str:
        """Returns evidence as the hospital's process gathers it."""
        return gather_evidence(self.broker, self.attester, self.own)

    def signed(self, change: Callable[[Claims], object], key: Path | None = None) -> str:
        """Returns evidence of changed claims, signed by the hospital's attester or by another.

        Args:
            change: Changes the claims that would be genuine.
            key: The file of an attester's key.
        """
        claims = simulated_claims(
            self.place.hospital,
            nonce=str(self.broker({"ask": "nonce"})["nonce"]),
            key=public_jwk(self.own),
            measurement=measure(),
            now=int(time.time()),
        )
        change(claims)
        signing = (key or attester_file(self.place.approval)).read_text()
        return jwt.encode(claims, jwt.PyJWK.from_json(signing, ALGORITHM), algorithm=ALGORITHM)

    def ask(self, evidence: str | None) -> Outcome:
        """Returns whether evidence gets a key that opens the canary, and the broker's answer.

        Raises:
            KeyRefused: The broker does not answer at all.
        """
        try:
            answer = self.broker({"ask": "release", "evidence": evidence})
        except HospitalError as refusal:
            self.broker({"ask": "current"})  # it has judged, and not ended
            return {"opened": 0, "answer": refusal.seen}
        keys = opened(answer["keys"], self.own)
        return {"opened": int(self.place.opens(self._put_down(keys))), "answer": "the key"}

    def _put_down(self, keys: Mapping[str, bytes]) -> HospitalKey:
        """Returns keys as a file of the asker's own."""
        got = self.place.root / f"got-{secrets.token_hex(4)}.json"
        texts = {name: base64.b64encode(key).decode() for name, key in keys.items()}
        write_own(got, {"hospital": self.place.hospital, "keys": texts})
        return HospitalKey(got, self.place.hospital)


def attempts(north: Asker, south: Asker) -> dict[str, dict[str, Outcome]]:
    """Returns what came of each way to ask for the key of one hospital: `control`, and `attempt`.

    Args:
        north: The hospital.
        south: Another one, with a broker and an attester of its own.
    """
    twice = north.genuine()
    others = Asker(north.place, north.broker, south.attester, north.own)
    another = attester_file(south.place.approval)
    ways: dict[str, tuple[Callable[[], Outcome], Callable[[], Outcome]]] = {
        "without_evidence": (lambda: north.ask(north.genuine()), lambda: north.ask(None)),
        "replayed": (lambda: north.ask(twice), lambda: north.ask(twice)),
        "expired": _claimed(north, _expire),
        "debuggable": _claimed(north, _debug),
        "by_another_attester": (
            lambda: north.ask(north.signed(_nothing)),
            lambda: north.ask(north.signed(_nothing, another)),
        ),
        "of_another_hospital": (
            lambda: south.ask(south.genuine()),
            lambda: north.ask(others.genuine()),
        ),
        "of_no_hardware": (
            lambda: north.ask(north.genuine()),
            lambda: north.ask(north.genuine()),
        ),
    }
    return {
        name: {"control": control(), "attempt": attempt()}
        for name, (control, attempt) in ways.items()
    }


def _claimed(
    north: Asker, change: Callable[[Claims], object]
) -> tuple[Callable[[], Outcome], Callable[[], Outcome]]:
    return lambda: north.ask(north.signed(_nothing)), lambda: north.ask(north.signed(change))


def _nothing(claims: Claims) -> None:
    """Leaves claims as the attester makes them."""


def _expire(claims: Claims) -> None:
    for name in ("iat", "nbf", "exp"):
        claims[name] -= EVIDENCE_SECONDS + 1


def _debug(claims: Claims) -> None:
    claims[TEE]["x-ms-sevsnpvm-is-debuggable"] = True


def ask_in_each_way(root: Path) -> dict[str, dict[str, Outcome]]:
    """Founds two hospitals, and returns what `attempts` says of them.

    Raises:
        FedAssetsError: A hospital cannot be founded, or its broker does not answer.
    """
    north, south = Place(root, HOSPITAL), Place(root, STRANGER)
    own = generate_private_key(65537, KEY_BITS)
    for place in (north, south):
        place.found()
    within = Asker(
        south,
        Broker(HospitalKey(south.key_file, STRANGER), south.approval).answer,
        SimulatedAttester(STRANGER, south.approval).answer,
        own,
    )
    beside = start_beside(north.told())
    try:
        return attempts(Asker(north, beside.broker, beside.attester, own), within)
    finally:
        beside.end()


def ask_as_process(root: Path) -> Outcome:
    """Returns whether a process of the hospital's opens the canary by the code that this is.

    Raises:
        FedAssetsError: It does not, and not for the code's sake.
    """
    place = Place(root, HOSPITAL)
    with closing(AttestedKey(HOSPITAL, place.key_file, place.approval)) as key:
        try:
            return {"opened": int(place.opens(key)), "answer": "the key"}
        except CodeRefused as refusal:
            return {"opened": 0, "answer": refusal.what}


def main() -> int:
    """Prints what came of it as JSON; returns 1 where nothing did."""
    os.umask(0o077)
    root, *way = sys.argv[1:]
    try:
        made = (ask_as_process if way == [AS_PROCESS] else ask_in_each_way)(Path(root))
    except FedAssetsError as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(made))
    return 0


if __name__ == "__main__":
    sys.exit(main())
