"""What hospitals' processes have to do with approved code: prove theirs is, record or tell it."""

from __future__ import annotations

import os
from typing import Any

from fed_assets.errors import CodeRefused, RunConfigError
from fed_assets.hospital.attestation.attested_key import AttestedKey
from fed_assets.hospital.files import Store


def attest(store: Store) -> None:
    """Proves to the hospital's broker that this process runs approved code.

    Raises:
        CodeRefused: It does not.
        KeyRefused: The broker does not take its evidence.
        RunConfigError: The hospital has no broker: its key is not attested.
    """
    _attested(store).attest()


def approve_code(store: Store, peer: str) -> dict[str, Any]:
    """Records that the hospital approves the code that lies on the disk; see `approval.approve`."""
    # PyJWT takes longer to import than all else here, and no other task wants it.
    from fed_assets.hospital.attestation.approval import approve

    keys = _attested(store)
    return approve(keys.approval, keys.hospital, f"{peer}, user {os.getuid()}")


def show_approval(store: Store) -> dict[str, Any]:
    """Tells which code the hospital has approved, and which lies on the disk; nothing is written.

    Returns:
        The measurements `approved`, None where it has approved nothing, and `installed`.

    Raises:
        KeyRefused: Its record cannot be relied on.
        RunConfigError: The hospital's key is not attested.
    """
    from fed_assets.hospital.attestation.approval import read_approval
    from fed_assets.hospital.attestation.measurement import measure

    keys = _attested(store)
    try:
        approved = read_approval(keys.approval, keys.hospital).measurement
    except CodeRefused:
        approved = None
    return {"approved": approved, "installed": measure()}


def _attested(store: Store) -> AttestedKey:
    if not isinstance(store.keys, AttestedKey):
        raise RunConfigError(
            "Code is measured where the hospital's key is attested, and nowhere else",
            where=f"hospital {store.hospital}",
            cure="Run a sandbox of `key_custody: attested`",
        )
    return store.keys
