"""Where one round stands: who has answered, who is still waited for, and why others are missing."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from fed_assets.federation.aggregation import Update
from fed_assets.federation.lost import Loss

# Why a hospital is missing that is not to blame: others were lost, and with them the quorum.
GIVEN_UP = "the round was given up before it answered"


@dataclass(frozen=True)
class Standing:
    """One round in the eyes of the server.

    Attributes:
        round_number: Its number.
        hospitals: All hospitals of the plan.
        quorum: Fewest usable updates.
        limit_seconds: How long it waits at most.
        asked: The hospitals that are connected.
        silent: Of each hospital that let an earlier round's limit pass, the last such round.
        taken: Those that have taken their task.
        answers: Of each that has answered, its update, or why that cannot be used.
        lost: Those whose processes have ended.
        closed_by: What closed it from outside, if anything did.
        over: Its time limit has passed.
    """

    round_number: int
    hospitals: Collection[str]
    quorum: int
    limit_seconds: float
    asked: Collection[str]
    silent: Mapping[str, int] = field(default_factory=dict)
    taken: Collection[str] = ()
    answers: Mapping[str, Update | str] = field(default_factory=dict)
    lost: Mapping[str, Loss] = field(default_factory=dict)
    closed_by: str = ""
    over: bool = False

    @property
    def updates(self) -> list[Update]:
        """The usable updates, in the order of their hospitals' ids."""
        return [answer for _, answer in sorted(self.answers.items()) if isinstance(answer, Update)]

    def within_reach(self) -> bool:
        """Returns whether enough hospitals are left for the quorum."""
        left = set(self.asked) - self.lost.keys() | self.answers.keys()
        return len(left) >= self.quorum

    def awaited(self) -> set[str]:
        """Returns the hospitals that it still waits for.

        A silent one is not waited for until it takes its task, unless the quorum needs it.
        """
        if self.over or self.closed_by or not self.within_reach():
            return set()
        pending = set(self.asked) - self.answers.keys() - self.lost.keys()
        prompt = {name for name in pending if name not in self.silent or name in self.taken}
        return prompt if prompt or len(self.updates) >= self.quorum else pending

    def now_silent(self) -> dict[str, int]:
        """Returns what the next round takes for `silent`."""
        quiet = set(self.asked) - self.answers.keys() - self.lost.keys()
        return {name: self._silent_since(name) for name in quiet}

    def missing(self) -> dict[str, str]:
        """Returns why each hospital without a usable update has none."""
        return {
            name: self._why(name)
            for name in sorted(self.hospitals)
            if not isinstance(self.answers.get(name), Update)
        }

    def _silent_since(self, name: str) -> int:
        return self.round_number if name in self.taken else self.silent.get(name, self.round_number)

    def _why(self, name: str) -> str:
        answer = self.answers.get(name)
        if isinstance(answer, str):
            return answer
        if name in self.lost:
            return self.lost[name].reason
        if name not in self.asked:
            return "it is not connected"
        if self.closed_by:
            return f"NVFlare closed its task: {self.closed_by}"
        if not self.within_reach():
            return GIVEN_UP
        # The same words in each round that it is silent in, so that a report can say them once.
        silent = f"it did not answer within {self.limit_seconds:g} s in round"
        return f"{silent} {self._silent_since(name)}"
