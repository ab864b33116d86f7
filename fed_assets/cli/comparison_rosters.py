"""Which runs of a comparison a roster does not fit, found out before any."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from fed_assets.cli.step import Step
from fed_assets.errors import FedAssetsError
from fed_assets.federation.agreed_rule import agreed_rule
from fed_assets.federation.roster import Roster
from fed_assets.sandboxes.sandbox import Sandbox

errors = Console(stderr=True)


def fitting(steps: Sequence[Step], sandboxes: Sequence[Sandbox], roster: Roster) -> list[Step]:
    """Returns the steps but for those that roster and sandbox refuse, and says which they are.

    Nobody can allow them, so that the others go on without a word of consent. No hospital is asked.

    Args:
        steps: The jobs that are to be run.
        sandboxes: Those that can run.
        roster: Who takes part, and by which rule they aggregate.
    """
    wanted, unfit = {step.sandbox for step in steps}, set()
    for sandbox in (each for each in sandboxes if each.name in wanted):
        try:
            agreed_rule(roster, sandbox)
        except FedAssetsError as error:
            unfit.add(sandbox.name)
            told = f"Not run, as the roster does not fit it: {sandbox.name}. {error}"
            errors.print(told, soft_wrap=True, markup=False)
    return [step for step in steps if step.sandbox not in unfit]
