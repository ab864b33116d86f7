"""Taking the masks out of a sum of masked updates, and out of nothing else; see `masking`.

Whoever does it needs what hospitals reveal: shares of the seed of each hospital whose update is in
the sum, and of the mask key of each that shared its secrets and then dropped out.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from fed_assets.errors import JobFailed
from fed_assets.privacy.fixed_point import Words
from fed_assets.privacy.masking import Turn, add_masks, sign_for
from fed_assets.privacy.shamir import combine

# Of each hospital that answered, `seeds` and `keys`: its shares, by whose secrets they are of.
Revealed = Mapping[str, Mapping[str, Mapping[str, bytes]]]


@dataclass(frozen=True, kw_only=True)
class Sharing:
    """What is known of the hospitals' secrets in one round.

    Attributes:
        turn: The round.
        threshold: How many shares give a secret.
        keys: What each hospital told of its keys; secrets were shared out among all of these.
        took_part: Those who shared their secrets out, and were told of each other.
        survivors: Those of them whose masked updates are in the sum.
    """

    turn: Turn
    threshold: int
    keys: Mapping[str, Mapping[str, str]]
    took_part: Collection[str]
    survivors: Collection[str]

    def unmask(self, total: Words, revealed: Revealed) -> None:
        """Takes the masks out of a sum, in place.

        Args:
            total: The sum modulo 2^32 of the survivors' masked words.
            revealed: At least as many hospitals' shares as the threshold.

        Raises:
            JobFailed: A secret cannot be put together from the shares that came.
        """
        masks = []
        for name in self.survivors:
            seed = self._secret(name, "seeds", revealed)
            masks.append((self.turn.mask_of_seed(name, seed), -1))
        for dropped in set(self.took_part) - set(self.survivors):
            secret = self._secret(dropped, "keys", revealed)
            key = X25519PrivateKey.from_private_bytes(secret)
            for name in self.survivors:
                public = bytes.fromhex(self.keys[name]["mask_key"])
                pair = self.turn.mask_of_pair(dropped, key, name, public)
                masks.append((pair, -sign_for(name, dropped)))
        add_masks(total, masks)

    def _secret(self, name: str, kind: str, revealed: Revealed) -> bytes:
        shares = {holder: said[kind][name] for holder, said in revealed.items()}
        is_right = self._is_seed if kind == "seeds" else self._is_key
        # The first that suffice, and where one is wrong, those without each of them in turn.
        for without in ("", *shares):
            held = [holder for holder in sorted(shares) if holder != without][: self.threshold]
            secret = self._combined({holder: shares[holder] for holder in held})
            if secret is not None and is_right(name, secret):
                return secret
        raise JobFailed(
            f"The mask of {name} cannot be taken out of the sum of updates",
            where=f"round {self.turn.round_number}",
            seen=f"{len(shares)} shares of its {kind}, {self.threshold} of which must be right",
            cure="Run again, which goes on after the last whole round with new keys",
        )

    def _combined(self, shares: Mapping[str, bytes]) -> bytes | None:
        try:
            return combine(shares, self.keys)
        except ValueError:
            return None

    def _is_seed(self, name: str, secret: bytes) -> bool:
        return self.turn.commitment(name, secret) == self.keys[name]["commitment"]

    def _is_key(self, name: str, secret: bytes) -> bool:
        public = X25519PrivateKey.from_private_bytes(secret).public_key()
        return public.public_bytes_raw().hex() == self.keys[name]["mask_key"]
