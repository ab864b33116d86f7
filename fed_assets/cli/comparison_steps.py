"""The jobs that a comparison needs: which of them are missing, and what may run side by side."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from fed_assets.cli.step import Cautions, Step
from fed_assets.cli.stored_results import Stored
from fed_assets.comparison.features import audited
from fed_assets.comparison.measurements import measured_otherwise
from fed_assets.errors import RunConfigError
from fed_assets.federation.references import roster_learning
from fed_assets.federation.roster import Roster
from fed_assets.resources.jobs import AUDIT, COMPARISON, LIFECYCLE, REFERENCES
from fed_assets.sandboxes.enforcement import shown
from fed_assets.sandboxes.sandbox import Sandbox

# What a caution says of a job's own result that is damaged.
DAMAGED = {
    LIFECYCLE: "damaged",
    AUDIT: "damaged_audit",
    REFERENCES: "damaged_references",
    COMPARISON: "damaged_attacks",
}


def wanted_seeds(roster: Roster, count: int) -> list[int]:
    """Returns the seeds to train with: the roster's, and then the least others.

    Raises:
        RunConfigError: there are not so many.
    """
    if count > 100:
        raise RunConfigError("So many seeds cannot be trained with", seen=str(count))
    others = (seed for seed in range(count + len(roster.seeds)) if seed not in roster.seeds)
    return [*roster.seeds, *others][:count]


def missing_steps(
    stored: Stored,
    roster: Roster,
    sandboxes: Sequence[Sandbox],
    seeds: Sequence[int],
    *,
    again: bool,
    data: str | None = None,
) -> list[Step]:
    """Returns the jobs whose results a comparison lacks, an audit of each sandbox first.

    An audit takes a minute and decides whether a sandbox can win at all. References come before the
    runs, whose reports are compared with them. What is there of other data, controls, rounds,
    network, recipe or threshold than roster and sandbox ask for by now is made anew, and says so;
    so is what is damaged, with whichever seed.

    Args:
        stored: what is there.
        roster: what is asked for.
        sandboxes: those that can run.
        seeds: to train with.
        again: whether all of it is made anew.
        data: of `asked_data`.
    """
    wanted = [Step(LIFECYCLE, sandbox.name, seed) for seed in seeds for sandbox in sandboxes]
    names = {sandbox.name for sandbox in sandboxes}
    wanted += [
        step
        for step, _ in stored.damaged
        if step and step.job == LIFECYCLE and step.sandbox in names and step not in wanted
    ]
    lacks = {
        **{Step(AUDIT, sandbox.name): _audit_lacks(stored, sandbox) for sandbox in sandboxes},
        Step(REFERENCES): _references_lack(stored, roster, seeds, data),
        **{step: _run_lacks(stored, step) for step in wanted},
    }
    return [
        replace(step, again=() if again else why or ())
        for step, why in lacks.items()
        if again or why is not None
    ]


def comparing(stored: Stored) -> Step:
    """Returns the job that compares, which attacks models anew where that is damaged."""
    step = Step(COMPARISON)
    return replace(step, again=_damage(stored, step))


def _audit_lacks(stored: Stored, sandbox: Sandbox) -> Cautions | None:
    """Returns why a sandbox is audited again, nothing where it never was; None where it is not."""
    posture = stored.audits.get(sandbox.name)
    if posture is None:
        return _damage(stored, Step(AUDIT, sandbox.name))
    if audited(posture, {name: shown(sandbox, name) for name in sandbox.controls()}):
        return None
    return ({"kind": "other_audit", "sandboxes": [sandbox.name]},)


def _run_lacks(stored: Stored, run: Step) -> Cautions | None:
    """Returns why a sandbox is measured again, nothing where it never was; None where it is not."""
    if run not in stored.records:
        return _damage(stored, run)
    return tuple(measured_otherwise([stored.records[run]])) or None


def _references_lack(
    stored: Stored, roster: Roster, seeds: Sequence[int], data: str | None
) -> Cautions | None:
    """Returns why references are trained again, nothing but damage; None where they are not."""
    value = stored.references
    if value is None:
        return _damage(stored, Step(REFERENCES))
    learning = json.loads(json.dumps(roster_learning(roster)))
    same = value.get("rounds") == roster.rounds and value.get("learning") == learning
    # What was not recorded, or cannot be told now, is not held against them.
    same = same and (None in (data, value.get("asked_data")) or value["asked_data"] == data)
    return None if same and set(map(str, seeds)) <= set(value["seeds"]) else ()


def _damage(stored: Stored, step: Step) -> Cautions:
    """Returns that what a job came to is damaged; nothing where it is not there."""
    damage = stored.damage_of(step)
    if damage is None:
        return ()
    of = [] if step.sandbox is None else [step.sandbox]
    said = {"kind": DAMAGED[step.job], "sandboxes": of}
    return ({**said, "file": damage.where, "seen": damage.seen},)


def left_out(wanted: Sequence[Step], allowed: Sequence[Step], why: str) -> Iterator[dict[str, Any]]:
    """Yields the runs that were wanted and are not allowed, as the comparison is told of them."""
    for step in wanted:
        if step.job == LIFECYCLE and step not in allowed:
            yield {"sandbox": step.sandbox, "seed": step.seed, "why": why}


def in_lanes(steps: Sequence[Step]) -> list[list[list[Step]]]:
    """Returns what runs after what, and within that what runs side by side.

    Audits wait much, and the references learn meanwhile. What is measured runs by itself.
    """

    def of(job: str) -> list[Step]:
        return [step for step in steps if step.job == job]

    return [[of(AUDIT), of(REFERENCES)], [of(LIFECYCLE)], [of(COMPARISON)]]
