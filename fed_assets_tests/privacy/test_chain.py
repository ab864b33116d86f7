from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest

from fed_assets.privacy.chain import (
    EMPTY,
    LEFT,
    TORN,
    Entry,
    Head,
    canonical,
    end_of,
    entries_of,
    first_fault,
    parse,
    sha256,
    unseen,
)


def chain(count: int = 6, **changes: object) -> list[Entry]:
    """Entries as a hospital writes them, any field changed before they are bound together."""
    entries: list[Entry] = []
    for number in range(1, count + 1):
        before = entries[-1].head if entries else EMPTY
        entries.append(follows(before, what=f"update {number}", **changes))
    return entries


def follows(before: Head, **changes: object) -> Entry:
    entry = Entry(
        number=before.entries + 1,
        at="2026-01-01T10:00:00.000+00:00",
        hospital="north",
        kind=LEFT,
        what="update",
        peer="job 1",
        round_number=1,
        size_bytes=10,
        digest=sha256(b"weights"),
        previous=before.hash,
    )
    return replace(entry, **changes)


def written(*lines: Entry | bytes) -> bytes:
    return b"".join((each if isinstance(each, bytes) else each.line()) + b"\n" for each in lines)


def fault(content: bytes) -> tuple[int, str] | None:
    found = first_fault(content, hospital="north")
    return (found.number, found.what) if found else None


def test_a_log_that_nobody_touched_has_no_fault() -> None:
    assert fault(b"") is None
    assert fault(written(*chain(1))) is None
    assert fault(written(*chain())) is None
    assert entries_of(written(*chain())) == chain()


@pytest.mark.parametrize("number", [1, 3, 6])
def test_every_changed_byte_of_an_entry_is_found(number: int) -> None:
    lines = [entry.line() for entry in chain()]
    whole = lines[number - 1]
    for place in range(len(whole) - 1):
        lines[number - 1] = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
        assert fault(written(*lines)) == (number, "changed")
    lines[number - 1] = whole[:-1] + b"|"  # as if it were only the first part of an entry
    assert fault(written(*lines)) == (number, "torn" if number == 6 else "changed")


def test_another_way_to_write_the_same_entry_is_a_change() -> None:
    entries = chain()
    record = json.loads(entries[2].line())
    spaced = json.dumps(record, sort_keys=True).encode()
    assert json.loads(spaced) == record
    assert fault(written(*entries[:2], spaced, *entries[3:])) == (3, "changed")


def test_a_change_whose_hash_was_mended_is_found_by_the_next_entry() -> None:
    entries = chain()
    entries[2] = replace(entries[2], size_bytes=1)
    assert parse(entries[2].line()) is not None
    assert fault(written(*entries)) == (3, "changed")


@pytest.mark.parametrize("number", [1, 3, 5])
def test_a_removed_entry_is_named(number: int) -> None:
    entries = chain()
    del entries[number - 1]
    assert fault(written(*entries)) == (number, "removed")


def test_entries_that_changed_places_are_named() -> None:
    entries = chain()
    entries[1], entries[3] = entries[3], entries[1]
    assert fault(written(*entries)) == (4, "reordered")
    entries = chain()
    entries[4], entries[5] = entries[5], entries[4]
    assert fault(written(*entries)) == (6, "reordered")


def test_an_entry_that_stands_twice_is_named() -> None:
    entries = chain()
    assert fault(written(*entries[:4], entries[1], *entries[4:])) == (2, "reordered")


def test_a_removed_entry_is_found_though_the_others_were_numbered_anew() -> None:
    entries = chain()
    numbered = [*entries[:2], *(replace(each, number=each.number - 1) for each in entries[3:])]
    assert fault(written(*numbered)) == (2, "changed")


def test_the_first_entry_is_bound_to_the_beginning() -> None:
    assert fault(written(replace(chain(1)[0], previous="1" * 64))) == (1, "changed")


def test_another_hospitals_log_is_no_log_of_this_one() -> None:
    south = written(*chain(hospital="south"))
    assert fault(south) == (1, "changed")
    assert first_fault(south, hospital="south") is None


def test_a_line_that_was_cut_off_is_torn_until_the_next_entry_tells_of_it() -> None:
    entries = chain()
    part = entries[5].line()[:40]
    torn = written(*entries[:5]) + part
    assert fault(torn) == (6, "torn")
    assert fault(torn + b"\n") == (6, "torn")
    note = follows(entries[4].head, kind=TORN, digest=sha256(part))
    assert fault(torn + b"\n" + written(note)) is None
    assert fault(torn + b"\n" + written(follows(note.head))) == (6, "changed")
    other = replace(note, digest=sha256(b"another part"))
    assert fault(torn + b"\n" + written(other)) == (6, "changed")
    silent = follows(entries[4].head)
    assert fault(torn + b"\n" + written(silent)) == (6, "changed")


def test_a_line_without_its_end_is_torn() -> None:
    assert fault(written(*chain())[:-1]) == (6, "torn")


def test_what_is_missing_at_the_end_is_found_by_a_head_that_somebody_kept() -> None:
    entries = chain()
    seen = [entries[3].head, entries[5].head]
    assert fault(written(*entries[:5])) is None  # the chain alone does not see it
    found = unseen(entries[:5], seen)
    assert found is not None
    assert (found.number, found.what) == (6, "removed")
    assert unseen(entries, seen) is None
    assert unseen(entries, []) is None


def test_a_log_that_was_written_anew_is_found_by_a_head_that_somebody_kept() -> None:
    seen = [chain()[3].head]
    forged = chain(size_bytes=1)
    assert fault(written(*forged)) is None
    found = unseen(forged, seen)
    assert found is not None
    assert (found.number, found.what) == (4, "changed")


def test_the_end_of_a_log_is_its_last_whole_entry() -> None:
    entries = chain()
    whole = written(*entries)
    assert end_of(b"") == (EMPTY, b"")
    assert end_of(whole) == (entries[5].head, b"")
    assert end_of(whole[-700:]) == (entries[5].head, b"")
    assert end_of(whole[:-1]) == (entries[5].head, b"")
    assert end_of(whole + b'{"at":') == (entries[5].head, b'{"at":')
    assert end_of(whole + b'{"at":\n{"a') == (entries[5].head, b'{"at":\n{"a')


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"[]",
        b"1",
        b"{}",
        b"{",
        b'{"hash":1}',
        canonical({**asdict(chain(1)[0]), "hash": chain(1)[0].hash, "more": 1}),
        *(
            replace(chain(1)[0], **forged).line()
            for forged in (
                {"number": "1"},
                {"size_bytes": 1.5},
                {"round_number": "one"},
                {"digest": 5},
                {"at": "yesterday"},
                {"at": None},
            )
        ),
    ],
)
def test_what_is_no_entry_is_none(line: bytes) -> None:
    assert parse(line) is None
