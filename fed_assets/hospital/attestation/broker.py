"""The hospital's broker: it holds the key, and releases it against fresh evidence alone.

What Azure's Key Vault does with `release_key`: evidence is verified by the attester's public key
and held against the key's release policy, and the key comes back encrypted to the key in the
evidence. Beside that, each piece of evidence answers a nonce that the broker drew and takes once.
"""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.hashes import SHA256

from fed_assets.errors import CodeRefused
from fed_assets.hospital.attestation.approval import how_to_approve, read_approval
from fed_assets.hospital.attestation.evidence import (
    EVIDENCE_SECONDS,
    MEASUREMENT,
    ephemeral_key,
    nonce_of,
    read_evidence,
    refused,
)
from fed_assets.hospital.attestation.release_policy import unmet
from fed_assets.hospital.custody import HospitalKey

NONCE_BYTES = 32
MOST_NONCES = 64
SHOWN_DIGITS = 12


@dataclass(frozen=True)
class Broker:
    """Answers the processes of one hospital.

    Attributes:
        keys: The hospital's key file.
        approval: The hospital's record of approved code.
        clock: Seconds that only grow.
    """

    keys: HospitalKey
    approval: Path
    clock: Callable[[], float] = time.monotonic
    _nonces: dict[str, float] = field(default_factory=dict, repr=False)

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Does what a process asks for.

        Without evidence: `nonce` returns one, and `current` the id of the key that wraps. With it,
        `release`, `provide`, `renew` and `forget_old` return the hospital's `keys` by their ids,
        wrapped, after they did what `custody.KeyProvider` says of them.

        Raises:
            CodeRefused: The evidence is of code that the hospital has not approved.
            KeyRefused: The evidence is not to be taken, or the key file cannot be used.
        """
        match request["ask"]:
            case "nonce":
                return {"nonce": self._drawn()}
            case "current":
                return {"current": self.keys.key_id}
            case "release":
                return self._release(request.get("evidence"), lambda: None)
            case "provide":
                return self._release(request.get("evidence"), self.keys.provide)
            case "renew":
                return self._release(request.get("evidence"), self.keys.renew)
            case "forget_old":
                return self._release(request.get("evidence"), self.keys.forget_old)
        raise refused("the broker was asked for what it does not do")

    def _drawn(self) -> str:
        now = self.clock()
        for old in [each for each, until in self._nonces.items() if until < now]:
            del self._nonces[old]
        if len(self._nonces) >= MOST_NONCES:
            raise refused("too many nonces were asked for and not used")
        read_approval(self.approval, self.keys.hospital)  # without one, no evidence would do
        nonce = secrets.token_urlsafe(NONCE_BYTES)
        self._nonces[nonce] = now + EVIDENCE_SECONDS
        return nonce

    def _release(self, evidence: object, act: Callable[[], None]) -> dict[str, Any]:
        approval = read_approval(self.approval, self.keys.hospital)
        claims = read_evidence(evidence, approval.verifier)
        # Whatever comes of it, a nonce is used up by the first evidence that answers it.
        until = self._nonces.pop(nonce_of(claims), None)
        if until is None:
            raise refused("it answers a nonce that the broker did not draw, or took already")
        if until < self.clock():
            raise refused("it answers a nonce that is too old")
        found = unmet(approval.policy, claims)
        if [each.claim for each in found] == [MEASUREMENT]:
            seen, wanted = found[0].seen, found[0].wanted
            raise CodeRefused(
                # Of a round's refusal, the server hears this part alone.
                f"The code is not that which {self.keys.hospital} has approved (it is "
                f"{seen[:SHOWN_DIGITS]}, approved is {wanted[:SHOWN_DIGITS]})",
                where=str(self.approval),
                seen=f"measurement {seen}, approved {wanted}",
                cure=how_to_approve(self.approval, self.keys.hospital),
            )
        if found:
            told = "; ".join(f"{each.claim} is {each.seen}, not {each.wanted}" for each in found)
            raise refused(told)
        key = ephemeral_key(claims)
        act()
        padding = OAEP(MGF1(SHA256()), SHA256(), None)
        wrapped = {
            key_id: base64.b64encode(key.encrypt(secret, padding)).decode()
            for key_id, secret in self.keys.for_release().items()
        }
        return {"keys": wrapped}
