"""Where an earlier run broke off: its whole rounds, which a run of the same work goes on from."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from fed_assets.errors import FedAssetsError, StorageError
from fed_assets.federation.outbox import (
    WEIGHTS_FILE,
    copy_round,
    read_optimizer,
    read_whole_round,
    round_folder,
    written,
)
from fed_assets.federation.plan import PLAN_FILE, FederationPlan
from fed_assets.federation.results import FederationResult, read_result
from fed_assets.federation.weights import Weights
from fed_assets.sandboxes.controls import Aggregation
from fed_assets.sandboxes.protection import Rule

# Plans that agree in these ask for the same rounds, made in the same way.
SAME_WORK = (
    *("sandbox", "transport", "job_code", "suppress_below", "hospitals", "data_digest"),
    *("update_protection", "aggregation"),
    *("network", "classes", "channels", "recipe", "rounds", "seed", "executor"),
)


@dataclass(frozen=True, kw_only=True)
class Earlier:
    """An earlier run whose rounds can be gone on from.

    Attributes:
        run: Its id.
        outbox: Its outbox.
        last_round: Number of its last whole round, at least 1.
    """

    run: str
    outbox: Path
    last_round: int


def find_earlier(
    plan: FederationPlan, runs: Iterable[tuple[str, Path]], note: Callable[[str], None]
) -> Earlier | None:
    """Returns the first of earlier runs that asked for the same work and has a whole round.

    A round is whole if it has record and weights, the weights have the record's digest, and at
    least the plan's quorum took part. The first that is not ends the rounds that can be used.

    Args:
        plan: What is to be run.
        runs: Earlier runs, the preferred ones first: their ids and folders.
        note: Called with a line for each run or round that cannot be used.
    """
    for run, folder in runs:
        if not (folder / PLAN_FILE).is_file():
            continue  # it ended before its first round
        try:
            earlier = FederationPlan.read(folder / PLAN_FILE)
        except FedAssetsError as error:
            note(f"Does not go on from run {run[:8]}: {error}")
            continue
        if others := [name for name in SAME_WORK if getattr(earlier, name) != getattr(plan, name)]:
            note(f"Does not go on from run {run[:8]}, which had another {', '.join(others)}")
            continue
        outbox = Path(earlier.outbox)
        if last_round := _last_whole_round(outbox, plan, note):
            return Earlier(run=run, outbox=outbox, last_round=last_round)
    return None


def _last_whole_round(outbox: Path, plan: FederationPlan, note: Callable[[str], None]) -> int:
    for round_number in range(1, plan.rounds + 1):
        try:
            record = read_whole_round(outbox, round_number)
        except StorageError as error:
            note(f"Round {round_number} cannot be gone on from: {error}")
            return round_number - 1
        if record is None:
            return round_number - 1
        if (hospitals := len(record["participants"])) < plan.quorum:
            note(f"Round {round_number} has {hospitals} updates, and the quorum is {plan.quorum}")
            return round_number - 1
    return plan.rounds


def go_on(plan: FederationPlan, earlier: Earlier) -> FederationPlan:
    """Copies an earlier run's rounds into the plan's outbox, and returns the plan of the others.

    Where there are no others, the plan comes back as it was.

    Raises:
        StorageError: Something could not be written; each round is copied whole or not at all.
    """
    outbox = Path(plan.outbox)
    for round_number in range(1, earlier.last_round + 1):
        copy_round(earlier.outbox, outbox, round_number)
    if earlier.last_round == plan.rounds:
        return plan
    weights = round_folder(outbox, earlier.last_round) / WEIGHTS_FILE
    return replace(plan, start_round=earlier.last_round + 1, initial_weights=str(weights))


def optimizer_before(plan: FederationPlan, rule: Rule) -> Weights:
    """Returns the state of the server's optimizer when a plan's first round begins.

    Raises:
        StorageError: It goes on from a round whose state is not there, or is damaged.
    """
    if rule.kind is not Aggregation.FEDOPT or plan.start_round == 1:
        return {}
    return read_optimizer(Path(plan.outbox), plan.start_round - 1)


def keep_plan(plan: FederationPlan) -> None:
    """Writes the plan into its folder, for a run that goes on from this one.

    Raises:
        StorageError: It could not be written.
    """
    folder = Path(plan.folder)
    with written("The federation's plan", folder):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        plan.write(folder / PLAN_FILE)


def finished_before(plan: FederationPlan) -> FederationResult:
    """Returns the result of a plan all of whose rounds were copied from an earlier run.

    Raises:
        StorageError: A round is not in the outbox.
    """
    result = read_result(plan, seconds=0, timings={}, commands=())
    seconds: float = sum(record["seconds"] for record in result.rounds)
    return replace(result, seconds=round(seconds, 3))
