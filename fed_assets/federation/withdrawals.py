"""Hospitals that withdrew: a list that a person keeps. None is let in, in no sandbox.

A hospital that is revoked is missed, and models that contain its data may go on; one that withdrew
is not missed, and no model that contains its data is registered or promoted any more.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path

from fed_assets.errors import HospitalWithdrawn, StorageError
from fed_assets.federation.kept_list import alone, read_entries, write_entries

LIST = "The list of hospitals that withdrew"


@dataclass(frozen=True)
class Withdrawal:
    """One entry of the list.

    Attributes:
        hospital: The hospital's id.
        since: When it was entered, ISO 8601, UTC.
        by: Who entered it.
        because: Why; empty if nobody said.
    """

    hospital: str
    since: str
    by: str
    because: str

    @property
    def said(self) -> str:
        """Returns it as the reason why the hospital takes no part."""
        why = f" ({self.because.rstrip('.')})" if self.because else ""
        return (
            f"it withdrew on {self.since[:10]}{why}; "
            f"`fed-assets forget {self.hospital} --undo` lets it join again"
        )


def read_withdrawals(file: Path) -> dict[str, Withdrawal]:
    """Returns the list, by hospital; where there is no file, nobody withdrew.

    Raises:
        StorageError: It cannot be read, is none, or others may have changed it. Nothing runs then.
    """
    names = {each.name for each in fields(Withdrawal)}
    entries = read_entries(file, names, _unusable)
    return {entry["hospital"]: Withdrawal(**entry) for entry in entries}


def withdrawn(file: Path) -> dict[str, str]:
    """Returns why each hospital that withdrew takes no part.

    Raises:
        StorageError: As `read_withdrawals` does.
    """
    return {name: entry.said for name, entry in read_withdrawals(file).items()}


def require_none_withdrawn(file: Path, hospitals: Iterable[str], *, what: str) -> None:
    """Makes sure that none of some hospitals withdrew.

    Args:
        file: The list.
        hospitals: The ids of those whose data is in something.
        what: What is refused otherwise, as the beginning of a sentence.

    Raises:
        HospitalWithdrawn: One of them did.
        StorageError: The list cannot be used.
    """
    said = withdrawn(file)
    if gone := [name for name in dict.fromkeys(hospitals) if name in said]:
        raise HospitalWithdrawn(
            f"{what} with data of a hospital that withdrew",
            where=", ".join(gone),
            seen="; ".join(said[name] for name in gone),
        )


def withdraw(file: Path, hospital: str, *, by: str, because: str) -> Withdrawal:
    """Enters a hospital and returns its entry; the first entry holds where there is one already.

    Raises:
        StorageError: The list cannot be used or written.
    """
    with alone(file, LIST):
        entries = read_withdrawals(file)
        if hospital not in entries:
            since = datetime.now(UTC).isoformat(timespec="seconds")
            entries[hospital] = Withdrawal(hospital, since, by, because)
            _write(file, entries.values())
    return entries[hospital]


def rejoin(file: Path, hospital: str) -> bool:
    """Removes a hospital from the list; says whether it stood there.

    Raises:
        StorageError: The list cannot be used or written.
    """
    with alone(file, LIST):
        entries = read_withdrawals(file)
        if gone := entries.pop(hospital, None):
            _write(file, entries.values())
    return gone is not None


def _unusable(file: Path, seen: str) -> StorageError:
    return StorageError(
        f"{LIST} cannot be used, so that nobody may take part",
        where=str(file),
        seen=seen,
        cure="Put it back from a backup with mode 0600; or remove it, and run `fed-assets forget` "
        "for each hospital that withdrew",
    )


def _write(file: Path, entries: Iterable[Withdrawal]) -> None:
    write_entries(file, [asdict(entry) for entry in entries], LIST)
