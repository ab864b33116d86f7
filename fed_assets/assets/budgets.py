"""Whether hospitals' privacy budgets are enough for a federation, asked of all before it starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fed_assets.assets.everywhere import ask_everywhere
from fed_assets.errors import BudgetSpent, FedAssetsError, QuorumNotMet
from fed_assets.federation.plan import FederationPlan
from fed_assets.resources.hospital_runner import LocalHospitalRunner
from fed_assets.sandboxes.controls import UpdateProtection
from fed_assets.sandboxes.sandbox import Sandbox


def require_budgets(
    sandbox: Sandbox, plan: FederationPlan, hospitals: LocalHospitalRunner
) -> dict[str, str]:
    """Refuses a plan for which the privacy budgets of too few of its hospitals are enough.

    Each hospital says so of itself, as its ledger will find it in its first round. One that cannot
    say it counts as one whose budget is not enough: its ledger will refuse the round too.

    Returns:
        Why each of the others will learn nothing, where the quorum holds without them.

    Raises:
        BudgetSpent: it does not; no process of the federation was started.
        QuorumNotMet: nor does it, and a hospital could not answer, which may pass.
    """
    if sandbox.update_protection is not UpdateProtection.DIFFERENTIAL_PRIVACY:
        return {}
    rounds = plan.rounds - plan.start_round + 1
    asked = {
        "update_protection": sandbox.protection.as_record(),
        "recipe": dict(plan.recipe),
        "rounds": plan.rounds,
        "start_round": plan.start_round,
    }
    answers, failed = ask_everywhere(hospitals, sandbox, plan.hospitals, "check_budget", asked)
    reasons = {name: _why(error) for name, error in failed.items()} | {
        name: f"epsilon {answer['epsilon']:.2f} of {sandbox.protection.epsilon:g} is spent, and "
        f"{rounds} rounds are asked{_noise(answer)}"
        for name, answer in answers.items()
        if not answer["enough"]
    }
    enough = len(plan.hospitals) - len(reasons)
    if enough < plan.quorum:
        raise (QuorumNotMet if any(each.passing for each in failed.values()) else BudgetSpent)(
            f"The privacy budgets of {enough} hospitals allow this run, and the quorum is "
            f"{plan.quorum}",
            where="control `update_protection`",
            seen="; ".join(f"{name}: {reasons[name]}" for name in sorted(reasons)),
            cure=_cure(failed),
        )
    return reasons


def _noise(answer: Mapping[str, Any]) -> str:
    needed, untouched = answer["noise_multiplier"], answer["untouched_noise_multiplier"]
    if needed is None or untouched is None:
        return ""
    return (
        f", which take a noise multiplier of {needed:.1f} of what is left, and of the whole budget "
        f"{untouched:.1f}: too little would be learned"
    )


def _why(error: FedAssetsError) -> str:
    return f"{error.what} ({error.seen})" if error.seen else error.what


def _cure(failed: Mapping[str, Any]) -> str:
    """Returns how to raise a budget, and before it what mends a hospital that could not say."""
    return " ".join([*dict.fromkeys(each.cure for each in failed.values()), BudgetSpent.cure])
