"""One report per federation: what its global model is worth, and what each hospital sent."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fed_assets.comparison.references import METRICS as COMPARED
from fed_assets.comparison.references import alike, gain_rows, kind_of, spread_of
from fed_assets.reporting.robust_rules import measured_of
from fed_assets.reporting.rounds import curves_of, defined, mean, round_records, sent_by
from fed_assets.reporting.shortfalls import shortfalls_of

METRICS = (
    "auroc",
    "accuracy",
    "balanced_accuracy",
    "precision",
    "sensitivity",
    "specificity",
    "f1",
    "expected_calibration_error",
)
LOWER_IS_BETTER = frozenset({"expected_calibration_error"})


@dataclass(frozen=True, kw_only=True)
class ReportInputs:
    """What a federation and its evaluation let out, as it was recorded.

    Attributes:
        sandbox: the partition's name.
        data: `name`, `digest`, `synthetic` and `classes` of the images; `test_digest` of the common
            test set, where there is one.
        roster: every hospital of the roster as `id`, `name` and `region`, in its order.
        excluded: why a hospital of the roster was left out before training, by hospital.
        left_out: those of them that the run went without on purpose; they are no shortfall.
        rounds: the finished rounds' records, as the federation wrote them.
        test: evaluation record of the common test set; None where the roster names none.
        hospitals: evaluation record of each hospital's own test split.
        seconds: how long the federation took.
        seed: the federation's seed.
        versions: package to version.
        machine: what it ran on, for a person to read.
        created: when the report was made, ISO 8601.
        controls: the sandbox's controls and their values.
        robust_rules: what was measured of rules under attack; see `robust_rules`.
        numbers: what goes with a control's value, by control: epsilon, the norms, tolerated.
        suppress_below: which of the hospitals' counts the sandbox suppresses; 0: none.
        threshold: the probability, as `value`, from which on an image counts as positive, and how
            many `hospitals` chose it on their validation images; 0 where the roster says it.
        resumed_from: the failed `run` whose rounds, up to `round`, were taken over; else None.
        reference_learning: `network`, `recipe` and `threshold` of references of its kind.
        references: what `reference_models` last came to; None where it never did.
    """

    sandbox: str
    data: Mapping[str, Any]
    roster: Sequence[Mapping[str, Any]]
    excluded: Mapping[str, str]
    rounds: Sequence[Mapping[str, Any]]
    test: Mapping[str, Any] | None
    hospitals: Mapping[str, Mapping[str, Any]]
    seconds: float
    seed: int
    versions: Mapping[str, str]
    machine: Mapping[str, Any]
    created: str
    controls: Mapping[str, str]
    robust_rules: Mapping[str, Any] | None = None
    numbers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    suppress_below: int = 0
    left_out: Sequence[str] = ()
    resumed_from: Mapping[str, Any] | None = None
    threshold: Mapping[str, Any] | None = None
    reference_learning: Mapping[str, Any] | None = None
    references: Mapping[str, Any] | None = None


def build_report(inputs: ReportInputs) -> dict[str, Any]:
    """Returns the report as JSON-ready values: null wherever a figure is undefined, never NaN."""
    rounds = round_records(inputs.rounds)
    took_part = {hospital for record in rounds for hospital in record["participants"]}
    participants = _in_order(took_part, inputs.roster)
    hospitals = {
        hospital: _hospital(hospital, inputs.hospitals[hospital], inputs.roster)
        for hospital in _in_order(inputs.hospitals, inputs.roster)
    }
    shortfalls = _shortfalls(inputs, rounds, participants)
    test = inputs.test or {}
    report = {
        "sandbox": inputs.sandbox,
        "data": {"classes": [], **inputs.data},
        "roster": inputs.roster,
        "participants": participants,
        "excluded": inputs.excluded,
        "rounds": len(rounds),
        "seconds": inputs.seconds,
        "resumed_from": inputs.resumed_from,
        "degraded": bool(shortfalls),
        "shortfalls": shortfalls,
        "test": {"images": test.get("images", 0), **_metrics(test)},
        "hospitals": hospitals,
        "hospital_mean": {metric: _mean_over(hospitals, metric) for metric in METRICS},
        "worst": {metric: _worst(hospitals, metric) for metric in METRICS},
        "curves": curves_of(rounds),
        "round_records": rounds,
        "sent": {hospital: sent_by(hospital, rounds) for hospital in participants},
        "roc": test.get("roc", []),
        "confusion": test.get("confusion", []),
        "calibration": test.get("calibration", []),
        "controls": inputs.controls,
        "numbers": inputs.numbers,
        "rule_under_attack": measured_of(inputs.controls, inputs.robust_rules),
        "suppress_below": inputs.suppress_below,
        "created": inputs.created,
        "versions": inputs.versions,
        "machine": inputs.machine,
        "seed": inputs.seed,
        "threshold": inputs.threshold,
        "reference_learning": inputs.reference_learning,
    }
    ready: dict[str, Any] = _json_ready(report)
    return ready | {"references": _compared(ready, inputs.references)}


def _compared(report: Mapping[str, Any], references: Mapping[str, Any] | None) -> dict[str, Any]:
    """Returns what the federation gains over its references, or why there are none of its kind.

    `rows` are of `comparison.references.gain_rows`; `gain` says by metric how far hospitals gain
    over training alone.
    """
    digests = {name: sent["dataset_digest"] for name, sent in report["sent"].items()}
    found = alike(references, kind_of(report, digests))
    told = {"why_not": found["why_not"], "private": found["private"]}
    if found["why_not"] is not None:
        return told
    rows = gain_rows(found, report["test"], report["hospitals"])
    gain = {metric: spread_of(rows, metric) for metric in COMPARED}
    return {**told, "pooled_from": found["pooled_from"], "gain": gain, "rows": rows}


def _json_ready(value: Any) -> Any:
    """Returns plain JSON types: tuples as lists, numpy scalars as numbers, NaN and inf as null."""
    if isinstance(value, Mapping):
        return {str(key): _json_ready(entry) for key, entry in value.items()}
    if hasattr(value, "tolist"):
        return _json_ready(value.tolist())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_json_ready(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _in_order(hospitals: Iterable[str], roster: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns hospitals in the roster's order; any that it does not name follow, sorted."""
    left = set(hospitals)
    known = [entry["id"] for entry in roster if entry["id"] in left]
    return known + sorted(left.difference(known))


