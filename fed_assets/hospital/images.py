"""One tensor file and one manifest per hospital, from whatever its source is, in a stream."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from fed_assets.errors import NoImages, RosterError, SourceCorrupt
from fed_assets.hospital.budget import require_budget
from fed_assets.hospital.files import Store
from fed_assets.hospital.manifest import Measured, content_digest, write_manifest
from fed_assets.hospital.share import share_out
from fed_assets.hospital.source_state import choose_files, keep_taken
from fed_assets.hospital.sources.open import open_source
from fed_assets.hospital.sources.protocol import SPLITS, UNKNOWN_LABEL, Record, Source
from fed_assets.hospital.splits import check_fractions, cut_splits
from fed_assets.hospital.store import (
    FACTS,
    IMAGES,
    MANIFEST,
    keep_dataset,
    new_dataset,
    open_store,
    pseudonym_salt,
    require_room,
    write_json,
    writing,
)
from fed_assets.pictures.tensor import to_tensor
from fed_assets.sandboxes.protection import Protection

FRACTIONS = {"train": 0.85, "validation": 0.05, "test": 0.10}
_MANIFEST_BYTES_PER_ROW = 160


@dataclass(frozen=True)
class Selection:
    """Which of a source's images a hospital takes, and which splits are still to be cut."""

    records: list[Record]
    to_cut: tuple[str, ...]


def prepare_images(arguments: Mapping[str, Any], store: Store) -> dict[str, Any]:
    """Decodes and resizes a hospital's images once, into its store.

    The dataset is written aside and renamed: after an error the store is as it was.

    Args:
        arguments: `source` (see `open_source`), `image_size` in pixels, and optionally `share`
            (`index`, `of`, `how`, `alpha`, `seed`), `only_split`, `classes`, `split_fractions`,
            `seed`, `settle_seconds` (see `choose_files`), and `update_protection` (see
            `Protection.as_record`).
        store: The hospital's store; it is made if need be.

    Returns:
        Digest, classes, channels, image_size, counts by split and class, and how many images are
        unreadable, have an unknown label, and patients there are (None where none is known);
        `copies` and `unsettled`, how many files were left out, see `Chosen`.

    Raises:
        RosterError: An argument cannot be used.
        DataError: The source cannot be used, or holds nothing for this hospital.
        StorageError: The disk is full, or the store may not be written to.
        KeyRefused: The key of the store, which is sealed, cannot be used.
        BudgetSpent: Nothing may be learned from them any more, so none is read.
        LedgerBroken: It cannot be told what was learned from them.
    """
    open_store(store)
    if asked := arguments.get("update_protection"):
        require_budget(Protection.of(asked), store)
    image_size = _image_size(arguments)
    chosen = choose_files(_open(arguments, store), arguments, store)
    source, selection = chosen.source, select(chosen.source, arguments)
    count = len(selection.records)
    shape = (count, source.channels, image_size, image_size)
    require_room(store, int(np.prod(shape, dtype=object)) + count * _MANIFEST_BYTES_PER_ROW)
    with new_dataset(store) as folder:
        with writing(store), store.create(folder / IMAGES) as file:
            measured = write_tensor(file, source, selection.records, shape)
        splits = _splits(selection, measured, arguments)
        kind: dict[str, Any] = {
            "classes": list(source.classes),
            "channels": source.channels,
            "image_size": image_size,
        }
        digest = content_digest(selection.records, splits, measured, **kind)
        facts = {"digest": digest, **kind, "images": count, "synthetic": source.synthetic}
        with writing(store):
            with store.create(folder / MANIFEST) as file:
                write_manifest(file, selection.records, splits, measured)
            write_json(store, folder / FACTS, facts)
        keep_dataset(store, folder, digest)
        keep_taken(store, chosen)
    patients = {record.patient for record in selection.records} - {None}
    return facts | {
        "counts": _counts(selection.records, splits, source.classes),
        "unreadable": int((~measured.readable).sum()),
        "unknown_labels": sum(record.label == UNKNOWN_LABEL for record in selection.records),
        "patients": len(patients) or None,
        "copies": chosen.copies,
        "unsettled": chosen.unsettled,
    }


