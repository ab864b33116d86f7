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
    UpdateProtection.CLIP: frozenset({"max_norm", "max_statistics_norm"}),
    UpdateProtection.SECURE_AGGREGATION: frozenset({"max_norm", "max_statistics_norm"}),
    UpdateProtection.HOMOMORPHIC_ENCRYPTION: frozenset({"max_norm", "max_statistics_norm"}),
    UpdateProtection.DIFFERENTIAL_PRIVACY: frozenset({"epsilon", "delta", "max_grad_norm"}),
}
# Of what is protected so, the server learns the sum over the hospitals alone.
SUM_ALONE = frozenset(
    {UpdateProtection.SECURE_AGGREGATION, UpdateProtection.HOMOMORPHIC_ENCRYPTION}
)
PROTECTION_NUMBERS = tuple(sorted(frozenset().union(*NUMBERS_OF.values())))
# Hidden updates are added up as whole numbers that reach to this norm and no further: with ten
# hospitals and a larger one, more than 1e-5 of the mean would be lost (see `privacy/fixed_point`).
MOST_HIDDEN_NORM = 1000.0
TOO_LARGE_TO_HIDE = f"beyond {MOST_HIDDEN_NORM:g} too little of a sum is left to learn from"
MOST_DELTA = 0.01  # a hospital moreover refuses one that is not below one in its images
NUMBER_WORDS = {
    "delta": f"a number above 0, at most {MOST_DELTA:g}",
    "tolerated": "a whole number from 1 on",
}
TOLERANT = frozenset({Aggregation.TRIMMED_MEAN, Aggregation.MULTI_KRUM})
NEEDS_SINGLE_UPDATES = TOLERANT | {Aggregation.WEIGHTED_MEDIAN}  # the others take their sum alone


class Optimizer(StrEnum):
    """How the server steps along a round's mean update, under `fedopt`."""

    ADAM = "adam"
    YOGI = "yogi"
    ADAGRAD = "adagrad"
    MOMENTUM = "momentum"


# What goes with a rule, and with an optimizer beside it, where nothing else is said.
RULE_NUMBERS: Mapping[Aggregation, Mapping[str, Any]] = {
    Aggregation.FEDPROX: {"proximal_mu": 0.01},
    Aggregation.FEDOPT: {"optimizer": Optimizer.ADAM},
}
OPTIMIZER_NUMBERS: Mapping[Optimizer, Mapping[str, float]] = {
    Optimizer.ADAM: {"learning_rate": 0.01, "beta_1": 0.9, "beta_2": 0.99, "tau": 1e-3},
    Optimizer.YOGI: {"learning_rate": 0.01, "beta_1": 0.9, "beta_2": 0.99, "tau": 1e-3},
    Optimizer.ADAGRAD: {"learning_rate": 0.01, "beta_1": 0.0, "tau": 1e-3},
    Optimizer.MOMENTUM: {"learning_rate": 0.5, "beta_1": 0.5},
}


@dataclass(frozen=True, kw_only=True)
class Protection:
    """What a hospital does to its update.

    Attributes:
        kind: The control's value.
        max_norm: L2 norm that an update is clipped to; with `clip` and those of `SUM_ALONE`.
        max_statistics_norm: L2 norm that its running statistics are clipped to; likewise.
        epsilon: The whole privacy budget of a hospital's records; with `differential_privacy`.
        delta: Its delta.
        max_grad_norm: L2 norm that the gradient of each record is clipped to.
    """

    kind: UpdateProtection = UpdateProtection.NONE
    max_norm: float | None = None
    max_statistics_norm: float | None = None
    epsilon: float | None = None
    delta: float | None = None
    max_grad_norm: float | None = None

    @property
    def bounds(self) -> dict[str, float]:
        """What a hospital clips each update to; empty where it clips none."""
        names = ("max_norm", "max_statistics_norm")
        return {name: getattr(self, name) for name in names if name in NUMBERS_OF[self.kind]}

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
        if protection.kind in SUM_ALONE and max(protection.bounds.values()) > MOST_HIDDEN_NORM:
            raise _unusable("update_protection", f"a norm above {MOST_HIDDEN_NORM:g}")
        return protection


