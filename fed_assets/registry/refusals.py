"""Why a version may not be promoted as things stand: the first reason, with what mends it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from fed_assets.errors import PromotionRefused, RunConfigError
from fed_assets.registry.gate import GATES, WAIVABLE, Gate, unjudged
from fed_assets.registry.promotions import Event


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What is known of a version that is to be promoted.

    Attributes:
        version: Its number.
        champion: The version that serves; None where none does.
        retired: Why it was retired; None where it was not.
        fault: What is wrong with its package or its records; empty where nothing is.
        packaged: Whether it has what serves it.
        judgement: Its last judgement; None where it has none.
        change: What last changed which version serves; None where nothing did.
    """

    version: int
    champion: int | None
    retired: str | None
    fault: str = ""
    packaged: bool
    judgement: Event | None
    change: Event | None = None

    @property
    def gates(self) -> list[Gate]:
        """Returns the gates as they were judged last."""
        return [Gate.from_record(each) for each in self.judgement.gates] if self.judgement else []

    @property
    def failed(self) -> list[Gate]:
        """Returns those that are closed."""
        return [gate for gate in self.gates if not gate.passed]


def refusal_of(
    sandbox: str, standing: Standing, waived: Collection[str] = ()
) -> PromotionRefused | None:
    """Returns the error that says why a version may not serve; None where it may, or does.

    Args:
        sandbox: The sandbox.
        standing: What is known of the version.
        waived: The gates that a person opens.
    """
    what = f"Version {standing.version} of {sandbox} is not promoted"
    judge = f"Materialize registered_model of {sandbox} with the run config `version`"
    if standing.retired is not None:
        return PromotionRefused(
            f"{what}: it was retired",
            seen=standing.retired,
            cure="Promote another version; a retired one serves never again",
        )
    if standing.fault:
        serves = standing.champion == standing.version
        return PromotionRefused(
            f"Version {standing.version} of {sandbox} is champion already, and may not serve"
            if serves
            else f"{what}: it is not what was registered and signed",
            seen=standing.fault,
            cure=f"Mend what is named, or run `fed-assets models rollback {sandbox} --by NAME "
            "--because TEXT`"
            if serves
            else "Mend what is named, or promote another version",
        )
    if standing.champion == standing.version:
        return None
    if not standing.packaged:
        return PromotionRefused(
            f"{what}: it has no package to be served from", cure="Materialize deployed_model"
        )
    if standing.judgement is None:
        return PromotionRefused(f"{what}: no gate was judged", cure=judge)
    if standing.judgement.champion != standing.champion:
        return PromotionRefused(
            f"{what}: it was compared with another champion",
            seen=f"then {_named(standing.judgement.champion)}, now {_named(standing.champion)}"
            + (f", by {standing.change.by} at {standing.change.at}" if standing.change else ""),
            cure=judge,
        )
    if lacking := unjudged(standing.judgement.gates):
        return PromotionRefused(
            f"{what}: it was not judged by {_listed(lacking)}",
            seen="its last judgement is of an earlier version of fed_assets",
            cure=judge,
        )
    closed = [gate for gate in standing.failed if gate.name not in waived]
    fast = [gate for gate in standing.failed if gate.name in waived and not gate.waivable]
    if not closed and not fast:
        return None
    openable = [gate.name for gate in closed if gate.waivable]
    only = len(openable) == len(closed) and not fast
    options = " ".join(f"--waive {name}" for name in openable)
    return PromotionRefused(
        f"{what}: it did not pass {_listed([gate.name for gate in [*closed, *fast]])}",
        seen="; ".join(f"{gate.name}: {gate.said}" for gate in [*closed, *fast]),
        cure=f"Train a better one, or open it by `{options} --by NAME --because TEXT`"
        if only
        else "Train a better one, or mend what the gate names and materialize registered_model; "
        "no person can open this one",
    )


def gates_refusal(names: Collection[str]) -> RunConfigError | None:
    """Returns the error that a waiver is of what is no gate, or of one that no person can open."""
    unknown = [name for name in names if name not in WAIVABLE]
    if not unknown:
        return None
    known = unknown[0] in GATES
    return RunConfigError(
        f"No person can open the gate {unknown[0]}" if known else f"There is no gate {unknown[0]}",
        seen=f"--waive {unknown[0]}",
        cure=f"A person may open {', '.join(WAIVABLE)}; the last two only where somebody tells "
        "nothing or did not test",
    )


def require_reasons(by: str, why: str) -> None:
    """Refuses a decision that nobody stands for.

    Raises:
        RunConfigError: Nobody is named, or no reason given.
    """
    if not by.strip() or not why.strip():
        raise RunConfigError(
            "Which version serves is decided by a person or a run, for a reason",
            seen="nobody is named" if not by.strip() else "no reason is given",
            cure="Say `--by NAME --because TEXT`",
        )


def _named(version: int | None) -> str:
    return "none" if version is None else f"version {version}"


def _listed(names: Sequence[str]) -> str:
    return f"the gate {names[0]}" if len(names) == 1 else f"the gates {', '.join(names)}"
