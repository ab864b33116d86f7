"""A hospital with approved code, its broker and its attester, for tests to ask."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key

from fed_assets.hospital.attestation.approval import approve
from fed_assets.hospital.attestation.attested_key import gather_evidence, opened, public_jwk
from fed_assets.hospital.attestation.attester import SimulatedAttester
from fed_assets.hospital.attestation.broker import Broker
from fed_assets.hospital.custody import HospitalKey

OWN = generate_private_key(65537, 2048)


@dataclass
class Clock:
    """Seconds that pass when a test says so."""

    seconds: float = 0.0

    def __call__(self) -> float:
        return self.seconds


@dataclass(frozen=True)
class Site:
    """One hospital's side of it."""

    broker: Broker
    attester: SimulatedAttester
    clock: Clock

    @property
    def approval(self) -> Path:
        return self.broker.approval

    def evidence(self, own: RSAPrivateKey = OWN) -> str:
        return gather_evidence(self.broker.answer, self.attester.answer, own)

    def nonce(self) -> str:
        return str(self.broker.answer({"ask": "nonce"})["nonce"])

    def release(self, evidence: object) -> dict[str, str]:
        return dict(self.broker.answer({"ask": "release", "evidence": evidence})["keys"])

    def key(self, evidence: object) -> Any:
        """Returns what the holder of the ephemeral key gets."""
        return opened(self.release(evidence), OWN)


def a_hospital(folder: Path, name: str = "north", *, approved: bool = True) -> Site:
    """A hospital that has a key and, but where a test says otherwise, approved the code."""
    keys = HospitalKey(folder / name / "keys" / "cvm.json", name)
    keys.provide()
    approval = folder / name / "keys" / "cvm.approval.json"
    if approved:
        approve(approval, name, "a test")
    clock = Clock()
    return Site(Broker(keys, approval, clock), SimulatedAttester(name, approval), clock)


__all__ = ["OWN", "Site", "a_hospital", "public_jwk"]
