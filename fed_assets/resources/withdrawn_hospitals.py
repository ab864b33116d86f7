"""What a hospital that withdrew is not asked for any more: whatever looks at its images."""

from __future__ import annotations

from fed_assets.errors import HospitalWithdrawn
from fed_assets.federation.withdrawals import read_withdrawals
from fed_assets.resources.home import COORDINATOR, Home
from fed_assets.sandboxes.presets import REFERENCE

# What looks at no image of it: its budget and keys are its own to ask for, and an audit's canaries
# are nobody's.
OWN = frozenset(
    {
        *("show_budget", "check_budget", "rotate_key", "clear_away"),
        *("plant_canary", "search_store", "tamper", "remove_canary"),
    }
)


def require_stayed(home: Home, sandbox: str, hospital: str, task: str) -> None:
    """Refuses a task that may look at images of a hospital that withdrew, before it is asked.

    References learn from open data, and are asked under hospitals' names alone.

    Raises:
        HospitalWithdrawn: It did; `seen` says when and why.
        StorageError: The list of who did cannot be used.
    """
    if hospital == COORDINATOR or sandbox == REFERENCE or task in OWN:
        return
    if entry := read_withdrawals(home.withdrawals).get(hospital):
        raise HospitalWithdrawn(
            f"Nobody looks at images of {hospital}", where=hospital, seen=entry.said
        )
