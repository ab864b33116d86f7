"""What a server has kept and stored of one job, read as numbers and as bytes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fed_assets.errors import JobFailed
from fed_assets.federation.job import TASK
from fed_assets.federation.outbox import WEIGHTS_FILE, round_folder
from fed_assets.federation.plan import SERVER, FederationPlan
from fed_assets.federation.policies import HOST
from fed_assets.federation.site import SITES, TEMPORARY
from fed_assets.federation.weights import read_weights
from fed_assets.posture.canary_pictures import MEMBERS, learned_file
from fed_assets.posture.dense_network import FIRST, SIZE, Floats, flat, is_of, parts
from fed_assets.posture.update_runs import KEPT
from fed_assets.privacy.fixed_point import ROOM, WORD, encoded, rounded_up

PATTERN_BYTES = 256


@dataclass(frozen=True)
class Kept:
    """One job of hospitals that learned from pictures.

    Attributes:
        plan: The job's.
        workplace: The folder of the federation that it ran on.
    """

    plan: FederationPlan
    workplace: Path

    def received(self, round_number: int) -> Floats:
        """Returns the weights that hospitals began a round with, [SIZE]."""
        if round_number == 1:
            return flat(read_weights(Path(self.plan.initial_weights)))
        return self.published(round_number - 1)

    def published(self, round_number: int) -> Floats:
        """Returns the weights that the server made of a round's updates, [SIZE]."""
        outbox = Path(self.plan.outbox)
        return flat(read_weights(round_folder(outbox, round_number) / WEIGHTS_FILE))

    def learned(self, hospital: str, round_number: int) -> Floats:
        """Returns what a hospital changed in a round before it protected it: what is sought."""
        file = learned_file(Path(self.plan.stores[hospital]), round_number)
        learned: Floats = np.load(file).astype(np.float64)
        return learned - self.received(round_number)

    def sent(self, hospital: str, round_number: int) -> Floats:
        """Returns the change of weights that a hospital's reply says, as far as it can be read.

        Words are read as the fixed point that they may be; what holds no arrays of the network's
        form, such as a ciphertext, as words from its first byte on.

        Raises:
            JobFailed: The reply is shorter than an update.
        """
        reply = Path(self.plan.outbox).with_name(KEPT) / f"{round_number}-{TASK}-{hospital}.reply"
        arrays = reply.with_suffix(".safetensors")
        held = read_weights(arrays) if arrays.exists() else {}
        if is_of(held, np.float32):
            return flat(held) - self.received(round_number)
        if is_of(held, WORD):
            return self._scaled(flat({name: each.view("<i4") for name, each in held.items()}))
        content = reply.read_bytes()[: SIZE * WORD.itemsize]
        if len(content) < SIZE * WORD.itemsize:
            raise JobFailed("A hospital sent less than an update", seen=f"{len(content)} bytes")
        return self._scaled(np.frombuffer(content, "<i4").astype(np.float64))

    def found(self, round_number: int) -> tuple[int, int]:
        """Looks for the bytes of any hospital's update in all that the server kept and stored.

        Returns:
            In how many files one was found, and how many were searched.
        """
        patterns = [
            pattern
            for hospital in self.plan.hospitals
            for pattern in self._forms(hospital, round_number)
        ]
        roots = (
            Path(self.plan.outbox).with_name(KEPT),
            Path(self.plan.outbox),
            self.workplace / SITES / HOST,
            self.workplace / TEMPORARY / SERVER,
        )
        files = [path for root in roots for path in root.rglob("*") if path.is_file()]
        contents = (path.read_bytes() for path in files)
        return sum(any(each in content for each in patterns) for content in contents), len(files)

    def _forms(self, hospital: str, round_number: int) -> list[bytes]:
        """Returns the bytes by which an update begins in the forms that it could be seen in."""
        change, begun = self.learned(hospital, round_number), self.received(round_number)
        bounds = self.plan.update_protection
        like = {name: each.astype(np.float32) for name, each in parts(begun).items()}
        forms: list[NDArray[Any]] = [
            parts(begun + change)[FIRST].astype(np.float32),
            parts(change)[FIRST].astype(np.float32),
            parts(change)[FIRST],
            parts(MEMBERS * change)[FIRST].astype(np.float32),
        ]
        if "max_norm" in bounds:
            size = float(np.linalg.norm(change))
            within = parts(change * min(1.0, bounds["max_norm"] / size))
            share = MEMBERS / (len(self.plan.hospitals) * rounded_up(MEMBERS))
            forms.append(encoded(within, share, like, bounds)[FIRST])
            forms.append((parts(begun)[FIRST] + within[FIRST]).astype(np.float32))
        return [each.tobytes()[:PATTERN_BYTES] for each in forms]

    def _scaled(self, words: Floats) -> Floats:
        most: float = self.plan.update_protection.get("max_norm", 1.0)
        return words * (most / ROOM)
