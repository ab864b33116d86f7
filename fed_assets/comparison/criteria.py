"""The criteria that sandboxes and hospitals are compared by.

Epsilon enters as the bound that it puts on membership inference (`readings.membership_bound`).
Where a criterion's thresholds are not the plain ones of `Criterion`, they are our judgement of
what a person would notice, and what nobody would give up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fed_assets.comparison.criterion import (
    EFFICIENCY,
    EFFORT,
    MONEY,
    QUALITY,
    SECURITY,
    Criterion,
    Reader,
)
from fed_assets.comparison.forms import is_number
from fed_assets.comparison.readings import membership_bound

LEVELS = 4.0  # the highest of each ladder
LEVEL = "level"  # the unit of a ladder alone


def _at(*path: str) -> Reader:
    def read(entry: Mapping[str, Any], record: Mapping[str, Any]) -> Any:
        found: Any = entry
        for key in path:
            found = found.get(key) if isinstance(found, Mapping) else None
        return found

    return read


def _share_of_probes(entry: Mapping[str, Any], record: Mapping[str, Any]) -> Any:
    """An inconclusive probe did not pass; of no probes there is no share."""
    probes = _at("security", "probes")(entry, record) or {}
    counts: list[Any] = [probes.get(outcome) for outcome in ("passed", "inconclusive", "failed")]
    if not all(is_number(count) and count >= 0 for count in counts) or not sum(counts):
        return None
    return counts[0] / sum(counts)


def _bound(entry: Mapping[str, Any], record: Mapping[str, Any]) -> Any:
    """An epsilon of null says that there is no bound; no epsilon at all says nothing."""
    if "epsilon" not in entry:
        return None
    epsilon, delta = entry["epsilon"], _at("security", "delta")(record, record)
    if epsilon is None:
        return membership_bound(None, 0.0)
    if not (is_number(epsilon) and epsilon >= 0):
        return f"epsilon {epsilon!r}"
    if delta is not None and not (is_number(delta) and 0 <= delta <= 1):
        return f"delta {delta!r}"
    return None if delta is None else membership_bound(epsilon, delta)


def _bound_of_sandbox(entry: Mapping[str, Any], record: Mapping[str, Any]) -> Any:
    return _bound(record.get(SECURITY) or {}, record)


def _spent(name: str, unit: str, group: str = EFFICIENCY, **more: Any) -> Criterion:
    """Something that is spent: seconds, bytes, joules, money."""
    read: dict[str, Any] = {"of_sandbox": _at(group, name), "varies": True} | more
    return Criterion(name=name, unit=unit, group=group, higher_is_better=False, **read)


def _ladder(name: str) -> Criterion:
    return Criterion(
        name=name,
        unit=LEVEL,
        group=SECURITY,
        higher_is_better=True,
        most=LEVELS,
        indifference=0.0,  # a level is a difference in kind
        preference=1.0,
        worst_of_runs=True,
        of_sandbox=_at(SECURITY, name),
    )


def _share(
    name: str, group: str, better: str, indifference: float, preference: float, **more: Any
) -> Criterion:
    return Criterion(
        name=name,
        unit="share",
        group=group,
        higher_is_better=better == "higher",
        indifference=indifference,
        preference=preference,
        **{"most": 1.0} | more,
    )


def _quality(
    name: str, better: str, indifference: float, preference: float, **more: Any
) -> Criterion:
    both: dict[str, Any] = {"of_sandbox": _at(QUALITY, name), "of_hospital": _at(name)}
    return _share(name, QUALITY, better, indifference, preference, of_model=True, **both, **more)


CRITERIA = (
    _spent("wall_seconds", "s"),
    _spent("cpu_seconds", "s", of_hospital=_at("cpu_seconds")),
    _spent("train_seconds", "s", of_sandbox=None, of_hospital=_at("train_seconds")),
    _spent("peak_memory_bytes", "B", of_hospital=_at("peak_memory_bytes")),
    _spent("bytes_up", "B", varies=False, of_hospital=_at("bytes_up")),
    _spent("bytes_down", "B", varies=False, of_hospital=_at("bytes_down")),
    _spent("startup_seconds", "s"),
    _spent("round_overhead_seconds", "s"),
    _spent("energy_joules", "J"),
    _spent("cost", MONEY),
    _ladder("at_rest"),
    _ladder("in_transit"),
    _ladder("in_use"),
    _share(
        *("probes_passed", SECURITY, "higher", 0.0, 0.25),
        worst_of_runs=True,
        of_sandbox=_share_of_probes,
    ),
    _share(
        *("membership_advantage", SECURITY, "lower", 0.01, 0.1),
        of_model=True,
        # An attack that does worse than guessing has no advantage, and not less than none.
        least_measured=-1.0,
        interval_may_miss=True,
        of_sandbox=_at(SECURITY, "membership_advantage"),
        of_hospital=_at("membership_advantage"),
    ),
    _share(
        *("membership_bound", SECURITY, "lower", 0.01, 0.5),
        worst_of_runs=True,
        of_sandbox=_bound_of_sandbox,
        of_hospital=_bound,
    ),
    _quality("auroc", "higher", 0.005, 0.05),
    _quality("accuracy", "higher", 0.01, 0.05),
    # A mean over classes: a resample without one of few images has a class less.
    _quality("f1", "higher", 0.01, 0.05, interval_may_miss=True),
    _share(
        *("worst_sensitivity", QUALITY, "higher", 0.01, 0.1),
        of_model=True,
        of_sandbox=_at(QUALITY, "worst_sensitivity"),
    ),
    _share(
        *("sensitivity", QUALITY, "higher", 0.01, 0.1),
        of_model=True,
        of_hospital=_at("sensitivity"),
    ),
    _quality("calibration_error", "lower", 0.01, 0.05, interval_may_miss=True),
    _share(
        *("gain_auroc", QUALITY, "higher", 0.005, 0.05),
        least=-1.0,
        of_model=True,
        of_hospital=_at("gain_auroc"),
    ),
    _spent("setup_seconds", "s", EFFORT),
    _spent("manual_steps", "steps", EFFORT, varies=False),
)
OF_SANDBOXES = tuple(each for each in CRITERIA if each.of_sandbox)
OF_HOSPITALS = tuple(each for each in CRITERIA if each.of_hospital)


def criteria_of(names: Iterable[str]) -> tuple[Criterion, ...]:
    """Returns the criteria of these names, in the order of the tables."""
    wanted = set(names)
    return tuple(each for each in CRITERIA if each.name in wanted)