def _metrics(record: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    measured = record.get("metrics", {})
    return {metric: _metric(measured.get(metric, {})) for metric in METRICS}


def _metric(measured: Mapping[str, Any]) -> dict[str, Any]:
    bounds = {bound: measured.get(bound) for bound in ("value", "low", "high")}
    return {**bounds, "suppressed": True} if measured.get("suppressed") else bounds


def _hospital(
    hospital: str, record: Mapping[str, Any], roster: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    entry = next((entry for entry in roster if entry["id"] == hospital), {})
    return {
        "name": entry.get("name") or hospital,
        "region": entry.get("region") or "",
        "images": record.get("images", 0),
        **_metrics(record),
    }


def _mean_over(hospitals: Mapping[str, Mapping[str, Any]], metric: str) -> dict[str, Any]:
    """Returns the unweighted mean over the hospitals that tell the metric, and their number.

    Each hospital counts once, however many images it has: a small one's patients weigh as much.
    """
    values = defined(entry[metric]["value"] for entry in hospitals.values())
    withheld = not values and any(entry[metric].get("suppressed") for entry in hospitals.values())
    hidden = {"suppressed": True} if withheld else {}
    return {"value": mean(values), "hospitals": len(values), **hidden}


def _worst(hospitals: Mapping[str, Mapping[str, Any]], metric: str) -> str | None:
    """Returns the hospital where the metric is worst, the roster's first of equals, else None."""
    values = {
        hospital: value
        for hospital, entry in hospitals.items()
        for value in defined([entry[metric]["value"]])
    }
    sign = -1 if metric in LOWER_IS_BETTER else 1
    return min(values, key=lambda hospital: sign * values[hospital], default=None)


def _shortfalls(
    inputs: ReportInputs, rounds: Sequence[Mapping[str, Any]], participants: Sequence[str]
) -> list[dict[str, Any]]:
    missed = {hospital for record in rounds for hospital in record["missing"]}
    return shortfalls_of(
        rounds,
        excluded={
            hospital: inputs.excluded[hospital]
            for hospital in _in_order(inputs.excluded, inputs.roster)
            if hospital not in inputs.left_out
        },
        missed=_in_order(missed, inputs.roster),
        not_evaluated=[each for each in participants if each not in inputs.hospitals],
    )
