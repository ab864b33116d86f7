"""How strongly updates are protected before they leave a hospital, and by which rule they meet.

Both travel as JSON: in a federation's plan, and what concerns a hospital in its own site's record,
which no job can change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any

from fed_assets.errors import RunConfigError
from fed_assets.sandboxes.controls import Aggregation, UpdateProtection

NUMBERS_OF: Mapping[UpdateProtection, frozenset[str]] = {
    UpdateProtection.NONE: frozenset(),
    UpdateProtection.CLIP: frozenset({"max_norm"}),
    UpdateProtection.SECURE_AGGREGATION: frozenset({"max_norm"}),
    UpdateProtection.DIFFERENTIAL_PRIVACY: frozenset({"epsilon", "delta", "max_grad_norm"}),
}
PROTECTION_NUMBERS = tuple(sorted(frozenset().union(*NUMBERS_OF.values())))
TOLERANT = frozenset({Aggregation.TRIMMED_MEAN, Aggregation.MULTI_KRUM})


@dataclass(frozen=True, kw_only=True)
class Protection:
    """What a hospital does to its update.

    Attributes:
        kind: The control's value.
        max_norm: L2 norm that an update is clipped to; with `clip` and `secure_aggregation`.
        epsilon: The whole privacy budget of a hospital's records; with `differential_privacy`.
        delta: Its delta.
        max_grad_norm: L2 norm that the gradient of each record is clipped to.
    """

    kind: UpdateProtection = UpdateProtection.NONE
    max_norm: float | None = None
    epsilon: float | None = None
    delta: float | None = None
    max_grad_norm: float | None = None

    def as_record(self) -> dict[str, Any]:
        """Returns it as JSON holds it, without what does not go with its kind."""
        return _record(self)

    @classmethod
    def of(cls, record: object) -> Protection:
        """Returns what `as_record` returned.

        Raises:
            RunConfigError: It names no kind, one that is unknown, or not the numbers of its kind.
        """
        protection = cls(**_entries(cls, record, UpdateProtection, "update_protection"))
        given = {name for name in PROTECTION_NUMBERS if getattr(protection, name) is not None}
        if given != NUMBERS_OF[protection.kind]:
            seen = f"{protection.kind} with {', '.join(sorted(given)) or 'no number'}"
            raise _unusable("update_protection", seen)
        return protection


@dataclass(frozen=True, kw_only=True)
class Rule:
    """How the server makes one set of weights of a round's updates.

    Attributes:
        kind: The control's value.
        tolerated: Hostile hospitals that it withstands; with `trimmed_mean` and `multi_krum`.
    """

    kind: Aggregation = Aggregation.FEDAVG
    tolerated: int | None = None

    def as_record(self) -> dict[str, Any]:
        """Returns it as JSON holds it, without what does not go with its kind."""
        return _record(self)

    @classmethod
    def of(cls, record: object) -> Rule:
        """Returns what `as_record` returned.

        Raises:
            RunConfigError: It names no kind, one that is unknown, or not the numbers of its kind.
        """
        rule = cls(**_entries(cls, record, Aggregation, "aggregation"))
        if (rule.tolerated is not None) != (rule.kind in TOLERANT):
            raise _unusable("aggregation", f"{rule.kind} with tolerated={rule.tolerated}")
        return rule


def _record(of: Protection | Rule) -> dict[str, Any]:
    said = {name: value for name, value in asdict(of).items() if value is not None}
    return {**said, "kind": str(of.kind)}


def _entries(
    cls: type[Protection | Rule], record: object, kinds: type[StrEnum], control: str
) -> dict[str, Any]:
    known = {field.name for field in fields(cls)}
    if not isinstance(record, Mapping) or not {"kind"} <= record.keys() <= known:
        raise _unusable(control, str(record))
    if record["kind"] not in set(kinds):
        raise _unusable(control, str(record["kind"]))
    return {**record, "kind": kinds(record["kind"])}


def _unusable(control: str, seen: str) -> RunConfigError:
    return RunConfigError(
        f"A federation's {control} cannot be carried out",
        where=f"control `{control}`",
        seen=seen[:80],
        cure="Use the same version of fed_assets on both sides.",
    )
