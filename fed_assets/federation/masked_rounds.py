"""A round of which the server learns the sum of the updates alone, in four phases.

Hospitals tell their keys, share out what their masks come from, train and send masked updates, and
reveal what it takes to unmask the sum; see `privacy.masking`. Who is lost in one phase is missing
in the round, and asked nothing more in it; with fewer hospitals than the threshold left, it fails.
Who is lost after its update came in has taken part.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from nvflare.apis.shareable import Shareable

from fed_assets.errors import QuorumNotMet
from fed_assets.federation.aggregation import Update
from fed_assets.federation.masked_answers import (
    Said,
    fault_of_keys,
    fault_of_revealed,
    fault_of_sealed,
    said_by,
    with_sizes,
)
from fed_assets.federation.pace import LONGEST_SECONDS
from fed_assets.federation.phases import Message, Phase
from fed_assets.federation.plan import FederationPlan
from fed_assets.federation.standing import Standing
from fed_assets.federation.weights import Weights, difference_in_form, payload_bytes
from fed_assets.privacy.fixed_point import Words, decoded, in_words
from fed_assets.privacy.masking import Turn
from fed_assets.privacy.masking_terms import (
    KEYS_TASK,
    REVEAL_TASK,
    SAID,
    SHARES_TASK,
)
from fed_assets.privacy.unmasking import Sharing
from fed_assets.sandboxes.protection import Protection

# How long a phase without training waits at most; no longer than the round itself may take.
QUICK_SECONDS = 60.0

Ask = Callable[[Phase, Mapping[str, int]], Standing]
# Makes the phase of training: for whom, what each is told besides, and what a hidden update is.
Training = Callable[..., Phase]


@dataclass(frozen=True, kw_only=True)
class MaskedRound:
    """One round, and how it asks for what it takes.

    Attributes:
        plan: The federation's.
        turn: The round, as masks are bound to it.
        weights: The weights that hospitals begin with.
        ask: Asks hospitals, and returns how that phase stands when it waits for none any more.
        training: Makes the phase in which they train.
        stopped: Whether the run was aborted.
    """

    plan: FederationPlan
    turn: Turn
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
            QuorumNotMet: The masks cannot be taken out of the sum, as too few hospitals answered.
            JobFailed: They cannot, as what hospitals sent does not fit together.
        """
        keys = self._said(
            KEYS_TASK, self.plan.hospitals, {}, lambda _, said: fault_of_keys(said), silent
        )
        told = _contents(keys)
        if self._ends(keys):
            return self._in_one(keys), {}
        shares = self._said(
            SHARES_TASK,
            told,
            {"keys": told},
            lambda hospital, said: fault_of_sealed(said, told.keys() - {hospital}),
        )
        sealed = _contents(shares)
        if self._ends(shares):
            return self._in_one(keys, shares), {}
        for_each = {
            name: {SAID: {"shares": {by: all_[name] for by, all_ in sealed.items() if by != name}}}
            for name in sealed
        }
        words, least = in_words(self.weights), self.plan.threshold
        fault = partial(difference_in_form, like=words)
        phase = self.training(hospitals=[*sealed], quorum=least, told=for_each, hidden=fault)
        trained = self.ask(phase, {})
        standing = self._in_one(keys, shares, trained)
        if self._ends(trained):
            return standing, {}
        survivors = [update.hospital for update in trained.updates]
        revealed = self._said(
            REVEAL_TASK,
            survivors,
            {"survivors": survivors},
            lambda _, said: fault_of_revealed(said, survivors, sealed.keys() - set(survivors)),
        )
        if self.stopped():
            return standing, {}
        if self._ends(revealed):
            raise self._cannot_be_unmasked(revealed)
        sharing = Sharing(
            turn=self.turn,
            threshold=self.plan.threshold,
            keys=told,
            took_part=[*sealed],
            survivors=survivors,
        )
        total = _sum(trained.updates, self.weights)
        sharing.unmask(total, _shares(revealed))
        mean = decoded(total, self.weights, Protection.of(self.plan.update_protection).bounds)
        return with_sizes(standing, (keys, shares, revealed)), mean

    def _said(
        self,
        task: str,
        hospitals: Collection[str],
        said: Mapping[str, Any],
        fault: Callable[[str, Mapping[str, Any]], str | None],
        silent: Mapping[str, int] | None = None,
    ) -> Standing:
        """Returns how a phase stands in which hospitals say something, and nobody trains."""
        message = {"round_number": self.turn.round_number, **said}

        @contextmanager
        def sent() -> Iterator[Message]:
            yield lambda hospital: Shareable({SAID: message})

        def read(hospital: str, reply: Any) -> Said | str:
            return said_by(hospital, reply, fault, bytes_down=payload_bytes({}, message))

        phase = Phase(
            task=task,
            round_number=self.turn.round_number,
            hospitals=[*hospitals],
            quorum=self.plan.threshold,
            limit_seconds=min(QUICK_SECONDS, self.plan.round_timeout_seconds),
            # It is over so soon that who asks for tasks seldom by now would never get one.
            patience_seconds=LONGEST_SECONDS + 0.5 if silent else 0.0,
            sent=sent,
            read=read,
        )
        return self.ask(phase, silent or {})

    def _ends(self, standing: Standing) -> bool:
        return self.stopped() or len(standing.updates) < self.plan.threshold

    def _in_one(self, first: Standing, *later: Standing) -> Standing:
        """Returns how the round stands, of how its phases did."""
        phases = (first, *later)
        updates = {} if len(phases) < 3 else {each.hospital: each for each in later[-1].updates}
        answers: dict[str, Update | str] = dict(updates)
        limit = first.limit_seconds
        for phase in phases:
            silent = {} if phase.closed_by else phase.now_silent()
            if silent:
                limit = phase.limit_seconds
            for name, reason in phase.missing().items():
                if name not in silent:
                    answers.setdefault(name, reason)
        return replace(
            phases[-1],
            hospitals=self.plan.hospitals,
            limit_seconds=limit,
            asked=first.asked,
            silent=first.silent,
            taken=frozenset().union(*(phase.taken for phase in phases)),
            answers=answers,
            closed_by="",
        )

    def _cannot_be_unmasked(self, revealed: Standing) -> QuorumNotMet:
        return QuorumNotMet(
            f"The sum of round {self.turn.round_number} cannot be unmasked: of "
            f"{len(revealed.asked)} hospitals {len(revealed.updates)} revealed shares, and it "
            f"takes {self.plan.threshold}",
            where=self.plan.folder,
            seen="; ".join(f"{name}: {reason}" for name, reason in revealed.missing().items()),
            cure="Look why these hospitals fell silent, and run again: it goes on with new keys",
        )


def _contents(standing: Standing) -> dict[str, Any]:
    return {each.hospital: each.content for each in standing.updates if isinstance(each, Said)}


def _shares(standing: Standing) -> dict[str, dict[str, dict[str, bytes]]]:
    return {
        holder: {
            kind: {name: bytes.fromhex(share) for name, share in shares.items()}
            for kind, shares in said.items()
        }
        for holder, said in _contents(standing).items()
    }


def _sum(updates: Collection[Update], weights: Weights) -> Words:
    total = {name: np.array(form) for name, form in in_words(weights).items()}
    for update in updates:
        for name, words in total.items():  # one array at a time: updates may lie on disk
            words += update.weights[name]
    return total