@dataclass(frozen=True, kw_only=True)
class Rule:
    """How hospitals' updates of a round become one set of weights.

    Attributes:
        kind: The control's value.
        tolerated: Hostile hospitals that it withstands; with `trimmed_mean` and `multi_krum`.
        proximal_mu: How strongly training is held near the global weights; with `fedprox`.
        optimizer: How the server steps along the mean update; with `fedopt`.
        learning_rate: Of the server, likewise.
        beta_1: How much of the first moment stays, likewise.
        beta_2: How much of the second moment stays; with `adam` and `yogi`.
        tau: Least size of what a step is divided by; with all but `momentum`.
    """

    kind: Aggregation = Aggregation.FEDAVG
    tolerated: int | None = None
    proximal_mu: float | None = None
    optimizer: Optimizer | None = None
    learning_rate: float | None = None
    beta_1: float | None = None
    beta_2: float | None = None
    tau: float | None = None

    @property
    def least_updates(self) -> int:
        """The fewest updates of a round with which it holds what it promises."""
        tolerated = self.tolerated or 0
        return {
            Aggregation.WEIGHTED_MEDIAN: 3,
            Aggregation.TRIMMED_MEAN: 2 * tolerated + 1,
            Aggregation.MULTI_KRUM: 2 * tolerated + 3,
        }.get(self.kind, 1)

    def require_quorum(self, quorum: int) -> None:
        """Refuses a quorum with which a round could have too few updates for what it promises.

        Raises:
            RunConfigError: It is below `least_updates`.
        """
        if quorum < self.least_updates:
            raise RunConfigError(
                f"The quorum is too small for {self}: a round of fewer than "
                f"{self.least_updates} updates cannot be kept from hostile hospitals",
                where="control `aggregation`",
                seen=f"quorum {quorum}",
                cure="Raise the roster's `quorum`, add hospitals, or lower the sandbox's "
                "`tolerated`",
            )

    def __str__(self) -> str:
        tolerated = "" if self.tolerated is None else f" with tolerated={self.tolerated}"
        return f"{self.kind}{tolerated}"

    @property
    def told_hospitals(self) -> dict[str, float]:
        """What it adds to the recipe by which hospitals train."""
        return {} if self.proximal_mu is None else {"proximal_mu": self.proximal_mu}

    def as_record(self) -> dict[str, Any]:
        """Returns it as JSON holds it, without what does not go with its kind."""
        return _record(self)

    @classmethod
    def by_default(cls, kind: Aggregation, **given: Any) -> Rule:
        """Returns the rule of a kind, with the defaults of what goes with it and is not given."""
        numbers = {**RULE_NUMBERS.get(kind, {}), **given}
        if kind is Aggregation.FEDOPT:
            numbers = {**OPTIMIZER_NUMBERS[Optimizer(numbers["optimizer"])], **numbers}
        return cls(kind=kind, **numbers)

    @classmethod
    def of(cls, record: object) -> Rule:
        """Returns what `as_record` returned.

        Raises:
            RunConfigError: It names no kind, one that is unknown, or not the numbers of its kind.
        """
        entries = _entries(cls, record, Aggregation, "aggregation")
        if "optimizer" in entries:
            if entries["optimizer"] not in set(Optimizer):
                raise _unusable("aggregation", str(entries["optimizer"]))
            entries["optimizer"] = Optimizer(entries["optimizer"])
        rule = cls(**entries)
        if entries.keys() - {"kind"} != _numbers_of(rule):
            given = ", ".join(sorted(entries.keys() - {"kind"})) or "no number"
            raise _unusable("aggregation", f"{rule.kind} with {given}")
        return rule


def _numbers_of(rule: Rule) -> frozenset[str]:
    """Returns what has to be said with a rule's kind."""
    if rule.kind in TOLERANT:
        return frozenset({"tolerated"})
    numbers = frozenset(RULE_NUMBERS.get(rule.kind, ()))
    return numbers | (frozenset(OPTIMIZER_NUMBERS[rule.optimizer]) if rule.optimizer else numbers)


def _record(of: Protection | Rule) -> dict[str, Any]:
    return {
        name: str(value) if isinstance(value, StrEnum) else value
        for name, value in asdict(of).items()
        if value is not None
    }


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
