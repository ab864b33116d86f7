"""Hospitals that aggregate with each other in one process, each with a certificate of its own."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nvflare.lighter.utils import Identity, generate_cert, generate_keys, serialize_cert

from fed_assets.hospital.peers import Peers, read_peers
from fed_assets.hospital.secure_aggregation import SecureAggregation
from fed_assets.privacy.fixed_point import in_words
from fed_assets.privacy.masking import Turn
from fed_assets.privacy.masking_terms import threshold
from fed_assets.privacy.unmasking import Sharing

BOUNDS = {"max_norm": 5.0, "max_statistics_norm": 5.0}
FEDERATION = "federation"


@functools.cache
def authority(name: str) -> tuple[Any, Any]:
    """Returns the key and the certificate of an authority."""
    key, public = generate_keys()
    subject = Identity(FEDERATION)  # whoever's it is
    return key, generate_cert(subject, subject, key, public, ca=True)


@functools.cache
def certified(name: str, by: str = FEDERATION) -> tuple[Any, bytes]:
    """Returns a key, and its certificate as PEM, as NVFlare makes them."""
    key, public = generate_keys()
    signer, _ = authority(by)
    return key, serialize_cert(generate_cert(Identity(name), Identity(FEDERATION), signer, public))


def write_site(
    folder: Path, name: str, names: Sequence[str], *, quorum: int = 1, **said: Any
) -> Path:
    """Writes what a provisioned site holds for secure aggregation into its workspace."""
    from nvflare.lighter.utils import serialize_pri_key

    for part in ("local", "startup"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    local = folder / "local" / "hospital.json"
    record = json.loads(local.read_text()) if local.exists() else {"hospital": name}
    group = {"hospitals": list(names), "threshold": threshold(len(names), quorum)}
    local.write_text(json.dumps({**record, "secure_aggregation": group | said}))
    key, certificate = certified(name)
    (folder / "startup" / "client.key").write_bytes(serialize_pri_key(key))
    (folder / "startup" / "client.crt").write_bytes(certificate)
    (folder / "startup" / "rootCA.pem").write_bytes(serialize_cert(authority(FEDERATION)[1]))
    return folder


def peers_of(folder: Path, hospitals: Sequence[str], *, quorum: int = 1) -> dict[str, Peers]:
    """Returns each hospital's peers, read from a site of its own."""
    return {
        name: read_peers(write_site(folder / name, name, hospitals, quorum=quorum), name)
        for name in hospitals
    }


class Together:
    """The steps of a round over several hospitals, of which any may drop out before any step.

    It passes messages on as the server does, and keeps all of them.
    """

    def __init__(self, peers: dict[str, Peers], turn: Turn) -> None:
        self.peers, self.turn = peers, turn
        self.hospitals = {name: SecureAggregation() for name in peers}
        self.keys: dict[str, Any] = {}
        self.sealed: dict[str, dict[str, str]] = {}
        self.words: dict[str, Any] = {}
        self.revealed: dict[str, Any] = {}

    def tell_keys(self, names: Sequence[str]) -> None:
        self.keys = {name: self.hospitals[name].keys(self.peers[name], self.turn) for name in names}

    def share(self, names: Sequence[str], examples: dict[str, int]) -> None:
        self.sealed = {
            name: self.hospitals[name].shares(self.turn, self.keys, examples[name])
            for name in names
        }

    def sealed_for(self, name: str) -> dict[str, str]:
        return {sender: each[name] for sender, each in self.sealed.items() if sender != name}

    def update(
        self, names: Sequence[str], received: Any, local: dict[str, Any], examples: dict[str, int]
    ) -> None:
        self.words = {
            name: self.hospitals[name].masked(
                self.turn,
                self.sealed_for(name),
                received=received,
                local=local[name],
                examples=examples[name],
                bounds=BOUNDS,
            )
            for name in names
        }

    def reveal(self, names: Sequence[str]) -> None:
        told = {name: self.hospitals[name].reveal(self.turn, [*self.words]) for name in names}
        self.revealed = {
            name: {
                kind: {of: bytes.fromhex(share) for of, share in shares.items()}
                for kind, shares in each.items()
            }
            for name, each in told.items()
        }

    def masked_total(self, received: Any) -> Any:
        total = {name: form.copy() for name, form in in_words(received).items()}
        for words in self.words.values():
            for name, array in words.items():
                total[name] += array
        return total

    def total(self, received: Any) -> Any:
        """Returns the sum of the words without masks."""
        total = self.masked_total(received)
        sharing = Sharing(
            turn=self.turn,
            threshold=next(iter(self.peers.values())).threshold,
            keys=self.keys,
            took_part=[*self.sealed],
            survivors=[*self.words],
        )
        sharing.unmask(total, self.revealed)
        return total
