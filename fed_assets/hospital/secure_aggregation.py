"""One hospital's part in adding up updates that nobody sees alone; see `privacy.masking`.

A round has four steps, each of which a hospital takes once and in this order, whatever the server
asks: it tells its keys, shares its secrets out, sends its masked update, and reveals shares of its
peers' secrets. The secrets of a round are in the memory of the hospital's job process alone, and
gone with the last step, with the first that is refused, or as the next round begins.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from fed_assets.errors import DisclosureRefused
from fed_assets.hospital.peers import Peers
from fed_assets.privacy.fixed_point import Arrays, Bounds, Words, changes, encoded, rounded_up
from fed_assets.privacy.masking import CONTENT_BYTES, Turn, add_masks, sign_for
from fed_assets.privacy.masking_terms import KEY_BYTES
from fed_assets.privacy.shamir import SHARE_BYTES, split

_HIGHEST_POWER = 40  # of two; a hospital with more images than that is none


class Step(IntEnum):
    """What a hospital did last in a round."""

    KEYS = 1
    SHARES = 2
    UPDATE = 3
    REVEALED = 4


@dataclass(frozen=True)
class _Shares:
    """What a hospital holds of a peer: shares of both secrets, and what it tells of its images."""

    seed: bytes
    key: bytes
    power: int

    def packed(self) -> bytes:
        return self.seed + self.key + bytes([self.power])

    @classmethod
    def unpacked(cls, content: bytes) -> _Shares:
        if len(content) != CONTENT_BYTES or content[-1] > _HIGHEST_POWER:
            raise ValueError("it holds no shares")
        return cls(content[:SHARE_BYTES], content[SHARE_BYTES:-1], content[-1])


@dataclass(kw_only=True)
class _Round:
    """A round's secrets, and how far it has come."""

    peers: Peers
    turn: Turn
    step: Step = Step.KEYS
    cipher_key: X25519PrivateKey = field(default_factory=X25519PrivateKey.generate, repr=False)
    mask_key: X25519PrivateKey = field(default_factory=X25519PrivateKey.generate, repr=False)
    seed: bytes = field(default_factory=lambda: os.urandom(KEY_BYTES), repr=False)
    told: dict[str, str] = field(default_factory=dict)
    keys: dict[str, dict[str, str]] = field(default_factory=dict)
    held: dict[str, _Shares] = field(default_factory=dict, repr=False)


