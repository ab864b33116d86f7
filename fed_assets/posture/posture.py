"""A sandbox's posture: what it declares, what it promises by that, and what attempts showed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any

from fed_assets.posture.evidence import Evidence, Outcome
from fed_assets.posture.ladders import (
    BESIDE,
    HIGHEST,
    LADDERS,
    Standing,
    promised,
    standings,
)
from fed_assets.posture.releasing import RELEASES
from fed_assets.posture.submitting import CODE_PROBES
from fed_assets.posture.updates import OF_ONE_UPDATE, OF_THE_SUM, RECOVER
from fed_assets.sandboxes.controls import JobCode, KeyCustody, UpdateProtection
from fed_assets.sandboxes.enforcement import declared, shown
from fed_assets.sandboxes.sandbox import Sandbox

LIMITS = (
    "It protects from the identity that runs the federation, and not from the machine's root.",
    "What was not tried is not shown. A probe that passed shows that one attempt failed.",
)
# What a control promises to withstand, however low the ladder ends for another's sake.
WITHSTOOD: Mapping[tuple[str, StrEnum], Sequence[str]] = {
    ("job_code", JobCode.PREINSTALLED): CODE_PROBES,
    ("job_code", JobCode.MEASURED): CODE_PROBES,
    ("key_custody", KeyCustody.ATTESTED): RELEASES,
    ("update_protection", UpdateProtection.DIFFERENTIAL_PRIVACY): (
        *OF_ONE_UPDATE,
        *OF_THE_SUM,
    ),
    ("update_protection", UpdateProtection.SECURE_AGGREGATION): (*OF_ONE_UPDATE, RECOVER),
    ("update_protection", UpdateProtection.HOMOMORPHIC_ENCRYPTION): (*OF_ONE_UPDATE, RECOVER),
}
OF_SUMS = (
    "The sum of all updates, and with it the model, may still tell of single images: see the "
    "attempts on the sum, which no level depends on."
)
# What a control is not for, where somebody might take it to be.
LIMITS_OF: Mapping[tuple[str, StrEnum], Sequence[str]] = {
    ("update_protection", UpdateProtection.CLIP): (
        "Clipping bounds how far one hospital moves the model. Whoever runs the server still sees "
        "each update, and reads from it what it tells of single images.",
    ),
    ("update_protection", UpdateProtection.SECURE_AGGREGATION): (OF_SUMS,),
    ("update_protection", UpdateProtection.HOMOMORPHIC_ENCRYPTION): (
        OF_SUMS,
        "All hospitals share the key that updates are encrypted by: one of them and whoever runs "
        "the server, together, read every hospital's update.",
    ),
    ("update_protection", UpdateProtection.DIFFERENTIAL_PRIVACY): (
        "Whoever runs the server sees each hospital's update, with noise in it. What bounds how "
        "much that tells of an image is epsilon; an attempt shows no more than what it reached.",
    ),
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
        beyond: What its controls are not for.
    """

    sandbox: str
    controls: Mapping[str, str]
    promised: Mapping[str, int]
    withstood: Mapping[str, str]
    standings: Mapping[str, Standing]
    evidence: Sequence[Evidence]
    simulated: bool
    beyond: Sequence[str] = ()

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
        return (*LIMITS, *self.beyond, *([SIMULATED_LIMIT] if self.simulated else []))

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
    controls = {name: shown(sandbox, name) for name in sandbox.controls()}
    return _judged(sandbox.name, controls, evidence)


def judged_again(record: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the record that the controls and probes of a record come to.

    Args:
        record: Of `Posture.as_record`, or what has its `sandbox`, `controls` and `probes`.
    """
    evidence = [
        Evidence.from_record({each.name: probe[each.name] for each in fields(Evidence)})
        for probe in record["probes"]
    ]
    return _judged(record["sandbox"], record["controls"], evidence).as_record()


def _judged(sandbox: str, controls: Mapping[str, str], evidence: Iterable[Evidence]) -> Posture:
    known = sorted(evidence, key=_place)
    values = {name: declared(value) for name, value in controls.items()}
    return Posture(
        sandbox=sandbox,
        controls=controls,
        promised=promised(values),
        withstood=_withstood(values),
        standings=standings(known),
        evidence=known,
        simulated=values["key_custody"] == KeyCustody.ATTESTED,
        beyond=[
            limit
            for (control, value), limits in LIMITS_OF.items()
            if values[control] == value
            for limit in limits
        ],
    )


def _place(evidence: Evidence) -> tuple[int, int]:
    """Returns where a piece of evidence stands: by ladder and level, what is beside them last."""
    level = HIGHEST + 1 if evidence.rung == BESIDE else evidence.rung
    return list(LADDERS).index(evidence.ladder), level


def _withstood(controls: Mapping[str, str]) -> dict[str, str]:
    return {
        probe: f"{control}={value}"
        for (control, value), probes in WITHSTOOD.items()
        if controls[control] == value
        for probe in probes
    }
