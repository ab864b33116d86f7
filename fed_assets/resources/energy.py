"""What the machine's processors took, where its own counters tell: Linux's powercap (RAPL)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

POWERCAP = Path("/sys/class/powercap")
# Zones of a whole processor. Those below them (cores, memory) are parts of it, and one of the
# platform holds it.
ZONES, PACKAGE = "intel-rapl:*", "package-"
# Why nothing is told: there are no counters, or this user may not read them.
UNKNOWN = NO_COUNTERS, UNREADABLE = "no_counters", "counters_unreadable"


@dataclass(frozen=True)
class Counter:
    """One processor's counter.

    Attributes:
        microjoules: what it stands at.
        wraps_at: the largest value; after it comes 0.
    """

    microjoules: int
    wraps_at: int


def read_counters(powercap: Path = POWERCAP) -> dict[str, Counter]:
    """Returns the counter of each processor that can be read here, by its zone.

    Newer kernels show them to root alone: what they tell of a processor's work is enough to find
    keys by.
    """
    found = {}
    for zone in sorted(powercap.glob(ZONES)):
        try:
            if (zone / "name").read_text().startswith(PACKAGE):
                found[zone.name] = Counter(
                    int((zone / "energy_uj").read_text()),
                    int((zone / "max_energy_range_uj").read_text()),
                )
        except (OSError, ValueError):
            continue
    return found


def microjoules_between(before: Mapping[str, Counter], after: Mapping[str, Counter]) -> int:
    """Returns what the counters of both readings have counted, if none went round twice.

    >>> microjoules_between({"0": Counter(90, 99)}, {"0": Counter(5, 99)})
    15
    """
    counted = 0
    for zone in before.keys() & after.keys():
        used = after[zone].microjoules - before[zone].microjoules
        counted += used if used >= 0 else used + after[zone].wraps_at + 1
    return counted


@dataclass
class EnergyMeter:
    """Adds up what the machine takes; look so often that no counter goes round twice between.

    A counter goes round after a quarter of an hour at the earliest.

    Attributes:
        powercap: where the counters are.
    """

    powercap: Path = POWERCAP
    _last: dict[str, Counter] = field(init=False)
    _microjoules: int = 0

    def __post_init__(self) -> None:
        """Begins here."""
        self._last = read_counters(self.powercap)

    def look(self) -> None:
        """Adds what was used since the last look."""
        now = read_counters(self.powercap)
        self._microjoules += microjoules_between(self._last, now)
        self._last = now

    def joules(self) -> float | None:
        """Returns what all processors took, for whatever work; None where nothing tells it."""
        return round(self._microjoules / 1e6, 3) if self._last else None

    def why_not(self) -> str:
        """Returns why nothing is told, one of `UNKNOWN`; empty where it is."""
        if self._last:
            return ""
        return UNREADABLE if any(self.powercap.glob(ZONES)) else NO_COUNTERS
