"""The hospital's SIMULATED attester: it measures the code and signs what it found, and no more.

On Azure it is the confidential machine's own hardware with Azure's attestation service. Here it is
a process beside the one that asks, because code that signs what it says of itself proves nothing;
but one on the same machine and of the same user: it protects from nobody who is root, or who can
read the attester's key. That it is simulated is not told to it: it can say nothing else.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt

from fed_assets.errors import CodeRefused, KeyRefused
from fed_assets.hospital.attestation.approval import attester_file, how_to_approve
from fed_assets.hospital.attestation.evidence import ALGORITHM, simulated_claims
from fed_assets.hospital.attestation.measurement import measure, package_folder
from fed_assets.hospital.attestation.own_file import read_own
from fed_assets.privacy.code_digest import files_digest


@dataclass(frozen=True)
class SimulatedAttester:
    """Signs evidence for the processes of one hospital.

    Attributes:
        hospital: Whose it is.
        approval: The hospital's record of approved code, beside which its key lies.
    """

    hospital: str
    approval: Path

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Returns `evidence` for a `nonce` and a `key`, of a process that has `loaded` its code.

        Raises:
            CodeRefused: The process runs other code than lies on the disk.
            KeyRefused: The attester has no key.
        """
        if request["loaded"] != files_digest(package_folder()):
            raise CodeRefused(
                "The code on the disk is no longer that which this process has loaded",
                where=f"hospital {self.hospital}",
                cure="Run again; where a federation stays up, `fed-assets federation down` first",
            )
        claims = simulated_claims(
            self.hospital,
            nonce=request["nonce"],
            key=request["key"],
            measurement=measure(),
            now=int(time.time()),
        )
        return {"evidence": jwt.encode(claims, self._key(), algorithm=ALGORITHM)}

    def _key(self) -> jwt.PyJWK:
        path = attester_file(self.approval)
        try:
            return jwt.PyJWK.from_json(json.dumps(read_own(path, "The attester's key")), ALGORITHM)
        except (FileNotFoundError, jwt.PyJWTError):
            raise KeyRefused(
                "The hospital's attester has no key",
                where=str(path),
                cure=how_to_approve(self.approval, self.hospital),
            ) from None
