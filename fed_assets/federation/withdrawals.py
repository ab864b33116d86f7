"""Who withdrew, and who joined again: a record that is only ever added to, by persons.

A hospital that withdrew is let in in no sandbox. One that is revoked is missed, and models that
contain its data may go on; one that withdrew is not missed, and no model that contains its data is
registered, promoted or served any more.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path

from fed_assets.errors import HospitalWithdrawn, RunConfigError, StorageError
from fed_assets.federation.kept_list import alone, read_entries, write_entries

LIST = "The list of hospitals that withdrew"
WITHDREW, JOINED = "withdrew", "joined again"


@dataclass(frozen=True)
class Entry:
    """One entry of the record.

    Attributes:
        hospital: The hospital's id.
        event: What it did: `withdrew`, or `joined again`.
        at: When it was entered, ISO 8601, UTC.
        by: Who entered it.
        because: Why.
    """

    hospital: str
    event: str
    at: str
    by: str
    because: str

    @property
    def reason(self) -> str:
        """Returns a withdrawal as the reason why the hospital takes no part."""
        return f"it withdrew on {self.at[:10]} ({self.because.rstrip('.')})"

    @property
    def said(self) -> str:
        """Returns that reason, and the way back."""
        return f"{self.reason}; `fed-assets forget {self.hospital} --undo` lets it join again"

    @property
    def told(self) -> str:
        """Returns what was entered, when, by whom and why."""
        return f"{self.at}  {self.hospital} {self.event}, by {self.by}: {self.because}"


def read_record(file: Path) -> tuple[Entry, ...]:
    """Returns all that was ever entered, the oldest first; nothing where there is no file.

    Raises:
        StorageError: It cannot be read, is none, or others may have changed it. Nothing runs then.
    """
    names = {each.name for each in fields(Entry)}
    entries = tuple(Entry(**each) for each in read_entries(file, names, _unusable))
    if any(each.event not in (WITHDREW, JOINED) for each in entries):
        raise _unusable(file, "no such list")
    return entries


def read_withdrawals(file: Path) -> dict[str, Entry]:
    """Returns the withdrawals that hold now, by hospital.

    Raises:
        StorageError: As `read_record` does.
    """
    last = {entry.hospital: entry for entry in read_record(file)}
    return {name: entry for name, entry in last.items() if entry.event == WITHDREW}


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


def withdraw(file: Path, hospital: str, *, by: str, because: str) -> Entry:
    """Enters that a hospital withdrew; returns the entry, the first where it had already.

    Raises:
        RunConfigError: Nobody is named, or no reason given.
        StorageError: The record cannot be used or written.
    """
    return _enter(file, hospital, WITHDREW, by=by, because=because)[0]


def rejoin(file: Path, hospital: str, *, by: str, because: str) -> bool:
    """Enters that a hospital joins again; says whether it had withdrawn.

    Raises:
        RunConfigError: Nobody is named, or no reason given.
        StorageError: The record cannot be used or written.
    """
    return _enter(file, hospital, JOINED, by=by, because=because)[1]


def require_person(by: str, because: str) -> None:
    """Refuses an entry that nobody stands for.

    Raises:
        RunConfigError: Nobody is named, or no reason given.
    """
    if not by.strip() or not because.strip():
        raise RunConfigError(
            "A person enters who withdraws or joins again, for a reason",
            seen="nobody is named" if not by.strip() else "no reason is given",
            cure="Say `--by NAME --because TEXT`",
        )


def _enter(file: Path, hospital: str, event: str, *, by: str, because: str) -> tuple[Entry, bool]:
    """Returns the hospital's last entry, and whether it was entered now."""
    require_person(by, because)
    at = datetime.now(UTC).isoformat(timespec="seconds")
    new = Entry(hospital, event, at, by, because)
    with alone(file, LIST):
        entries = read_record(file)
        own = [each for each in entries if each.hospital == hospital]
        standing = own[-1].event if own else JOINED
        if standing == event:
            return (own or [new])[-1], False
        write_entries(file, [asdict(each) for each in (*entries, new)], LIST)
    return new, True


def _unusable(file: Path, seen: str) -> StorageError:
    return StorageError(
        f"{LIST} cannot be used, so that nobody may take part",
        where=str(file),
        seen=seen,
        cure="Put it back from a backup with mode 0600; or remove it, and run `fed-assets forget` "
        "for each hospital that withdrew",
    )
