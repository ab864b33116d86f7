"""What one gate came to, and the terms that gates judge by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

OVERALL, EVERY_HOSPITAL, POSTURE = "overall", "every_hospital", "posture"
EPSILON, QUORUM, SAME_DATA = "epsilon", "quorum", "same_data"
BETTER_THAN_CHANCE, USEFUL_THRESHOLD = "better_than_chance", "useful_threshold"
BEST_SO_FAR = "best_so_far"
GATES = (
    *(SAME_DATA, BETTER_THAN_CHANCE, USEFUL_THRESHOLD, OVERALL, EVERY_HOSPITAL),
    *(BEST_SO_FAR, POSTURE, EPSILON, QUORUM),
)
# Those that a person may open; `overall` and `every_hospital` only where somebody tells nothing or
# did not test, and nobody lost too much.
WAIVABLE = (QUORUM, BEST_SO_FAR, USEFUL_THRESHOLD, OVERALL, EVERY_HOSPITAL)
ROUNDING = 1e-9  # what is exactly at the limit passes


@dataclass(frozen=True)
class Gate:
    """What one gate came to.

    Attributes:
        name: One of `GATES`.
        passed: Whether it is open.
        seen: What was found, a number or a word; None where nothing was.
        limit: What it is held against.
        said: A sentence without its full stop: why, and by how much.
        waivable: Whether a named person may open it all the same.
    """

    name: str
    passed: bool
    seen: float | str | None
    limit: float | str | None
    said: str
    waivable: bool = False

    def as_record(self) -> dict[str, Any]:
        """Returns it as a JSON-ready object."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Gate:
        """Returns the gate that `as_record` described."""
        return cls(**{name: record[name] for name in cls.__dataclass_fields__})


def unjudged(gates: Iterable[Mapping[str, Any]]) -> list[str]:
    """Returns the names of gates that a judgement lacks, as they came later.

    Args:
        gates: Those that were judged, as records.
    """
    judged = {gate["name"] for gate in gates}
    return [name for name in GATES if name not in judged]


@dataclass(frozen=True, kw_only=True)
class Terms:
    """How much worse than the champion a version may be, and what else it has to show.

    Attributes:
        metric: What is compared.
        margin: How much lower it may be on the common test set.
        hospital_margin: How much lower at any hospital.
        least_youden: The least that Youden's J has to be at the threshold that is served.
        confidence: Of the intervals.
        require_posture: Whether the sandbox has to have been attacked, and have kept its word.
    """

    metric: str = "auroc"
    margin: float = 0.01
    hospital_margin: float = 0.05
    least_youden: float = 0.1
    confidence: float = 0.95
    require_posture: bool = True
