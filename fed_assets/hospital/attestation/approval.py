"""Which code a hospital has approved: a deliberate act of its own, on record in its own folder.

The record holds every approval, the release policy that the last one gave, and the public key of
the attester whose evidence is taken; the attester's own key lies beside it. There is no first
approval that comes by itself: a data officer who never looked at the code has not approved it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, generate_private_key
from jwt.algorithms import ECAlgorithm

from fed_assets.errors import CodeRefused
from fed_assets.hospital.attestation.evidence import simulated_policy
from fed_assets.hospital.attestation.measurement import measure
from fed_assets.hospital.attestation.own_file import damaged, read_own, write_own

RECORD = "The record of approved code"
SUFFIX = ".approval.json"


@dataclass(frozen=True)
class Approval:
    """What a hospital's record says.

    Attributes:
        approvals: Every approval, the last one holds: `at`, `by` and `measurement`.
        policy: What evidence has to claim, see `release_policy`.
        verifier: The attester's public key, as a JWK.
    """

    approvals: tuple[Mapping[str, str], ...]
    policy: Mapping[str, Any]
    verifier: Mapping[str, Any]

    @property
    def measurement(self) -> str:
        """Returns the measurement of the approved code."""
        return self.approvals[-1]["measurement"]


def read_approval(path: Path, hospital: str) -> Approval:
    """Returns what a hospital has approved.

    Args:
        path: The record's file.
        hospital: Whose it must be.

    Raises:
        CodeRefused: It has approved nothing.
        KeyRefused: The record cannot be relied on.
    """
    try:
        content = read_own(path, RECORD)
    except FileNotFoundError:
        raise CodeRefused(
            f"{hospital} has approved no code, and its key is released to none",
            where=str(path),
            cure=how_to_approve(path, hospital),
        ) from None
    try:
        approval = Approval(tuple(content["approvals"]), content["policy"], content["verifier"])
        whole = bool(approval.measurement) and content["hospital"] == hospital
    except (KeyError, TypeError, IndexError):
        whole = False
    if not whole:
        raise damaged(path, RECORD)
    return approval


def approve(path: Path, hospital: str, by: str) -> dict[str, Any]:
    """Records that the hospital approves the code that lies on the disk now.

    Args:
        path: The record's file.
        hospital: Whose it is.
        by: Who approves, as he says.

    Returns:
        `measurement`, and `before`: that which was approved until now, or None.

    Raises:
        KeyRefused: The record cannot be written, or the one that is there not be relied on.
    """
    try:
        earlier: Approval | None = read_approval(path, hospital)
    except CodeRefused:
        earlier = None
    measurement = measure()
    entry = {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "by": by,
        "measurement": measurement,
    }
    record = {
        "hospital": hospital,
        "approvals": [*(earlier.approvals if earlier else ()), entry],
        "policy": simulated_policy(hospital, measurement),
        "verifier": _attester(path),
    }
    write_own(path, record)
    return {"measurement": measurement, "before": earlier and earlier.measurement}


def attester_file(path: Path) -> Path:
    """Returns where the key of the simulated attester lies, for a record's file."""
    return path.with_name(path.name.removesuffix(SUFFIX) + ".attester.json")


def how_to_approve(path: Path, hospital: str) -> str:
    """Returns the cure of code that is not approved."""
    sandbox = path.name.removesuffix(SUFFIX)
    return (
        f"Look at the code and, to approve it, run `fed-assets approve-code {sandbox} {hospital}`"
    )


def _attester(path: Path) -> dict[str, Any]:
    """Returns the public key of the hospital's attester, which is drawn when there is none."""
    try:
        private = read_own(attester_file(path), "The attester's key")
    except FileNotFoundError:
        private = json.loads(ECAlgorithm.to_jwk(generate_private_key(SECP384R1())))
        write_own(attester_file(path), private)
    return {name: value for name, value in private.items() if name not in ("d", "key_ops")}
