"""Which runs of a comparison lack code that hospitals approved, found out before any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console

from fed_assets.cli.approvals import unapproved
from fed_assets.cli.comparison_budgets import meets_quorum, taking_part
from fed_assets.cli.names import elsewhere
from fed_assets.cli.saying import reasons
from fed_assets.cli.step import Step
from fed_assets.errors import CodeRefused
from fed_assets.federation.roster import Roster
from fed_assets.resources.home import COORDINATOR
from fed_assets.resources.jobs import AUDIT, LIFECYCLE
from fed_assets.resources.settings import Settings
from fed_assets.sandboxes.controls import KeyCustody
from fed_assets.sandboxes.sandbox import Sandbox

NEEDS_APPROVAL = (AUDIT, LIFECYCLE)  # jobs in which hospitals' keys are released to their code
errors = Console(stderr=True)


def approved(
    steps: Sequence[Step],
    sandboxes: Sequence[Sandbox],
    roster: Roster,
    chosen: Settings,
    *,
    go_on: bool,
) -> list[Step]:
    """Returns the steps but for those whose code too few have approved, and says which they are.

    Whose record cannot be looked at from here is named too: no key is released there either.

    Args:
        steps: The jobs that are to be run.
        sandboxes: Those that can run.
        roster: Who takes part.
        chosen: Where hospitals keep what they approved.
        go_on: Whether the others are to be run where some cannot.

    Raises:
        CodeRefused: Some cannot, and nobody said to go on without them.
    """
    lacking = without_approval(steps, sandboxes, roster, chosen)
    if lacking and not go_on:
        commands = " and ".join(
            f"`fed-assets approve-code {' '.join([name, *names])}`"
            for name, names in lacking.items()
        )
        raise CodeRefused(
            "Hospitals have not approved the code that this comparison would run, and nothing was "
            "run",
            where="control `key_custody`",
            seen="; ".join(f"{name} ({reasons(of)})" for name, of in lacking.items()),
            cure=f"Run {commands}; or go on without these runs by `--approved-only`",
        )
    for name, of in lacking.items():
        told = f"Not run, for want of approved code: {name} ({reasons(of)})"
        errors.print(told, soft_wrap=True, markup=False)
    left = [step for step in steps if step.job not in NEEDS_APPROVAL or step.sandbox not in lacking]
    away, runs = elsewhere(chosen), {step.sandbox for step in left if step.job == LIFECYCLE}
    for sandbox in sandboxes:
        unseen = [name for name in taking_part(sandbox, roster, chosen) if name in away]
        if unseen and sandbox.name in runs and sandbox.key_custody is KeyCustody.ATTESTED:
            errors.print(
                f"Approvals of the code of {sandbox.name} were not looked for at "
                f"{', '.join(unseen)}, whose own machines alone keep them. There no key is "
                "released to code that was not approved, and the run goes on without them then, "
                "or not at all.",
                soft_wrap=True,
                markup=False,
            )
    return left


def without_approval(
    steps: Sequence[Step], sandboxes: Sequence[Sandbox], roster: Roster, chosen: Settings
) -> Mapping[str, Mapping[str, str]]:
    """Returns who has not approved the code but what, by the sandbox that would be refused.

    A run goes on without a hospital as long as the quorum holds, and without the coordinator never.
    What hospitals on hosts of their own have approved is out of sight from here.

    Args:
        steps: The jobs that are to be run.
        sandboxes: Those that can run.
        roster: Who takes part.
        chosen: Where hospitals keep what they approved.

    Raises:
        FedAssetsError: The hospitals' processes cannot be started.
    """
    asked = {step.sandbox for step in steps if step.job in NEEDS_APPROVAL}
    away = elsewhere(chosen)
    found = {}
    for sandbox in (each for each in sandboxes if each.name in asked):
        present = taking_part(sandbox, roster, chosen)
        here = [*(name for name in present if name not in away), COORDINATOR]
        refusing = unapproved(chosen.home, sandbox, here)
        hospitals = refusing.keys() - {COORDINATOR}
        if COORDINATOR in refusing or not meets_quorum(present, hospitals, roster):
            found[sandbox.name] = refusing
    return found
