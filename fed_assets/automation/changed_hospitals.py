"""Whether those who are to take part are still those whom the last run let in."""

from __future__ import annotations

from fed_assets.federation.revocations import revoked_in
from fed_assets.federation.roster import Roster
from fed_assets.federation.withdrawals import withdrawn
from fed_assets.resources.artifact_store import read_value
from fed_assets.resources.settings import Settings


def who_is_to_take_part(roster: Roster, settings: Settings, sandbox: str) -> list[str]:
    """Returns the roster's hospitals that neither withdrew nor are revoked.

    Raises:
        StorageError: One of the two lists cannot be used.
    """
    home = settings.home
    kept_out = {*withdrawn(home.withdrawals), *revoked_in(home.revocations, sandbox)}
    return [each for each in roster.hospital_ids if each not in kept_out]


def hospitals_changed(roster: Roster, settings: Settings, sandbox: str) -> str | None:
    """Returns what differs between who is to take part in a sandbox and who was let in last.

    A training alone takes the hospitals of the last `federation_roster`. With one that withdrew or
    was revoked since it is refused, and whoever is missing there would go on being so.

    Returns:
        The difference, a sentence; None where there is none.

    Raises:
        StorageError: The roster that was let in, or one of the lists, cannot be used.
    """
    record = read_value(
        settings.home, f"federation_roster/{sandbox}", cure="Materialize federation_roster again"
    )
    let_in = [*(record or {}).get("participants", ())]
    wanted = who_is_to_take_part(roster, settings, sandbox)
    if set(let_in) == set(wanted):
        return None
    if not let_in:
        return "no run has let anybody in yet"
    gone = ", ".join(each for each in let_in if each not in wanted)
    new = ", ".join(each for each in wanted if each not in let_in)
    told = (f"let in {gone}, to be left out now", gone), (f"did not let in {new}", new)
    return f"the last run {' and '.join(said for said, names in told if names)}"
