"""Who withdrew, and who joined again: a record that is only ever added to, by persons.

A hospital that withdrew is let in in no sandbox. One that is revoked is missed, and models that
contain its data may go on; one that withdrew is not missed, and no model that contains its data is
registered, promoted or served any more.

A copy of the record lies beside the models that it bars. Where the record is gone, or tells less
than its copy, nothing may run: whoever withdrew would be in again, and nobody would know.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path

from fed_assets.errors import HospitalWithdrawn, RunConfigError, StorageError
from fed_assets.federation.kept_list import alone, read_entries, write_entries
from fed_assets.federation.outbox import written

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
        back = f"fed-assets forget {self.hospital} --undo --by NAME --because TEXT"
        return f"{self.reason}; `{back}` lets it join again"

    @property
    def told(self) -> str:
        """Returns what was entered, when, by whom and why."""
        return f"{self.at}  {self.hospital} {self.event}, by {self.by}: {self.because}"


def copy_of(file: Path) -> Path:
    """Returns where the copy of the record lies: in the folder of all models of the home."""
    return file.parent.parent / "models" / file.name


def read_record(file: Path) -> tuple[Entry, ...]:
    """Returns all that was ever entered, the oldest first; nothing where nothing ever was.

    Raises:
        StorageError: It cannot be read, is none, others may have changed it, or it lacks what its
            copy tells. Nothing runs then.
    """
    entries, kept = _entries(file), _entries(copy_of(file), of=file)
    if entries[: len(kept)] != kept:  # a copy may lack what was entered last
        seen = (
            "it tells other than its copy" if file.exists() else "it is gone, and its copy is not"
        )
        raise _unusable(file, seen)
    return entries


def _entries(path: Path, *, of: Path | None = None) -> tuple[Entry, ...]:
    def unusable(_: Path, seen: str) -> StorageError:
        return _unusable(path, seen) if of is None else _copy_unusable(of, seen)

    names = {each.name for each in fields(Entry)}
    entries = tuple(Entry(**each) for each in read_entries(path, names, unusable))
    if any(each.event not in (WITHDREW, JOINED) for each in entries):
        raise unusable(path, "no such list")
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
        told = [asdict(each) for each in (*entries, new)]
        write_entries(file, told, LIST)
        _keep_copy(file, told)
    return new, True


def _unusable(file: Path, seen: str) -> StorageError:
    return StorageError(
        f"{LIST} cannot be used, so that nobody may take part",
        where=str(file),
        seen=seen,
        cure=f"If its copy is whole, put that in its place: `{_restored(copy_of(file), file)}`. "
        "Else put it back from a backup with mode 0600: it alone tells who withdrew, when, by whom "
        "and why. Without either, keep what is left under another name, and enter each hospital "
        "anew by `fed-assets forget`, with --by and --because as they were",
    )


def _copy_unusable(file: Path, seen: str) -> StorageError:
    return StorageError(
        f"The copy of {LIST[0].lower()}{LIST[1:]} cannot be used, so that nobody may take part",
        where=str(copy_of(file)),
        seen=seen,
        cure=f"If the list itself is whole, copy it anew: `{_restored(file, copy_of(file))}`",
    )


def _restored(source: Path, target: Path) -> str:
    return f"install -D -m 600 {shlex.quote(str(source))} {shlex.quote(str(target))}"


def _keep_copy(file: Path, told: Iterable[Mapping[str, str]]) -> None:
    copy = copy_of(file)
    with written(LIST, copy):
        copy.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_entries(copy, told, LIST)
