"""What both sides of secure aggregation call things, and how many hospitals it takes."""

from __future__ import annotations

# Tasks of a round beside the training itself, and where in a message what they say stands.
KEYS_TASK, SHARES_TASK, REVEAL_TASK = TASKS = ("secagg_keys", "secagg_shares", "secagg_unmask")
SAID = "secure_aggregation"
# What a hospital tells of its keys, 32 bytes each.
PUBLIC = ("cipher_key", "mask_key", "commitment")
KEY_BYTES = 32
LEAST_HOSPITALS = 3


def threshold(hospitals: int, quorum: int) -> int:
    """Returns how many hospitals must answer so that a round can be unmasked: t > n / 2."""
    return max(hospitals // 2 + 1, quorum)
