"""A job that a comparison needs, and what it is run with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fed_assets.resources.jobs import COMPARISON, LIFECYCLE, REFERENCES

Cautions = tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class Step:
    """A job that a comparison needs.

    Attributes:
        job: Its name.
        sandbox: Its partition; None for a job without.
        seed: Of the training; None where there is none.
        again: Why it is run again though it was before: cautions, see
            `comparison.caveats.measured_with`.
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
