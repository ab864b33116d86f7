"""What somebody on the way makes of an update: one bit changed, or all of it rewritten.

Where the update can be read, it is changed in a way that its receiver cannot notice: NVFlare's
messages carry arrays as `.npy`, without a checksum, and the digest beside them is replaced too.
Where it cannot, what is as long as an update is changed blindly.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from fed_assets.federation.weights import Weights
from fed_assets.posture.canaries import ARRAY, AUROC
from fed_assets.privacy.digests import weights_digest


@dataclass
class Tampering:
    """One change of one message.

    Attributes:
        replacements: What is to be found in the message, and what is put in its place.
        counts: How many bytes the message had, and how often something was found in it.
    """

    replacements: tuple[tuple[bytes, bytes], ...]
    counts: dict[str, int | str] = field(default_factory=dict)

    def __call__(self, message: bytes) -> bytes:
        """Returns the message, changed."""
        found = sum(message.count(old) for old, _ in self.replacements)
        self.counts |= {"bytes": len(message), "found": found}
        if not found:
            return self._blindly(message)
        for old, new in self.replacements:
            message = message.replace(old, new)
        return message

    def _blindly(self, message: bytes) -> bytes:
        """Returns it with as much changed in its middle as would be changed in what is found."""
        old, new = self.replacements[0]
        middle = (len(message) - len(old)) // 2
        pattern = bytes(one ^ other for one, other in zip(old, new, strict=True))
        part = message[middle : middle + len(old)]
        changed = bytes(one ^ other for one, other in zip(part, pattern, strict=True))
        return message[:middle] + changed + message[middle + len(old) :]


def flipped() -> Tampering:
    """Returns one bit's change of the AUROC that a hospital reports, which adds a quarter to it.

    What cannot be an AUROC, the server would not take whoever sent it.
    """
    honest = struct.pack(">d", AUROC)
    return Tampering(((honest, struct.pack(">d", AUROC + 0.25)),))


def rewritten(update: Weights) -> Tampering:
    """Returns the change of an update to its negative, whose digest fits."""
    negative = negated(update)
    arrays = (update[ARRAY].tobytes(), negative[ARRAY].tobytes())
    digests = (weights_digest(update).encode(), weights_digest(negative).encode())
    return Tampering((arrays, digests))


def negated(update: Weights) -> Weights:
    """Returns an update whose every weight has the other sign."""
    return {name: -array for name, array in update.items()}
