"""A sandbox's posture: what it declares, what it promises by that, and what attempts showed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from fed_assets.posture.evidence import Evidence, Outcome
from fed_assets.posture.ladders import LADDERS, Standing, promised, standings
from fed_assets.posture.releasing import RELEASES
from fed_assets.posture.submitting import CODE_PROBES
from fed_assets.sandboxes.controls import JobCode, KeyCustody
from fed_assets.sandboxes.enforcement import shown
from fed_assets.sandboxes.sandbox import Sandbox

LIMITS = (
    "It protects from the identity that runs the federation, and not from the machine's root.",
    "What was not tried is not shown. A probe that passed shows that one attempt failed.",
)
# What a control promises to withstand, however low the ladder ends for another's sake.
WITHSTOOD = {
    ("job_code", JobCode.PREINSTALLED): CODE_PROBES,
    ("job_code", JobCode.MEASURED): CODE_PROBES,
    ("key_custody", KeyCustody.ATTESTED): RELEASES,
}
SIMULATED_LIMIT = (
    "SIMULATED: the trusted execution environment is a simulation, and protects from nobody who is "
    "root."
)


@dataclass(frozen=True)
class Posture:
    """How far a sandbox keeps its word.

    Attributes:
        sandbox: Its name.
        controls: What it declares.
        promised: The least level of each ladder that it promises by that.
        withstood: The probes that it promises to pass, each with the control that does.
        standings: The level of each ladder that it reached.
        evidence: What each probe showed.
        simulated: Whether its keys are released to a simulated enclave.
    """

    sandbox: str
    controls: Mapping[str, str]
    promised: Mapping[str, int]
    withstood: Mapping[str, str]
    standings: Mapping[str, Standing]
    evidence: Sequence[Evidence]
    simulated: bool

    @property
    def shortfalls(self) -> tuple[str, ...]:
        """Returns, a sentence each, where less was measured than it promises, and why."""
        lower = [
            f"{ladder}: level {self.standings[ladder].level} was measured and {level} is promised "
            f"({self.standings[ladder].why})"
            for ladder, level in self.promised.items()
            if self.standings[ladder].level < level
        ]
        outcomes = {each.probe: str(each.outcome) for each in self.evidence}
        missed = [
            f"{probe}: {outcomes.get(probe, 'not made')}, and {control} promises that it passes"
            for probe, control in self.withstood.items()
            if outcomes.get(probe) != Outcome.PASSED
        ]
        return (*lower, *missed)

    @property
    def limits(self) -> tuple[str, ...]:
        """Returns what its evidence does not show."""
        return (*LIMITS, SIMULATED_LIMIT) if self.simulated else LIMITS

    def count(self, outcome: Outcome) -> int:
        """Returns how many probes ended so."""
        return sum(each.outcome is outcome for each in self.evidence)

    def as_record(self) -> dict[str, Any]:
        """Returns it as a JSON-ready object, with a level per ladder at its top."""
        return {
            "sandbox": self.sandbox,
            **{ladder: standing.level for ladder, standing in self.standings.items()},
            "promised": dict(self.promised),
            "withstood": dict(self.withstood),
            "keeps_its_word": not self.shortfalls,
            "shortfalls": list(self.shortfalls),
            "simulated": self.simulated,
            "controls": dict(self.controls),
            "ladders": {name: asdict(standing) for name, standing in self.standings.items()},
            "probes": [each.as_record() for each in self.evidence],
            "limits": list(self.limits),
        }


def judge(sandbox: Sandbox, evidence: Iterable[Evidence]) -> Posture:
    """Returns what a sandbox's evidence comes to."""
    known = sorted(evidence, key=lambda each: (list(LADDERS).index(each.ladder), each.rung))
    return Posture(
        sandbox=sandbox.name,
        controls={name: shown(sandbox, name) for name in sandbox.controls()},
        promised=promised(sandbox),
        withstood=_withstood(sandbox),
        standings=standings(known),
        evidence=known,
        simulated=sandbox.key_custody == "attested",
    )


def _withstood(sandbox: Sandbox) -> dict[str, str]:
    return {
        probe: f"{control}={value}"
        for (control, value), probes in WITHSTOOD.items()
        if sandbox.value(control) == value
        for probe in probes
    }
