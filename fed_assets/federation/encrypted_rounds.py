"""A round whose updates the server adds up without reading them, in three phases.

Hospitals train and send encrypted updates; they give their words for whose of them are added up;
and they decrypt the sum, which is what the server learns. See `privacy.encrypted_sums` and
`privacy.sum_tags`. Three of those whose updates are in the sum decrypt it, other three in each
round. What two say and fewer say otherwise holds, so one that lies is outvoted, and its report says
so. Where they do not agree, or are lost, others are asked. Who is lost after its update came in has
taken part.
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
    bytes_said_by,
    fault_of_ciphertexts,
    message_bytes,
    said_in,
    with_votes,
)
from fed_assets.federation.masked_answers import Said, with_sizes
from fed_assets.federation.masked_rounds import QUICK_SECONDS, Ask, Training
from fed_assets.federation.phases import Message, Phase
from fed_assets.federation.plan import FederationPlan
from fed_assets.federation.standing import Standing
from fed_assets.federation.weights import Weights
from fed_assets.privacy.encrypted_sums import ROOM, added
from fed_assets.privacy.encryption_terms import (
    AGREE_TASK,
    DECRYPT_TASK,
    DECRYPTING,
    SAID,
    WORD_BYTES,
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
        hospitals = [each.hospital for each in trained.updates]
        agreeing = self.ask(self._agreement(hospitals), {})
        words = said_in([agreeing], "word")
        enough = len(words) >= least
        sums, phases = self._sums(total, hospitals, words, numbers) if enough else ({}, [])
        if self.stopped():
            return trained, {}
        right = agreed(sums)
        if right is None:
            raise self._cannot_be_had([agreeing, *phases], sums)
        standing = with_votes(with_sizes(trained, [agreeing, *phases]), sums, right)
        for name in sums:
            if sums[name] != right:
                log.error("%s says another sum than the other hospitals", name)
        row = np.frombuffer(right, "<i8")
        bounds = Protection.of(self.plan.update_protection).bounds
        return standing, mean_of(by_name(row, forms), self.weights, bounds, ROOM)

    def _sums(
        self, total: list[bytes], hospitals: list[str], words: Mapping[str, bytes], numbers: int
    ) -> tuple[dict[str, bytes], list[Standing]]:
        """Returns what hospitals say that the sum is, asking until enough agree, and the phases."""
        said = {"hospitals": hospitals, "words": dict(words), "ciphertexts": total}
        first = self.round_number * DECRYPTING % len(words)
        waiting = [*words][first:] + [*words][:first]
        phases: list[Standing] = []
        sums: dict[str, bytes] = {}
        while waiting and not self.stopped() and agreed(sums) is None:
            asked, waiting = waiting[:DECRYPTING], waiting[DECRYPTING:]
            size = numbers * np.dtype("<i8").itemsize
            phases.append(self.ask(self._phase(DECRYPT_TASK, asked, said, "sum", size), {}))
            sums = said_in(phases, "sum")
        return sums, phases

    def _agreement(self, hospitals: list[str]) -> Phase:
        return self._phase(AGREE_TASK, hospitals, {"hospitals": hospitals}, "word", WORD_BYTES)

    def _phase(
        self, task: str, asked: Collection[str], said: Mapping[str, Any], name: str, size: int
    ) -> Phase:
        """Returns a phase in which hospitals say one thing, and nobody trains."""
        message = {"round_number": self.round_number, **said}
        down = message_bytes(message)

        @contextmanager
        def sent() -> Iterator[Message]:
            yield lambda hospital: Shareable({SAID: message})

        def read(hospital: str, reply: Any) -> Said | str:
            return bytes_said_by(hospital, reply, name=name, size=size, bytes_down=down)

        return Phase(
            task=task,
            round_number=self.round_number,
            hospitals=asked,
            quorum=1,
            limit_seconds=min(QUICK_SECONDS, self.plan.round_timeout_seconds),
            sent=sent,
            read=read,
        )

    def _cannot_be_had(self, phases: list[Standing], sums: Mapping[str, bytes]) -> QuorumNotMet:
        missing = {name: why for phase in phases for name, why in phase.missing().items()}
        said = {name: "it says another sum than others" for name in sums}
        return QuorumNotMet(
            f"The sum of round {self.round_number} cannot be had: it takes the words of "
            f"{self.plan.threshold} hospitals, and two that decrypt it to the same",
            where=self.plan.folder,
            seen="; ".join(f"{name}: {why}" for name, why in sorted({**missing, **said}.items())),
            cure="Look why hospitals fell silent. Where they refuse it as no sum of theirs, one of "
            "them sent what is no update, and encrypted as it is nobody can tell which. Look who "
            "runs other code, leave it out (run config `leave_out`), or use "
            "`update_protection: clip`, which shows each update to the server",
        )
