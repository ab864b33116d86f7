"""Which runs of a comparison hospitals' privacy budgets do not allow, asked of them before any."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from fed_assets.cli.saying import reasons
from fed_assets.cli.step import Step
from fed_assets.errors import BudgetSpent, FedAssetsError, SandboxError
from fed_assets.federation.asked import RECIPE, asked
from fed_assets.federation.revocations import revoked_in
from fed_assets.federation.roster import Roster
from fed_assets.federation.withdrawals import withdrawn
from fed_assets.resources.jobs import LIFECYCLE
from fed_assets.resources.settings import Settings
from fed_assets.sandboxes.controls import UpdateProtection
from fed_assets.sandboxes.sandbox import Sandbox

errors = Console(stderr=True)


@dataclass(frozen=True)
class Shortfall:
    """The runs of a sandbox for which privacy budgets are not enough.

    Attributes:
        sandbox: The sandbox.
        steps: The runs, in their order.
        hospitals: What too many of its hospitals have spent, or why they cannot tell, by hospital;
            nothing where all is well until an earlier run of the same comparison has spent it all.
    """

    sandbox: Sandbox
    steps: tuple[Step, ...]
    hospitals: Mapping[str, str]

    def __str__(self) -> str:
        seeds = ", ".join(str(step.seed) for step in self.steps)
        seed = "seed" if len(self.steps) == 1 else "seeds"
        return f"{self.sandbox.name} with {seed} {seeds} ({self.why})"

    @property
    def why(self) -> str:
        """What was spent; hospitals of which the same is to be said stand together."""
        if self.hospitals:
            return reasons(self.hospitals)
        return (
            f"each run spends all that is left of every hospital's epsilon "
            f"{self.sandbox.protection.epsilon:g}, so that none is left after the first"
        )


def affordable(
    steps: Sequence[Step],
    sandboxes: Sequence[Sandbox],
    roster: Roster,
    chosen: Settings,
    *,
    go_on: bool,
) -> list[Step]:
    """Returns the steps that hospitals' privacy budgets allow, and says which they do not.

    Whose budget cannot be asked for from here is named too: the run itself asks, and fails closed.

    Args:
        steps: The jobs that are to be run.
        sandboxes: Those that can run.
        roster: Who takes part, and for how many rounds.
        chosen: Where the hospitals keep their ledgers.
        go_on: Whether the others are to be run where some cannot.

    Raises:
        BudgetSpent: Some cannot, and nobody said to go on without them.
    """
    shortfalls = over_budget(steps, sandboxes, roster, chosen)
    if not go_on:
        require_within_budget(shortfalls, chosen)
    for each in shortfalls:
        errors.print(f"Not run, for want of privacy budget: {each}", soft_wrap=True, markup=False)
    left_out = {step for each in shortfalls for step in each.steps}
    left = [step for step in steps if step not in left_out]
    for sandbox, _ in _private(left, sandboxes):
        if names := _unasked(taking_part(sandbox, roster, chosen), roster):
            errors.print(
                f"What is left of privacy budgets in {sandbox.name} was not asked of "
                f"{', '.join(names)}: in Azure ML each question is a job. The run asks before "
                "anything is learned, and goes on without those whose budget is not enough, or "
                "not at all.",
                soft_wrap=True,
                markup=False,
            )
    return left


def over_budget(
    steps: Sequence[Step], sandboxes: Sequence[Sandbox], roster: Roster, chosen: Settings
) -> list[Shortfall]:
    """Returns the runs that would be refused for a privacy budget, by sandbox.

    A private run spends all that is left, so that of several the first alone can be; and that one
    if enough hospitals say that what is left carries it, as their ledgers will find in its first
    round. No image is read for it, and nothing is charged.

    Args:
        steps: The jobs that are to be run.
        sandboxes: Those that can run.
        roster: Who takes part, and for how many rounds.
        chosen: Where the hospitals keep their ledgers.

    Raises:
        FedAssetsError: The hospitals' processes cannot be started.
    """
    found = []
    for sandbox, runs in _private(steps, sandboxes):
        present = taking_part(sandbox, roster, chosen)
        spent = _spent(sandbox, present, roster, chosen)
        refused = not meets_quorum(present, spent, roster)
        left = runs if refused else runs[1:]
        if left:
            found.append(Shortfall(sandbox, tuple(left), spent if refused else {}))
    return found


def _private(
    steps: Sequence[Step], sandboxes: Sequence[Sandbox]
) -> Iterator[tuple[Sandbox, list[Step]]]:
    """Yields each sandbox that has a privacy budget, and its runs, if there are any."""
    for sandbox in sandboxes:
        runs = [s for s in steps if (s.job, s.sandbox) == (LIFECYCLE, sandbox.name)]
        if runs and sandbox.update_protection is UpdateProtection.DIFFERENTIAL_PRIVACY:
            yield sandbox, runs


def _unasked(hospitals: Sequence[str], roster: Roster) -> list[str]:
    """Returns those whose ledger lies where a job alone reads it, which takes minutes."""
    return [name for name in hospitals if name in roster.azure_ids]


def taking_part(sandbox: Sandbox, roster: Roster, chosen: Settings) -> list[str]:
    """Returns the roster's hospitals but for those that withdrew, or are kept out of a sandbox."""
    home = chosen.home
    away = {**revoked_in(home.revocations, sandbox.name), **withdrawn(home.withdrawals)}
    return [name for name in roster.hospital_ids if name not in away]


