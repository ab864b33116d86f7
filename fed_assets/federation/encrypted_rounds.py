"""A round whose updates the server adds up without reading them, in two phases.

Hospitals train and send encrypted updates; the server adds the ciphertexts up, and has hospitals
decrypt the sum, which is what it learns; see `privacy.encrypted_sums`. Three of those whose updates
are in the sum decrypt it, other three in each round. What two say and fewer say otherwise holds, so
one that lies is outvoted, and its report says so. Where they do not agree, or are lost, others are
asked.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from nvflare.apis.shareable import Shareable

from fed_assets.errors import QuorumNotMet
from fed_assets.federation.encrypted_answers import (
    agreed,
    fault_of_ciphertexts,
    sum_said_by,
    sums_of,
    with_votes,
)
from fed_assets.federation.masked_answers import Said, with_sizes
from fed_assets.federation.masked_rounds import QUICK_SECONDS, Ask, Training
from fed_assets.federation.phases import Message, Phase
from fed_assets.federation.plan import FederationPlan
from fed_assets.federation.standing import Standing
from fed_assets.federation.weights import Weights, payload_bytes
from fed_assets.privacy.encrypted_sums import ROOM, added
from fed_assets.privacy.encryption_terms import (
    DECRYPT_TASK,
    DECRYPTING,
    SAID,
    ciphertext_name,
    ciphertexts_for,
)
from fed_assets.privacy.fixed_point import by_name, in_words, mean_of
from fed_assets.sandboxes.protection import Protection

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class EncryptedRound:
    """One round, and how it asks for what it takes.

    Attributes:
        plan: The federation's.
        round_number: Its number.
        context: What ciphertexts are added up with; it holds no key.
        weights: The weights that hospitals begin with.
        ask: Asks hospitals, and returns how that phase stands when it waits for none any more.
        training: Makes the phase in which they train.
        stopped: Whether the run was aborted.
    """

    plan: FederationPlan
    round_number: int
    context: Any
    weights: Weights
    ask: Ask
    training: Training
    stopped: Callable[[], bool]

    def run(self, silent: Mapping[str, int]) -> tuple[Standing, Weights]:
        """Returns how the round stands, and the mean of its updates.

        Without as many updates as the threshold, or where the run was aborted, there is no mean.

        Args:
            silent: Of each hospital that let an earlier round's limit pass, the last such round.

        Raises:
            QuorumNotMet: The sum cannot be had, as no two hospitals say the same.
            JobFailed: What they say is no sum of updates.
        """
        forms = in_words(self.weights)
        numbers = sum(form.size for form in forms.values())
        count = ciphertexts_for(numbers + 1)  # the last number is the tags'
        fault = partial(fault_of_ciphertexts, context=self.context, count=count)
        least = self.plan.threshold
        phase = self.training(hospitals=self.plan.hospitals, quorum=least, hidden=fault)
        trained = self.ask(phase, silent)
        if self.stopped() or len(trained.updates) < least:
            return trained, {}
        total = [
            added(self.context, (each.weights[name].tobytes() for each in trained.updates))
            for name in map(ciphertext_name, range(count))
        ]
        phases = self._decrypted(total, [each.hospital for each in trained.updates], numbers)
        if self.stopped():
            return trained, {}
        sums = sums_of(phases)
        right = agreed(sums)
        if right is None:
            raise self._cannot_be_decrypted(phases, sums)
        standing = with_votes(with_sizes(trained, phases), sums, right)
        for name in sums:
            if sums[name] != right:
                log.error("%s says another sum than the other hospitals", name)
        row = np.frombuffer(right, "<i8")
        bounds = Protection.of(self.plan.update_protection).bounds
        return standing, mean_of(by_name(row, forms), self.weights, bounds, ROOM)

    def _decrypted(self, total: list[bytes], hospitals: list[str], numbers: int) -> list[Standing]:
        """Returns how the phases stand in which hospitals decrypt, until enough of them agree."""
        first = self.round_number * DECRYPTING % len(hospitals)
        waiting = hospitals[first:] + hospitals[:first]
        phases: list[Standing] = []
        while waiting and not self.stopped() and agreed(sums_of(phases)) is None:
            asked, waiting = waiting[:DECRYPTING], waiting[DECRYPTING:]
            phases.append(self.ask(self._decryption(total, hospitals, asked, numbers), {}))
        return phases

    def _decryption(
        self, total: list[bytes], hospitals: list[str], asked: Collection[str], numbers: int
    ) -> Phase:
        message = {"round_number": self.round_number, "hospitals": hospitals}
        down = payload_bytes({}, message) + sum(map(len, total))

        @contextmanager
        def sent() -> Iterator[Message]:
            yield lambda hospital: Shareable({SAID: {**message, "ciphertexts": total}})

        def read(hospital: str, reply: Any) -> Said | str:
            return sum_said_by(hospital, reply, numbers=numbers, bytes_down=down)

        return Phase(
            task=DECRYPT_TASK,
            round_number=self.round_number,
            hospitals=asked,
            quorum=1,
            limit_seconds=min(QUICK_SECONDS, self.plan.round_timeout_seconds),
            sent=sent,
            read=read,
        )

    def _cannot_be_decrypted(
        self, phases: list[Standing], sums: Mapping[str, bytes]
    ) -> QuorumNotMet:
        missing = {name: why for phase in phases for name, why in phase.missing().items()}
        said = {name: "it says another sum than others" for name in sums}
        return QuorumNotMet(
            f"The sum of round {self.round_number} cannot be had: no two hospitals that more than "
            "others agree with decrypt it to the same",
            where=self.plan.folder,
            seen="; ".join(f"{name}: {why}" for name, why in sorted({**missing, **said}.items())),
            cure="Where they refuse it as no sum of theirs, one of them sent what is no update: by "
            "encryption nobody can tell which. Look who runs other code, leave it out (run config "
            "`leave_out`), or use `update_protection: clip`, which shows each update to the server",
        )
