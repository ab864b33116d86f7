"""How large what a hospital sends can be: what is larger is not taken in."""

from __future__ import annotations

from pathlib import Path

from fed_assets.federation.plan import FederationPlan
from fed_assets.federation.weights import mapped_weights
from fed_assets.privacy.encryption_terms import CIPHERTEXT_BYTES, ciphertexts_for
from fed_assets.privacy.fixed_point import WORD

# Of a message, and of a frame that it travels in; NVFlare takes 4 GB and 2 GB. It holds weights of
# up to `LARGE_BYTES`, as words 4 times as many at most, or 123 ciphertexts of a quarter megabyte.
MESSAGE_BYTES = 1 << 26


def most_update_bytes(plan: FederationPlan) -> int:
    """Returns how many bytes the file of an update can have, by the weights that rounds begin with.

    Its arrays are of their shapes: in their own types, as words where they are masked, and as
    ciphertexts where they are encrypted, of which the server takes none of twice the usual size.

    Raises:
        StorageError: The weights cannot be read.
    """
    path = Path(plan.initial_weights)
    arrays = mapped_weights(path).values()
    own = sum(array.nbytes for array in arrays)
    numbers = sum(array.size for array in arrays) + 2  # a hidden one has a weight and a tag too
    if plan.encrypts:
        content = ciphertexts_for(numbers) * 2 * CIPHERTEXT_BYTES
    elif plan.hides_updates:
        content = numbers * WORD.itemsize
    else:
        content = own
    # Its header says of each array what theirs says, and has other numbers in it.
    return content + 2 * (path.stat().st_size - own) + 4096
