"""What is known beside the measurements: definitions, prices, and the machine that compares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fed_assets.comparison.measurements import Record

RUN_FAILED, AUDIT_FAILED = "run_failed", "audit_failed"
# Why runs were left out: hospitals' privacy budgets or approvals of code did not do, or roster and
# sandbox do not go together.
BUDGET_SPENT, NOT_APPROVED, ROSTER_UNFIT = "budget_spent", "not_approved", "roster_unfit"


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What a comparison is made among.

    Attributes:
        controls: by sandbox, as a measurement has them: what its definition declares, and what its
            last audit measured of that.
        security: by sandbox, whether there was an audit, and how it ended, as a measurement has it.
        steps: by sandbox, what its definition asks of people, as a measurement's `effort` has it.
        currency: of the price table; None where there is none.
        machine: that compares, as a report has it.
        versions: there, likewise.
        other_data: `sandbox` and `seed` of the runs that were left out, as they were measured on
            other data.
        failed: by sandbox, what of it there is none of as it was tried and failed: `run_failed`,
            `audit_failed`.
        left_out: `sandbox`, `seed` and `why` of the runs that were left out: `budget_spent`,
            `not_approved`, `roster_unfit`.
    """

    controls: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    security: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    steps: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    currency: str | None = None
    machine: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    other_data: Sequence[Mapping[str, Any]] = field(default_factory=list)
    failed: Mapping[str, Sequence[str]] = field(default_factory=dict)
    left_out: Sequence[Mapping[str, Any]] = field(default_factory=list)

    def declared(self, sandbox: str, runs: Sequence[Record]) -> Sequence[Record]:
        """Returns a sandbox's runs; of one without any, what its definition and its audit say."""
        if runs or sandbox not in self.controls:
            return runs
        security = self.security.get(sandbox, {})
        return [{"sandbox": sandbox, "controls": self.controls[sandbox], "security": security}]

    def cautions(self) -> list[dict[str, Any]]:
        """Returns that runs were left out, as `measurements.cautions` does."""
        found = {"other_data_left_out": [each["sandbox"] for each in self.other_data]}
        for each in self.left_out:
            found.setdefault(f"{each['why']}_left_out", []).append(each["sandbox"])
        return [
            {"kind": kind, "sandboxes": sorted(set(names))}
            for kind, names in found.items()
            if names
        ]

    def tried(self, sandbox: str, *, measured: bool) -> dict[str, Any]:
        """Returns what of a sandbox `failed`, and why it was `left_out`.

        One of which a run was measured, or failed, was not left out, whichever others of it were.

        Args:
            sandbox: the sandbox.
            measured: whether a run of it was.
        """
        failed = self.failed.get(sandbox, [])
        why = next((each["why"] for each in self.left_out if each["sandbox"] == sandbox), None)
        return {"failed": failed, "left_out": None if measured or RUN_FAILED in failed else why}

    def steps_of(self, runs: Sequence[Record]) -> dict[str, Sequence[Mapping[str, Any]]]:
        """Returns what is done by hand in each sandbox: as its last run says, or its definition."""
        found = {run["sandbox"]: (run.get("effort") or {}).get("steps") for run in runs}
        told = {sandbox: steps for sandbox, steps in found.items() if steps is not None}
        return {**self.steps, **told}


def currency_of(runs: Sequence[Record]) -> str | None:
    """Returns the currency that runs were priced in; None where none was."""
    prices = (run.get("prices") or {} for run in runs)
    return next((each["currency"] for each in prices if each.get("currency")), None)
