"""The jobs that a comparison needs: which of them are missing, and what may run side by side."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fed_assets.cli.stored_runs import StoredRuns, read_audit, stored_runs
from fed_assets.comparison.features import audited
from fed_assets.comparison.measurements import measured_otherwise
from fed_assets.comparison.stored import require_references
from fed_assets.errors import RunConfigError, StorageError
from fed_assets.federation.references import roster_learning
from fed_assets.federation.roster import Roster
from fed_assets.resources.home import Home
from fed_assets.resources.jobs import AUDIT, COMPARISON, LIFECYCLE, REFERENCES
from fed_assets.sandboxes.enforcement import shown
from fed_assets.sandboxes.sandbox import Sandbox

Cautions = tuple[Mapping[str, Any], ...]

# How long a job takes beside the others, for the time that is left: five sandboxes of ten hospitals
# were measured so, within a factor of two.
WEIGHTS = {LIFECYCLE: 4, AUDIT: 1, REFERENCES: 4, COMPARISON: 1}


@dataclass(frozen=True)
class Step:
    """A job that a comparison needs.

    Attributes:
        job: Its name.
        sandbox: Its partition; None for a job without.
        seed: Of the training; None where there is none.
        again: Why it is run again though it was before: cautions, see
            `comparison.sentence.measured_with`.
    """

    job: str
    sandbox: str | None = None
    seed: int | None = None
    again: Cautions = field(default=(), compare=False)

    def __str__(self) -> str:
        of = "" if self.sandbox is None else f" of {self.sandbox}"
        seed = "" if self.seed is None else f", seed {self.seed}"
        return f"{self.job}{of}{seed}"

    def config(self, seeds: Sequence[int], weighing: dict[str, Any]) -> dict[str, Any]:
        """Returns its run config: all the seeds for the references, how to weigh at the end."""
        configs: dict[str, dict[str, Any]] = {
            LIFECYCLE: {"federated_training": {"config": {"seed": self.seed}}},
            REFERENCES: {"reference_models": {"config": {"seeds": list(seeds)}}},
            COMPARISON: {"sandbox_comparison": {"config": weighing}},
        }
        return {"ops": configs[self.job]} if self.job in configs else {}


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
    home: Home,
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
    so is what is damaged.

    Args:
        home: where all is kept.
        roster: what is asked for.
        sandboxes: those that can run.
        seeds: to train with.
        again: whether all of it is made anew.
        data: of `asked_data`.

    Raises:
        StorageError: a file that is damaged would be compared, and nothing here makes it anew.
    """
    runs = stored_runs(home, roster, sandboxes, data)
    steps = [
        Step(AUDIT, sandbox.name, again=() if again else why or ())
        for sandbox in sandboxes
        if (why := _audit_lacks(home, sandbox)) is not None or again
    ]
    if again or not set(map(str, seeds)) <= _referenced(home, roster, data):
        steps.append(Step(REFERENCES))
    steps += [
        Step(LIFECYCLE, sandbox.name, seed, again=() if again else why or ())
        for seed in seeds
        for sandbox in sandboxes
        if (why := _run_lacks(runs, home.measurement(sandbox.name, seed), sandbox.name)) is not None
        or again
    ]
    made = {
        home.measurement(str(step.sandbox), step.seed) for step in steps if step.seed is not None
    }
    for path, damage in runs.damaged.items():
        if path not in made:
            raise damage
    return steps


def _audit_lacks(home: Home, sandbox: Sandbox) -> Cautions | None:
    """Returns why a sandbox is audited again, nothing where it never was; None where it is not."""
    posture = None
    with suppress(StorageError):  # what is damaged is made anew
        posture = read_audit(home, sandbox.name)
    if posture is None:
        return ()
    if audited(posture, {name: shown(sandbox, name) for name in sandbox.controls()}):
        return None
    return ({"kind": "other_audit", "sandboxes": [sandbox.name]},)


def _run_lacks(runs: StoredRuns, path: Path, sandbox: str) -> Cautions | None:
    """Returns why a sandbox is measured again, nothing where it never was; None where it is not."""
    if path in runs.damaged:
        damage = {"kind": "damaged", "sandboxes": [sandbox], "file": str(path)}
        return ({**damage, "seen": runs.damaged[path].seen},)
    if path not in runs.records:
        return ()
    return tuple(measured_otherwise([runs.records[path]])) or None


def _referenced(home: Home, roster: Roster, data: str | None) -> set[str]:
    """Returns the seeds of the references that are stored, if they are the roster's."""
    from fed_assets.resources.artifact_store import read_value

    value = None
    with suppress(StorageError):  # what is damaged is trained anew
        found = read_value(home, "reference_models", cure="")
        value = None if found is None else require_references(found, home.artifacts)
    if value is None:
        return set()
    learning = json.loads(json.dumps(roster_learning(roster)))
    same = value.get("rounds") == roster.rounds and value.get("learning") == learning
    # What was not recorded, or cannot be told now, is not held against them.
    same = same and (None in (data, value.get("asked_data")) or value["asked_data"] == data)
    return set(value["seeds"]) if same else set()


def in_lanes(steps: Sequence[Step]) -> list[list[list[Step]]]:
    """Returns what runs after what, and within that what runs side by side.

    Audits wait much, and the references learn meanwhile. What is measured runs by itself.
    """

    def of(job: str) -> list[Step]:
        return [step for step in steps if step.job == job]

    return [[of(AUDIT), of(REFERENCES)], [of(LIFECYCLE)], [of(COMPARISON)]]
