"""One criterion: what it measures, which end is better, and how it is read from a record."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from fed_assets.comparison.readings import Reading, reading, resampled_of
from fed_assets.errors import MeasurementError

EFFICIENCY, SECURITY, QUALITY, EFFORT = GROUPS = ("efficiency", "security", "quality", "effort")

MONEY = "price"  # the unit of what a price table makes of quantities, in its currency
# From the entry that is read (a record, or a hospital's part of it) and the whole record.
Reader = Callable[[Mapping[str, Any], Mapping[str, Any]], Any]


@dataclass(frozen=True, kw_only=True)
class Criterion:
    """One criterion.

    Attributes:
        name: its name in every table.
        unit: of its values; "share" is from 0 to 1, "level" a ladder's.
        group: efficiency, security, quality or effort.
        higher_is_better: else lower is.
        least: the smallest value that can be.
        most: the largest one; infinite of what has none.
        indifference: a difference up to this one counts for nothing in PROMETHEE II, and in no
            method where all are within it.
        preference: from this difference on the better one is preferred wholly. Both are in the
            unit, but where `most` is infinite they are shares of the mean of what is compared.
        pairs_apart: how many pairs of what is compared are apart in it beyond their own doubt
            (`by_chance`): where none is, it counts in no method. None until a comparison knows.
        varies: whether two runs alike differ in it by the machine's doing.
        of_model: whether it is of the weights that a run ended with, tested on images: runs of the
            same weights have one measurement of it between them.
        least_measured: the smallest value that a measurement can come to where chance may put it
            below `least`, which it is then taken as.
        worst_of_runs: of several runs the worst counts and not the mean: what one run let
            through, the sandbox let through.
        interval_may_miss: whether resamples come to something else than the value in the mean, so
            that their interval need not hold it: as what lies off by chance adds to an error of
            calibration, and what is drawn twice to an advantage.
        of_sandbox: reads it from a record; None where it is none of a sandbox.
        of_hospital: reads it from a hospital's part of a record; None where it is none of its.
    """

    name: str
    unit: str
    group: str
    higher_is_better: bool
    least: float = 0.0
    most: float = math.inf
    indifference: float = 0.05
    preference: float = 0.5
    pairs_apart: int | None = None
    varies: bool = False
    of_model: bool = False
    least_measured: float | None = None
    worst_of_runs: bool = False
    interval_may_miss: bool = False
    of_sandbox: Reader | None = None
    of_hospital: Reader | None = None

    @property
    def relative(self) -> bool:
        """Whether it is on a ratio scale without end, where differences are shares of a value."""
        return math.isinf(self.most)

    @property
    def exact(self) -> bool:
        """Whether it is counted or declared, and has no doubt: steps, bytes, levels, probes."""
        return not self.varies and not self.of_model

    def as_record(self) -> dict[str, Any]:
        """Returns what a reader of the tables has to know, as JSON-ready values."""
        return {
            "name": self.name,
            "unit": self.unit,
            "group": self.group,
            "better": "higher" if self.higher_is_better else "lower",
            "least": self.least,
            "most": None if self.relative else self.most,
            "indifference": self.indifference,
            "preference": self.preference,
            "thresholds_are_relative": self.relative,
            "pairs_apart": self.pairs_apart,
            "exact": self.exact,
            "varies": self.varies,
            "worst_of_runs": self.worst_of_runs,
        }


def read_sandbox(criterion: Criterion, record: Mapping[str, Any]) -> Reading | None:
    """Returns a sandbox's reading of one run; None where it was not measured.

    Raises:
        MeasurementError: what stands there cannot be a value of the criterion, its interval, or
            its resamples.
    """
    if criterion.of_sandbox is None:
        return None
    where = f"{criterion.name} of {record['sandbox']}, seed {record['seed']}"
    found = reading(criterion.of_sandbox(record, record), where=where)
    if found is not None and criterion.of_model:
        found = replace(found, resampled=resampled_of(record, criterion.name, where=where))
    return _possible(criterion, found, where)


def read_hospital(criterion: Criterion, record: Mapping[str, Any], hospital: str) -> Reading | None:
    """Returns a hospital's reading of one run; None where it was not measured, or not told.

    Raises:
        MeasurementError: what stands there cannot be a value of the criterion, or its interval.
    """
    entry = (record.get("hospitals") or {}).get(hospital)
    if criterion.of_hospital is None or not entry:
        return None
    where = f"{criterion.name} of {hospital} in {record['sandbox']}, seed {record['seed']}"
    return _possible(criterion, reading(criterion.of_hospital(entry, record), where=where), where)


def _possible(criterion: Criterion, read: Reading | None, where: str) -> Reading | None:
    """Returns a reading in which nothing stands that cannot be."""
    if read is None:
        return None
    least = criterion.least if criterion.least_measured is None else criterion.least_measured
    resamples = () if read.resampled is None else read.resampled.values
    for each in (read.value, read.low, read.high, *resamples):
        if each is not None and (each < least or each > criterion.most):  # NaN: it is not defined
            raise MeasurementError(
                f"A value of {criterion.name} is from {least:g} to {criterion.most:g}",
                where=where,
                seen=f"{each:g}",
            )
    if not (criterion.interval_may_miss or read.holds_its_value):
        raise MeasurementError(
            "A value is not within its interval",
            where=where,
            seen=f"{read.value:g}, and {read.low:g} to {read.high:g}",
        )
    if (other := read.other_interval) is not None:
        raise MeasurementError(
            "An interval is not that of its resamples",
            where=where,
            seen=f"{read.low:g} to {read.high:g}, and {other[0]:g} to {other[1]:g} by "
            f"{len(resamples)} resamples",
        )
    return read
