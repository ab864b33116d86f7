"""What a hospital's source holds by content, and how that differs from what was last taken up.

Content decides, and what a file's place says of it: its split, class and patient. Names and times
do not. A second file with the same content and the same to say of it is a copy, which is no image
of its own: it is neither prepared nor learned from. The same picture under two classes, or of two
patients, is no copy but a contradiction, and validation's.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fed_assets.hospital.files import Store
from fed_assets.hospital.source_files import ReadFile, Reading, files_of, packed_file, read_files
from fed_assets.hospital.sources.dicom import Dicom
from fed_assets.hospital.sources.folder import Folder
from fed_assets.hospital.sources.protocol import Source
from fed_assets.hospital.store import TAKEN, write_json, writing

EMPTY = hashlib.sha256(b"").hexdigest()
# Of a task's arguments, what its images come of beside their files.
TERMS = ("share", "only_split", "classes", "image_size", "split_fractions", "seed")


@dataclass(frozen=True)
class State:
    """What a source holds.

    Attributes:
        terms: Digest of all but files that the images come of.
        files: Of each file's place, under a pseudonym, its content and what its place says.
        mark: Of a state that was taken up, which time that was; drawn at random.
    """

    terms: str
    files: Mapping[str, tuple[str, str]] = field(repr=False)
    mark: str = ""

    @property
    def digest(self) -> str:
        """Returns the sha256 (hex) of it all, whatever the files are called."""
        whole = hashlib.sha256(self.terms.encode())
        for content, says in sorted(set(self.files.values())):
            whole.update(f"\n{content} {says}".encode())
        return whole.hexdigest()


@dataclass(frozen=True)
class Difference:
    """In how many files a source differs from another state of it.

    Attributes:
        new: Contents that were not there before.
        changed: Files whose content was replaced.
        removed: Contents that are there no longer.
        moved: Contents that are there still, of another split, class or patient.
        terms: Whether anything else differs that images come of.
    """

    new: int
    changed: int
    removed: int
    moved: int
    terms: bool

    @property
    def any(self) -> bool:
        """Returns whether anything differs."""
        return bool(self.new or self.changed or self.removed or self.moved or self.terms)


def difference(before: State, now: State) -> Difference:
    """Returns in what a state differs from an earlier one."""
    were, are = _by_content(before), _by_content(now)
    fresh, gone = are.keys() - were.keys(), were.keys() - are.keys()
    replaced = [
        (before.files[name][0], content)
        for name, (content, _) in now.files.items()
        if name in before.files and content in fresh and before.files[name][0] in gone
    ]
    return Difference(
        new=len(fresh - {after for _, after in replaced}),
        changed=len(replaced),
        removed=len(gone - {old for old, _ in replaced}),
        moved=sum(are[content] != were[content] for content in are.keys() & were.keys()),
        terms=now.terms != before.terms,
    )


def state_of(files: Iterable[ReadFile], arguments: Mapping[str, Any]) -> tuple[State, list[int]]:
    """Returns what some files come to, and which of them, counted from 0, are copies of others."""
    kept: dict[str, tuple[str, str]] = {}
    seen: set[tuple[str, str]] = set()
    copies = []
    for position, each in enumerate(files):
        pair = (each.sha256, each.file.says)
        if pair in seen and each.sha256 != EMPTY:  # what cannot be read is nobody's copy
            copies.append(position)
        else:
            seen.add(pair)
            kept[each.file.name] = pair
    return State(_terms(arguments), kept), copies


@dataclass(frozen=True)
class Chosen:
    """What of a source is prepared.

    Attributes:
        source: The source without what is left out.
        state: What it holds.
        reading: Its files, as they were found.
        copies: Files that are left out because others have the same content.
        unsettled: Files that are left out because they are still being written.
    """

    source: Source
    state: State
    reading: Reading
    copies: int
    unsettled: int


def choose_files(source: Source, arguments: Mapping[str, Any], store: Store) -> Chosen:
    """Returns a source without copies, and without files that are still being written.

    A file is held for one if it was changed within `settle_seconds` of `arguments` (0, if they do
    not name it) and cannot be decoded yet. Files are read here before they are decoded: what is
    written in between shows as a difference the next time. The store is not changed.
    """
    files = files_of(source, store)
    if not isinstance(source, Folder | Dicom):
        path = (arguments.get("source") or {}).get("path")
        packed = [] if path is None else [packed_file(Path(path))]
        reading = read_files(packed, store)
        return Chosen(source, state_of(reading.files, arguments)[0], reading, 0, 0)
    seconds = float(arguments.get("settle_seconds") or 0.0)
    reading = read_files(files, store, settle_seconds=seconds)
    found = {each.file.name: each for each in reading.files}
    fresh = [row for row, file in enumerate(files) if _is_fresh(found.get(file.name))]
    listed = source.records() if fresh else []
    going = [row for row in fresh if next(iter(source.read([listed[row]]))).pixels is None]
    # One that has gone meanwhile is an unreadable image, and the next look finds it removed.
    rows = [row for row, file in enumerate(files) if file.name in found and row not in {*going}]
    state, copies = state_of((found[files[row].name] for row in rows), arguments)
    kept = _without(rows, copies)
    return Chosen(
        replace(source, files=[source.files[row] for row in kept]),
        state,
        reading,
        copies=len(copies),
        unsettled=len(going),
    )


def keep_taken(store: Store, chosen: Chosen) -> None:
    """Notes in the store what its current images were prepared from.

    Raises:
        StorageError: It cannot be noted.
    """
    chosen.reading.keep(store)
    state = chosen.state
    # A mark and no number: with a store that was lost, earlier numbers would come again.
    record = {"mark": secrets.token_hex(6), "terms": state.terms, "files": state.files}
    with writing(store):
        write_json(store, store.folder / TAKEN, record)


def taken(store: Store) -> State | None:
    """Returns what the store's images were last prepared from; None where that was not noted.

    A note that is damaged counts as none: the images are then taken up anew.

    Raises:
        SealBroken: It is not what was sealed there.
        KeyRefused: The key of the store, which is sealed, cannot be used.
    """
    try:
        record = json.loads(store.read(store.folder / TAKEN))
        files = {name: (content, says) for name, (content, says) in record["files"].items()}
        return State(str(record["terms"]), files, str(record["mark"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _is_fresh(found: ReadFile | None) -> bool:
    return found is not None and not found.settled


def _terms(arguments: Mapping[str, Any]) -> str:
    source = {
        name: value
        for name, value in (arguments.get("source") or {}).items()
        if name not in ("path", "md5")
    }
    told = {name: arguments.get(name) for name in TERMS} | {"source": source}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _by_content(state: State) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for content, says in state.files.values():
        found.setdefault(content, set()).add(says)
    return found


def _without(rows: Sequence[int], positions: Iterable[int]) -> list[int]:
    left_out = set(positions)
    return [row for position, row in enumerate(rows) if position not in left_out]
