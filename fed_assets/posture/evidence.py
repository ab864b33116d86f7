"""A probe: an attempt that must fail, beside the same attempt on something that is open to it.

An attempt that fails shows nothing of itself: it may have been made badly. Only where the same
attempt succeeds on what is deliberately open, its failure on what is protected counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any


class Outcome(StrEnum):
    """What an attempt showed of the control that it was made upon."""

    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class Attempt:
    """What an attempt came to.

    Attributes:
        succeeded: Whether the attacker got what he wanted.
        counts: What was counted or measured meanwhile, such as files that were read and files that
            were not.
    """

    succeeded: bool
    counts: Mapping[str, int | float | str] = field(default_factory=dict)


@dataclass(frozen=True)
class Probe:
    """An attempt, and its positive control.

    Attributes:
        name: Its name, unique among all.
        ladder: The ladder that it belongs to, see `ladders`.
        rung: The level that cannot be reached without it; `ladders.BESIDE` if none depends on it.
        tries: What the attacker tries, as a sentence.
        attempt: Makes the attempt on the sandbox.
        control: Makes the same attempt on something that is open.
    """

    name: str
    ladder: str
    rung: int
    tries: str
    attempt: Callable[[], Attempt]
    control: Callable[[], Attempt]


@dataclass(frozen=True)
class Evidence:
    """What a probe showed, when, and as whom.

    Attributes:
        probe: The probe's name.
        ladder: Its ladder.
        rung: Its rung.
        tries: What the attacker tried.
        outcome: `passed` only where the attempt failed and its control succeeded.
        reason: Why it is inconclusive; empty otherwise.
        attempt: What the attempt counted.
        control: What the control counted.
        identity: As whom it was made, and with which versions.
        seconds: How long both took.
        at: When they were made.
    """

    probe: str
    ladder: str
    rung: int
    tries: str
    outcome: Outcome
    reason: str
    attempt: Mapping[str, int | float | str]
    control: Mapping[str, int | float | str]
    identity: Mapping[str, Any]
    seconds: float
    at: str

    def as_record(self) -> dict[str, Any]:
        """Returns it as a JSON-ready object."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Evidence:
        """Returns the evidence that `as_record` described."""
        return cls(**{**record, "outcome": Outcome(record["outcome"])})


def gather(probe: Probe, identity: Mapping[str, Any]) -> Evidence:
    """Returns what a probe shows: its control first, and where that fails, no verdict.

    An attempt or a control that breaks off shows nothing either way, and never counts as passed.
    """
    began, at = time.perf_counter(), datetime.now(UTC).isoformat(timespec="seconds")
    attempt = Attempt(succeeded=False)
    control, reason = _made(probe.control, "The control")
    if not reason and not control.succeeded:
        reason = "The control failed: the attempt is made in a way that would never succeed"
    if not reason:
        attempt, reason = _made(probe.attempt, "The attempt")
    verdict = Outcome.FAILED if attempt.succeeded else Outcome.PASSED
    return Evidence(
        probe=probe.name,
        ladder=probe.ladder,
        rung=probe.rung,
        tries=probe.tries,
        outcome=Outcome.INCONCLUSIVE if reason else verdict,
        reason=reason,
        attempt=attempt.counts,
        control=control.counts,
        identity=identity,
        seconds=round(time.perf_counter() - began, 3),
        at=at,
    )


def _made(make: Callable[[], Attempt], what: str) -> tuple[Attempt, str]:
    """Returns what was made, and why it shows nothing: by the error's type alone."""
    try:
        return make(), ""
    except Exception as error:
        return Attempt(succeeded=False), f"{what} broke off with {type(error).__name__}"
