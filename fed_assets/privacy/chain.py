"""One line per thing that a hospital was asked for or sent, each bound to the line before it.

The hospital writes such lines, and whoever checks them reads them, on the other side of the wall.
What the chain itself cannot show is that lines are missing at its end, or that all of it was
written anew: that takes a head that somebody else has kept, see `unseen`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

OUTBOX_LOG = "outbox.jsonl"
ASKED, LEFT, KEPT, TORN = "asked", "left", "kept", "torn"


@dataclass(frozen=True)
class Head:
    """The end of a log: how many entries it has, and the hash of the last."""

    entries: int
    hash: str


EMPTY = Head(0, "0" * 64)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One line of a log.

    Attributes:
        number: From 1, without a gap.
        at: When it was written, UTC.
        hospital: Whose log it is.
        kind: `asked`, `left`, `kept` of what stays and must not be lost, or `torn` where a line
            before it was cut off as it was written.
        what: The task, or what kind of answer it was.
        peer: Who asked, or where it went.
        round_number: The federation's, where there is one.
        size_bytes: Size of what was asked or left.
        digest: Its sha256 (hex).
        previous: The hash of the entry before.
    """

    number: int
    at: str
    hospital: str
    kind: str
    what: str
    peer: str
    round_number: int | None
    size_bytes: int
    digest: str
    previous: str

    @property
    def hash(self) -> str:
        """Returns the sha256 (hex) of all that the entry says."""
        return sha256(canonical(asdict(self)))

    @property
    def head(self) -> Head:
        """Returns the end of a log of which this is the last entry."""
        return Head(self.number, self.hash)

    def line(self) -> bytes:
        """Returns the entry as it stands in the log, without the line's end."""
        return canonical({**asdict(self), "hash": self.hash})


@dataclass(frozen=True)
class Fault:
    """The first entry of a log that is not as it was written.

    Attributes:
        number: Which it is.
        what: `changed`, `removed`, `reordered` or `torn`.
        said: The whole of it, as a sentence without its full stop.
    """

    number: int
    what: str
    said: str


def canonical(value: Any) -> bytes:
    """Returns the one way in which a value is written as JSON."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def sha256(content: bytes) -> str:
    """Returns the sha256 (hex) of bytes."""
    return hashlib.sha256(content).hexdigest()


def parse(line: bytes) -> Entry | None:
    """Returns the entry of a line; None unless every byte of it is as it was written."""
    try:
        record = json.loads(line)
        record.pop("hash")
        entry = Entry(**record)
        whole = _is_well_formed(entry) and entry.line() == line
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return entry if whole else None


def _is_well_formed(entry: Entry) -> bool:
    """Returns whether whoever shows the entry can rely on it, even if a forger wrote it."""
    datetime.fromisoformat(entry.at)
    numbers = (entry.number, entry.size_bytes, entry.round_number or 0)
    names = (entry.hospital, entry.kind, entry.what, entry.peer, entry.digest, entry.previous)
    return all(isinstance(each, int) for each in numbers) and all(
        isinstance(each, str) for each in names
    )


def may_be_torn(line: bytes) -> bool:
    """Returns whether what is no entry may be the first part of one: none is whole without it."""
    return b"}" not in line


def end_of(tail: bytes) -> tuple[Head, bytes]:
    """Returns the head of a log, and what stands after its last whole line.

    Args:
        tail: The last part of the log, longer than some lines; or all of it.
    """
    torn: list[bytes] = []
    for line in reversed(tail.split(b"\n")):
        if entry := parse(line):
            return entry.head, b"\n".join(torn)
        torn.insert(0, line)
    return EMPTY, b"\n".join(torn)


def entries_of(content: bytes) -> list[Entry]:
    """Returns every whole entry of a log, whatever stands between them."""
    return [entry for entry in map(parse, content.split(b"\n")) if entry]


def first_fault(content: bytes, *, hospital: str) -> Fault | None:
    """Returns the first entry of a hospital's log that is not as it was written, if there is one.

    A line that was cut off is none where the next entry says so.
    """
    *lines, rest = content.split(b"\n")
    present = {entry.number for entry in entries_of(content)}
    last, cut_off = EMPTY, []
    for line in lines:
        number = last.entries + 1
        entry = parse(line)
        if entry is None and may_be_torn(line):
            cut_off.append(line)
            continue
        if entry is None or (cut_off and not _tells_of(entry, cut_off)):
            return Fault(number, "changed", f"entry {number} was changed")
        if entry.number != number:
            return _misplaced(entry.number, number, present)
        if entry.previous != last.hash:
            written_anew = max(last.entries, 1)
            said = f"entry {written_anew} was changed: the one after it is bound to another"
            if not last.entries:
                said = "entry 1 was changed: it is bound to one before it"
            return Fault(written_anew, "changed", said)
        if entry.hospital != hospital:
            return Fault(number, "changed", f"entry {number} is of another hospital's log")
        last, cut_off = entry.head, []
    if rest or cut_off:
        number = last.entries + 1
        return Fault(number, "torn", f"entry {number} is torn: it was cut off as it was written")
    return None


def unseen(entries: Sequence[Entry], seen: Iterable[Head]) -> Fault | None:
    """Returns the first fault that a faultless log shows beside heads that were seen of it.

    Args:
        entries: All entries of the log.
        seen: Heads that it had earlier, as somebody else has kept them.
    """
    for head in sorted(seen, key=lambda head: head.entries):
        if head.entries > len(entries):
            number = len(entries) + 1
            said = f"entry {number} was removed: the log was seen with {head.entries}"
            return Fault(number, "removed", said)
        if entries[head.entries - 1].hash != head.hash:
            said = f"entry {head.entries} was changed: it is not the one that was seen"
            return Fault(head.entries, "changed", said)
    return None


def _tells_of(entry: Entry, cut_off: Sequence[bytes]) -> bool:
    return entry.kind == TORN and entry.digest == sha256(b"\n".join(cut_off))


def _misplaced(found: int, number: int, present: set[int]) -> Fault:
    if found > number and number not in present:
        return Fault(number, "removed", f"entry {number} was removed")
    said = f"entry {found} was reordered: it stands where entry {number} belongs"
    return Fault(found, "reordered", said)
