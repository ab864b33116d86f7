"""Hospitals whose certificates count no longer, in one sandbox or all: a list that a person keeps.

A revoked hospital gets no start-up kit. Where a federation runs already, the server forgets its
log-in and refuses the next one, though its certificate is still valid, see `turned_away`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path

from fed_assets.errors import HospitalRevoked, RunConfigError, StorageError
from fed_assets.federation.kept_list import alone, read_entries, write_entries
from fed_assets.federation.plan import FederationPlan

EVERYWHERE = "*"
LIST = "The list of revoked hospitals"


@dataclass(frozen=True)
class Revocation:
    """One entry of the list.

    Attributes:
        hospital: The hospital's id.
        sandbox: The sandbox's name, or `*` for all.
        since: When it was entered.
    """

    hospital: str
    sandbox: str
    since: str


def read_revocations(file: Path) -> tuple[Revocation, ...]:
    """Returns the list; where there is no file, nobody is revoked.

    Raises:
        StorageError: It cannot be read, is none, or others may have changed it. Nothing runs then.
    """
    names = {each.name for each in fields(Revocation)}
    entries = read_entries(file, names, _unusable)
    return tuple(Revocation(**entry) for entry in entries)


def revoked_in(file: Path, sandbox: str) -> dict[str, str]:
    """Returns why each revoked hospital is kept out of a sandbox.

    Raises:
        StorageError: As `read_revocations` does.
    """
    return {
        entry.hospital: f"it is revoked since {entry.since}; "
        f"`fed-assets federation reinstate {entry.hospital}` lets it take part again"
        for entry in read_revocations(file)
        if entry.sandbox in (sandbox, EVERYWHERE)
    }


def revoke(file: Path, hospital: str, sandbox: str = EVERYWHERE) -> None:
    """Enters a hospital; twice is as good as once.

    Raises:
        StorageError: The list cannot be used or written.
    """
    with alone(file, LIST):
        entries = read_revocations(file)
        if any((each.hospital, each.sandbox) == (hospital, sandbox) for each in entries):
            return
        since = datetime.now(UTC).isoformat(timespec="seconds")
        _write(file, (*entries, Revocation(hospital, sandbox, since)))


def reinstate(file: Path, hospital: str, sandbox: str = EVERYWHERE) -> bool:
    """Removes a hospital's entries, or those for one sandbox; says whether there were any.

    Raises:
        RunConfigError: It is revoked in all sandboxes, and cannot be reinstated in one alone.
        StorageError: The list cannot be used or written.
    """
    with alone(file, LIST):
        entries = read_revocations(file)
        own = [each for each in entries if each.hospital == hospital]
        gone = [each for each in own if sandbox in (EVERYWHERE, each.sandbox)]
        if sandbox != EVERYWHERE and any(each.sandbox == EVERYWHERE for each in own):
            raise RunConfigError(
                f"{hospital} is revoked in all sandboxes",
                where=str(file),
                cure="Reinstate it without `--sandbox`, then revoke it where it is to stay out",
            )
        if gone:
            _write(file, tuple(each for each in entries if each not in gone))
    return bool(gone)


def require_none_revoked(plan: FederationPlan) -> None:
    """Makes sure that no hospital of a plan is revoked.

    Raises:
        HospitalRevoked: One is.
        StorageError: The list cannot be used.
    """
    reasons = turned_away(plan)
    if reasons:
        raise HospitalRevoked(
            f"Hospitals are to take part that are revoked: {', '.join(reasons)}",
            where=plan.revocations,
            seen="; ".join(f"{name}: {reason}" for name, reason in reasons.items()),
        )


def turned_away(plan: FederationPlan) -> dict[str, str]:
    """Returns why hospitals of a plan are revoked, those that are.

    Raises:
        StorageError: The list cannot be used.
    """
    if not plan.revocations:
        return {}
    revoked = revoked_in(Path(plan.revocations), plan.sandbox)
    return {name: revoked[name] for name in plan.hospitals if name in revoked}


def _unusable(file: Path, seen: str) -> StorageError:
    return StorageError(
        f"{LIST} cannot be used, so that nobody may take part",
        where=str(file),
        seen=seen,
        cure="Put it back from a backup with mode 0600; or remove it, and revoke those anew "
        "that are to stay out",
    )


def _write(file: Path, entries: tuple[Revocation, ...]) -> None:
    write_entries(file, [asdict(entry) for entry in entries], LIST)