class SecureAggregation:
    """Takes a hospital through the steps of one round after another.

    Where a step is refused, the hospital takes no more of that round. All of them raise
    `DisclosureRefused` where they were already taken, are not the next one, or belong to a round
    that is over, and where fewer hospitals than the threshold would take part.
    """

    def __init__(self) -> None:
        self._round: _Round | None = None
        self._begun: Turn | None = None

    def keys(self, peers: Peers, turn: Turn) -> dict[str, str]:
        """Begins a round; returns what the peers are told of the hospital's new keys."""
        before = self._begun
        if before and (turn.run != before.run or turn.round_number <= before.round_number):
            raise _refused("A round was asked for that is over", f"round {turn.round_number}")
        self._begun = turn
        self._round = own = _Round(peers=peers, turn=turn)
        public = {
            "cipher_key": own.cipher_key.public_key().public_bytes_raw().hex(),
            "mask_key": own.mask_key.public_key().public_bytes_raw().hex(),
            "commitment": turn.commitment(peers.hospital, own.seed),
        }
        own.told = peers.signed(turn, public)
        return own.told

    def shares(self, turn: Turn, keys: Mapping[str, Any], examples: int) -> dict[str, str]:
        """Returns a peer's shares of the hospital's secrets, sealed for it, by its id.

        Args:
            turn: The round.
            keys: What each hospital told of its keys, this one too.
            examples: Images that it will learn from. The peers are told the next power of two.

        Raises:
            IdentityRefused: A peer's keys are not signed by it.
        """
        own = self._taken(turn, Step.SHARES)
        me = own.peers.hospital
        self._require_enough(own, keys)
        own.keys = {name: own.peers.require_signed(turn, name, keys[name]) for name in keys}
        if own.keys.get(me) != own.told:
            raise _refused("Other keys are told of this hospital than its own")
        threshold, power = own.peers.threshold, rounded_up(examples).bit_length() - 1
        seeds = split(own.seed, threshold, keys)
        secrets = split(own.mask_key.private_bytes_raw(), threshold, keys)
        parts = {name: _Shares(seeds[name], secrets[name], power) for name in keys}
        own.held = {me: parts.pop(me)}
        self._round = own
        return {
            name: turn.seal(
                me, own.cipher_key, name, bytes.fromhex(own.keys[name]["cipher_key"]), part.packed()
            ).hex()
            for name, part in parts.items()
        }

    def masked(
        self,
        turn: Turn,
        sealed: Mapping[str, Any],
        *,
        received: Arrays,
        local: Arrays,
        examples: int,
        bounds: Bounds,
    ) -> Words:
        """Returns the hospital's update and its weight, in masked words.

        Args:
            turn: The round.
            sealed: What the peers that take part have sealed for this hospital, by their ids.
            received: The weights that it began with.
            local: Those after training.
            examples: Images that it learned from.
            bounds: What the update is clipped to; see `Protection.bounds`.

        Raises:
            RunConfigError: The update cannot be masked; see `fixed_point`.
        """
        own = self._taken(turn, Step.UPDATE)
        me = own.peers.hospital
        self._require_enough(own, {*sealed, me})
        for peer in sorted(sealed.keys() - {me}):
            own.held[peer] = self._opened(own, peer, sealed[peer])
        share = examples / sum(1 << part.power for part in own.held.values())
        if rounded_up(examples) > 1 << own.held[me].power:
            raise _refused("There are more images now than the peers were told")
        words = encoded(changes(local, received, bounds), share, local, bounds)
        masks = [(turn.mask_of_seed(me, own.seed), 1)]
        masks += [
            (
                turn.mask_of_pair(
                    me, own.mask_key, peer, bytes.fromhex(own.keys[peer]["mask_key"])
                ),
                sign_for(me, peer),
            )
            for peer in own.held.keys() - {me}
        ]
        add_masks(words, masks)
        self._round = own
        return words

    def reveal(self, turn: Turn, survivors: object) -> dict[str, dict[str, str]]:
        """Ends a round; returns shares of one secret of each hospital that took part.

        Args:
            turn: The round.
            survivors: Ids of the hospitals whose masked updates came in; of these it is the seed's
                share, of the others the mask key's.
        """
        own = self._taken(turn, Step.REVEALED)
        names = set(survivors) if isinstance(survivors, list) else set()
        if own.peers.hospital not in names:
            raise _refused("An update that was sent is said not to have come")
        if not names <= own.held.keys():
            raise _refused("Hospitals are said to have answered that did not take part")
        self._require_enough(own, names)
        return {
            "seeds": {name: own.held[name].seed.hex() for name in sorted(names)},
            "keys": {name: own.held[name].key.hex() for name in sorted(own.held.keys() - names)},
        }

    def _taken(self, turn: Turn, step: Step) -> _Round:
        """Returns the round, which is over unless the step that takes it hands it back."""
        own, self._round = self._round, None
        if own is None or own.turn != turn:
            raise _refused("A step of secure aggregation was asked for in a round that is over")
        if step != own.step + 1:
            raise _refused("A step of secure aggregation was asked for out of its turn", step.name)
        own.step = step
        return own

    def _require_enough(self, own: _Round, names: Any) -> None:
        least, known = own.peers.threshold, set(names) & set(own.peers.hospitals)
        if len(known) < least or len(known) < len(set(names)):
            raise _refused(
                f"Fewer hospitals than the {least} that hide each other would be added up",
                f"{len(known)} of this federation, {len(set(names)) - len(known)} others",
            )

    def _opened(self, own: _Round, peer: str, sealed: object) -> _Shares:
        try:
            cipher_key = bytes.fromhex(own.keys[peer]["cipher_key"])
            content = bytes.fromhex(str(sealed))
            me = own.peers.hospital
            return _Shares.unpacked(own.turn.open(me, own.cipher_key, peer, cipher_key, content))
        except (KeyError, ValueError) as error:
            seen = type(error).__name__
            raise _refused(f"The shares said to be {peer}'s are not", seen) from error


def _refused(what: str, seen: str = "") -> DisclosureRefused:
    return DisclosureRefused(
        what,
        where="control `update_protection`",
        seen=seen,
        cure="Look who runs the federation's server; a run that failed goes on with new keys.",
    )
