"""How large a network may be whose updates are encrypted: refused before anything is trained."""

from __future__ import annotations

from pathlib import Path

from fed_assets.errors import RunConfigError
from fed_assets.federation.plan import FederationPlan
from fed_assets.federation.weights import mapped_weights
from fed_assets.privacy.encryption_terms import (
    CIPHERTEXT_BYTES,
    DECRYPTING,
    MOST_PARAMETERS,
    ciphertexts_for,
)


def require_small(plan: FederationPlan) -> None:
    """Refuses to encrypt the updates of a large network.

    Raises:
        RunConfigError: It is larger than `MOST_PARAMETERS`.
        StorageError: The initial weights cannot be read.
    """
    if not plan.encrypts:
        return
    weights = mapped_weights(Path(plan.initial_weights))
    elements = sum(array.size for array in weights.values())
    if elements <= MOST_PARAMETERS:
        return
    megabytes = ciphertexts_for(elements) * CIPHERTEXT_BYTES / 1e6
    plain = sum(array.nbytes for array in weights.values()) / 1e6
    raise RunConfigError(
        f"The network is too large for homomorphic encryption: it has {elements:,} elements, and "
        f"{MOST_PARAMETERS:,} are the most",
        where="the roster's `network`, with control `update_protection`",
        seen=f"in each round every hospital would send {megabytes:.0f} MB in place of {plain:.0f} "
        f"MB, and {DECRYPTING} of them take as much again; at the limit a round of ten hospitals "
        "took 13 s beside its training",
        cure="Use `update_protection: secure_aggregation`, which sends hardly more than plain "
        "averaging and takes networks of any size, or a smaller network",
    )
