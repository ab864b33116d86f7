"""What a federation run leaves behind: one result per run, read from its outbox."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fed_assets.errors import StorageError
from fed_assets.federation.outbox import WEIGHTS_FILE, read_round, round_folder
from fed_assets.federation.plan import FederationPlan


@dataclass(frozen=True, kw_only=True)
class FederationResult:
    """The rounds of one run and its last global weights.

    Attributes:
        rounds: The record of each round, from 1 to the plan's last.
        status: `complete`, or `degraded` where a hospital was missing in any round.
        seconds: Wall time of the run, and of the rounds before its own.
        final_weights: Absolute path of the last global weights, a safetensors file.
        final_digest: Their `weights_digest`.
        timings: Seconds spent per step of the run.
        commands: The NVFlare commands issued, as `Command` describes them.
    """

    rounds: tuple[Mapping[str, Any], ...]
    status: str
    seconds: float
    final_weights: str
    final_digest: str
    timings: Mapping[str, float]
    commands: tuple[Mapping[str, Any], ...]

    def as_record(self) -> dict[str, Any]:
        """Returns the result as a JSON-ready object."""
        return asdict(self)


def result_from_record(record: Mapping[str, Any]) -> FederationResult:
    """Returns the result that `FederationResult.as_record` described."""
    return FederationResult(
        **{**record, "rounds": tuple(record["rounds"]), "commands": tuple(record["commands"])}
    )


def read_result(
    plan: FederationPlan,
    *,
    seconds: float,
    timings: Mapping[str, float],
    commands: Sequence[Mapping[str, Any]],
) -> FederationResult:
    """Returns the result of a run whose last round is published.

    Args:
        plan: What was run.
        seconds: Wall time since its first round's start; rounds before its `start_round` took the
            time that they recorded.
        timings: Seconds spent per step of the run.
        commands: The NVFlare commands issued.

    Raises:
        StorageError: A round is not in the outbox.
    """
    outbox = Path(plan.outbox)
    rounds = []
    for round_number in range(1, plan.rounds + 1):
        record = read_round(outbox, round_number)
        if record is None:
            raise StorageError(
                f"Round {round_number} is missing", where=str(round_folder(outbox, round_number))
            )
        rounds.append(record)
    before = sum(record["seconds"] for record in rounds[: plan.start_round - 1])
    return FederationResult(
        rounds=tuple(rounds),
        status="degraded" if any(record["missing"] for record in rounds) else "complete",
        seconds=round(before + seconds, 3),
        final_weights=str(round_folder(outbox, plan.rounds) / WEIGHTS_FILE),
        final_digest=rounds[-1]["global_digest"],
        timings={name: round(value, 3) for name, value in timings.items()},
        commands=tuple(commands),
    )