def select(source: Source, arguments: Mapping[str, Any]) -> Selection:
    """Chooses a hospital's images from a source.

    Three ways: one split alone (the common test set), a share of a public set's train and
    validation images, or all of a hospital's own, whose missing splits are then cut from train.

    Raises:
        RosterError: `share` or `only_split` cannot be used.
        NoImages: Nothing is left for this hospital.
    """
    records = source.records()
    share, only = arguments.get("share"), arguments.get("only_split")
    if only is not None:
        if only not in SPLITS:
            raise RosterError("An unknown split is asked for", where="`only_split`", seen=str(only))
        return Selection(_some([each for each in records if each.split == only], only), ())
    if share is not None:
        pool = [record for record in records if record.split != "test"]
        return Selection(_some(_shared(pool, share), "share"), SPLITS)
    present = {record.split for record in _some(records, "source")}
    if "train" not in present:
        raise NoImages("The hospital has no image to train on", seen=", ".join(sorted(present)))
    return Selection(records, tuple(split for split in SPLITS if split not in present))


def write_tensor(
    file: IO[bytes], source: Source, records: Sequence[Record], shape: tuple[int, int, int, int]
) -> Measured:
    """Writes uint8 [images, channels, size, size] as .npy, one image after the other.

    Images go through a plain file and not a memory map, whose dirty pages would count as this
    process's memory until they are written. An unreadable image is a row of zeros.

    Raises:
        OSError: The disk is full.
        SourceCorrupt: The source gave fewer images than it lists.
    """
    count, channels, size, _ = shape
    measured = Measured.for_images(count)
    blank = bytes(channels * size * size)
    row = -1
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    for row, decoded in enumerate(source.read(records)):
        tensor = None
        if decoded.pixels is not None:
            tensor = to_tensor(decoded.pixels, channels=channels, size=size)
        measured.note(row, decoded, tensor)
        file.write(blank if tensor is None else tensor.data)
    if row + 1 != count:
        raise SourceCorrupt(
            "The source gives fewer images than it lists", seen=f"{row + 1} of {count}"
        )
    return measured


def _open(arguments: Mapping[str, Any], store: Store) -> Source:
    spec = arguments.get("source") or {}
    salt = pseudonym_salt(store) if spec.get("kind") == "dicom" else b""
    source = open_source(spec, classes=arguments.get("classes"), salt=salt)
    if len(set(source.classes)) != len(source.classes):
        raise RosterError(
            "A class is named twice", where="`classes`", seen=", ".join(source.classes)
        )
    return source


def _image_size(arguments: Mapping[str, Any]) -> int:
    size = arguments.get("image_size")
    if not isinstance(size, int) or isinstance(size, bool) or size < 8:
        raise RosterError(
            "Images cannot be resized to this",
            where="`image_size` in the roster",
            seen=str(size),
            cure="Give a whole number of pixels from 8 on, such as 28, 64 or 224",
        )
    return size


def _shared(pool: list[Record], share: Mapping[str, Any]) -> list[Record]:
    of, index = int(share["of"]), int(share["index"])
    if not 0 <= index < of:
        raise RosterError(
            "A hospital asks for a share that there is not",
            where="`share`",
            seen=f"share {index} of {of}",
        )
    owner = share_out(
        [record.label for record in pool],
        [record.patient for record in pool],
        of=of,
        how=share.get("how", "dirichlet"),
        alpha=float(share.get("alpha", 0.5)),
        seed=int(share.get("seed", 0)),
    )
    return [record for record, owned_by in zip(pool, owner, strict=True) if owned_by == index]


def _some(records: list[Record], what: str) -> list[Record]:
    if not records:
        raise NoImages("The hospital has no image", seen=f"0 images in its {what}")
    return records


def _splits(selection: Selection, measured: Measured, arguments: Mapping[str, Any]) -> list[str]:
    splits = [record.split for record in selection.records]
    fractions = arguments.get("split_fractions") or FRACTIONS
    check_fractions(fractions)
    if not selection.to_cut:
        return splits
    whole = selection.to_cut == SPLITS
    rows = [row for row, split in enumerate(splits) if whole or split == "train"]
    cut = cut_splits(
        [selection.records[row].label for row in rows],
        [selection.records[row].patient for row in rows],
        measured.sha256[rows].tolist(),
        fractions={split: fractions.get(split, 0.0) for split in selection.to_cut},
        seed=int(arguments.get("seed", 0)),
    )
    for row, split in zip(rows, cut, strict=True):
        splits[row] = split
    return splits


def _counts(
    records: Sequence[Record], splits: Sequence[str], classes: Sequence[str]
) -> dict[str, dict[str, int]]:
    seen = Counter((split, each.label) for split, each in zip(splits, records, strict=True))
    return {
        split: {name: seen[split, label] for label, name in enumerate(classes)} for split in SPLITS
    }
