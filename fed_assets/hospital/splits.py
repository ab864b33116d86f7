"""One hospital's own train, validation and test, cut so that no patient is on two sides."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fed_assets.errors import RosterError
from fed_assets.hospital.share import number_groups
from fed_assets.hospital.sources.protocol import SPLITS


def cut_splits(
    labels: Sequence[int],
    patients: Sequence[Hashable | None],
    sha256: Sequence[bytes],
    *,
    fractions: Mapping[str, float],
    seed: int,
) -> list[str]:
    """Says which split each image goes to, label by label and with whole patients.

    Byte-identical images count as one patient's: on two sides they would be a leak. Each side
    gets at least one group of every label that has three groups or more, so that its metrics are
    defined.

    Args:
        labels: One an image.
        patients: One an image; None is a patient that occurs nowhere else.
        sha256: Of each image's source bytes.
        fractions: Share of the images by split; train keeps what the others do not get. A split
            of 0, or one that is not named, gets nothing.
        seed: Of the shuffle.

    Returns:
        One of `SPLITS` an image.
    """
    label = np.asarray(labels, np.int64)
    group = _merge(number_groups(patients), number_groups(sha256))
    _, first, group_of_row = np.unique(group, return_index=True, return_inverse=True)
    size = np.bincount(group_of_row)
    side = np.zeros(len(size), np.int64)
    rng = np.random.default_rng([seed, 1])
    for value in np.unique(label):
        left = rng.permutation(np.flatnonzero(label[first] == value)).tolist()
        images, enough = size[left].sum(), len(left) >= 3
        for index, split in enumerate(SPLITS[1:], start=1):
            wanted = fractions.get(split, 0.0) * images
            if enough and wanted > 0:
                taken = _fill(left, size, wanted)
                side[taken] = index
                left = [member for member in left if side[member] == 0]
    return [SPLITS[index] for index in side[group_of_row]]


def _fill(members: list[int], size: NDArray[np.int64], wanted: float) -> list[int]:
    taken: list[int] = []
    room = wanted + 0.5
    for member in members:
        if size[member] <= room:
            taken.append(member)
            room -= size[member]
        if room < 1:
            break
    # A patient with many images fits nowhere but in train; the smallest one left comes closest.
    return taken or [min(members, key=lambda member: size[member])]


def check_fractions(fractions: Mapping[str, float]) -> None:
    """Refuses fractions that are not those of three splits.

    Raises:
        RosterError: A split is unknown, a fraction is negative, or they do not add up to 1.
    """
    known = set(fractions) <= set(SPLITS) and all(0 <= each <= 1 for each in fractions.values())
    if not known or abs(sum(fractions.values()) - 1.0) > 1e-6 or not fractions.get("train"):
        raise RosterError(
            "The split fractions cannot be used",
            where="`split_fractions` in the roster",
            seen=", ".join(f"{name}: {value}" for name, value in fractions.items()),
            cure="Give train (above 0), validation and test, adding up to 1",
        )


def _merge(first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns groups in which rows are together that either numbering puts together."""
    parent = list(range(int(first.max(initial=-1)) + 1))

    def root(group: int) -> int:
        while parent[group] != group:
            parent[group] = parent[parent[group]]
            group = parent[group]
        return group

    leader: dict[int, int] = {}
    for one, other in zip(first.tolist(), second.tolist(), strict=True):
        kept, joined = root(leader.setdefault(other, one)), root(one)
        parent[max(kept, joined)] = min(kept, joined)
    return np.array([root(group) for group in first.tolist()], np.int64)