def meets_quorum(present: Sized, without: Sized, roster: Roster) -> bool:
    """Returns whether a run goes on where of those present some cannot take part."""
    return len(present) - len(without) >= (roster.quorum or max(1, len(present)))


def _spent(
    sandbox: Sandbox, hospitals: Sequence[str], roster: Roster, chosen: Settings
) -> dict[str, str]:
    """Returns why what is left is not enough, by hospital; one without a store spent nothing.

    What those on hosts of their own have spent, they know alone, and are asked through the door;
    those in Azure ML are not asked, whatever store they had here before.
    """
    from fed_assets.resources.hospital_runner import LocalHospitalRunner
    from fed_assets.resources.templates import CHECK_BUDGET

    remote = [name for name in hospitals if name in roster.remote_ids]
    unasked = _unasked(hospitals, roster)
    keepers = [
        name
        for name in hospitals
        if name in remote
        or (name not in unasked and chosen.home.store(name, sandbox.name).is_dir())
    ]
    if not keepers:
        return {}
    run = {
        "update_protection": sandbox.protection.as_record(),
        "recipe": asked(roster, sandbox)[RECIPE],
        "rounds": roster.rounds,
        "start_round": 1,
    }
    runner = LocalHospitalRunner(
        home_folder=str(chosen.home.root),
        hospitals=keepers,
        network=str(roster.network["_target_"]),
        remote=remote,
    )
    found = {}
    with contextlib.closing(runner):
        for name in keepers:
            try:
                answer = runner.ask(sandbox, name, CHECK_BUDGET, run)
            except SandboxError:
                return {}  # what the run is refused for is no budget, and it will say so itself
            except FedAssetsError as error:  # its ledger will refuse the run too
                found[name] = f"{error.what} ({error.seen})" if error.seen else error.what
                continue
            if not answer["enough"]:
                found[name] = _told(answer, sandbox)
    return found


def _told(answer: Mapping[str, Any], sandbox: Sandbox) -> str:
    budget = sandbox.protection.epsilon or 0.0
    left = max(0.0, budget - answer["epsilon"])
    return f"epsilon {answer['epsilon']:.2f} of {budget:g} is spent, and {left:.2f} is left"


def require_within_budget(shortfalls: Sequence[Shortfall], chosen: Settings) -> None:
    """Refuses a comparison of which not all runs can be.

    Raises:
        BudgetSpent: There are such.
    """
    # What is spent before can be added to; that one run spends all that there is cannot be mended.
    raised = (
        f"; or, with the hospitals' consent, raise `epsilon` in {chosen.configurable} or a copy of "
        "it (FED_ASSETS_SANDBOX), which pays for one run; where the images are open, "
        "FED_ASSETS_HOME may name another home, whose budgets are whole"
    )
    if shortfalls:
        raise BudgetSpent(
            "Hospitals' privacy budgets do not allow all runs that this comparison asks for, and "
            "nothing was run",
            where="control `update_protection`",
            seen="; ".join(map(str, shortfalls)),
            cure="Go on without these runs by `--within-budget`"
            + (raised if any(each.hospitals for each in shortfalls) else ""),
        )
