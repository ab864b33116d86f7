"""What is left of a hospital's privacy budget: for its data officer, and before a run begins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from fed_assets.errors import BudgetSpent, RunConfigError
from fed_assets.hospital.files import Store
from fed_assets.hospital.privacy_ledger import least_noise, read_charges, spent_by
from fed_assets.hospital.private_training import schedule_of
from fed_assets.hospital.recipe import PrivateRecipe
from fed_assets.sandboxes.controls import UpdateProtection
from fed_assets.sandboxes.protection import Protection

# A run's noise is found to so many digits that less than a millionth of its budget is left over: a
# remainder, and no budget of another run.
USED_UP = 1 - 1e-6


def show_budget(arguments: Mapping[str, Any], store: Store) -> dict[str, Any]:
    """Returns what was spent of the hospital's privacy budget; the worker's task of the same name.

    Args:
        arguments: `delta`, at which epsilon is reckoned.
        store: the hospital's store.

    Returns:
        `epsilon` of all rounds together, `delta`, and `rounds`: each as it was charged, and the
        `epsilon` that was spent with it.

    Raises:
        LedgerBroken: it cannot be told what was spent.
    """
    delta = arguments.get("delta")
    if not isinstance(delta, float) or not 0 < delta < 1:
        raise RunConfigError("Delta is no probability", seen=str(delta)[:40])
    charges = read_charges(store)
    rounds = [
        {**asdict(charge), "epsilon": spent_by(charges[:count], delta)}
        for count, charge in enumerate(charges, start=1)
    ]
    return {"epsilon": spent_by(charges, delta), "delta": delta, "rounds": rounds}


def require_budget(protection: Protection, store: Store) -> None:
    """Refuses to begin a run whose images nothing may be learned from any more.

    It is asked before they are read, so how many there are is not known yet.

    Args:
        protection: what the sandbox asks of updates; without a budget all is well.
        store: the hospital's store.

    Raises:
        BudgetSpent: its budget is used up.
        LedgerBroken: it cannot be told what was spent.
    """
    if protection.kind is not UpdateProtection.DIFFERENTIAL_PRIVACY:
        return
    epsilon, delta = protection.epsilon or 0.0, protection.delta or 0.0
    spent = spent_by(read_charges(store), delta)
    if spent > USED_UP * epsilon:
        raise BudgetSpent(
            "The hospital's privacy budget is used up, so its images are not read for another run",
            where="control `update_protection`",
            seen=f"epsilon {spent:.2f} of {epsilon:g} is spent",
        )


def check_budget(arguments: Mapping[str, Any], store: Store) -> dict[str, Any]:
    """Tells whether the budget is enough for a run; the worker's task of the same name.

    It is as the run's first round will find it, and nothing is charged.

    Args:
        arguments: `update_protection` (see `Protection.as_record`), `recipe`, how many `rounds` the
            run has, and its `start_round`.
        store: the hospital's store.

    Returns:
        `epsilon` that is spent, and whether what is left is `enough`; the `noise_multiplier` that
        the rounds take of it, and `untouched_noise_multiplier`, which they would take of the whole
        budget. None in the place of one: no noise would do.

    Raises:
        RunConfigError: protection or recipe cannot be used.
        LedgerBroken: it cannot be told what was spent.
    """
    protection = Protection.of(arguments.get("update_protection"))
    recipe = PrivateRecipe.of(arguments["recipe"])
    first, rounds = int(arguments["start_round"]), int(arguments["rounds"])
    epsilon, delta = protection.epsilon or 0.0, protection.delta or 0.0
    schedule = schedule_of(recipe, round_number=first, rounds=rounds)
    charges = read_charges(store)
    noise = least_noise(charges, schedule, epsilon, delta)
    return {
        "epsilon": spent_by(charges, delta),
        "enough": noise.useful is not None,
        "noise_multiplier": noise.needed,
        "untouched_noise_multiplier": noise.untouched,
    }
