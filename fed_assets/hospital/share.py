"""One hospital's part of a public set that several hospitals share out among themselves."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from fed_assets.errors import RosterError

HOW = ("dirichlet", "quantity", "iid")
MIN_IMAGES = 40
MIN_IMAGES_PER_CLASS = 5
_DRAWS = 5_000


def share_out(
    labels: Sequence[int],
    patients: Sequence[Hashable | None],
    *,
    of: int,
    how: str,
    alpha: float = 0.5,
    seed: int = 0,
) -> NDArray[np.int64]:
    """Says which hospital each image goes to: to exactly one, all of a patient's to the same.

    "dirichlet" draws each class's shares from Dirichlet(alpha), so that hospitals differ in their
    labels (Hsu, Qi and Brown 2019, arXiv 1909.06335); "quantity" draws the hospitals' sizes so,
    the labels alike; "iid" gives all the same. Draws that leave a hospital fewer than 40 images,
    or 5 of a class, are drawn again (fewer where the set is small: a quarter of an even share).
    The same arguments give the same answer in every process.

    Args:
        labels: One an image, in the order of the source; a negative one is no class.
        patients: One an image; None is a patient that occurs nowhere else.
        of: How many hospitals share.
        how: One of `HOW`.
        alpha: Of the Dirichlet distribution: the smaller, the more the hospitals differ.
        seed: Of every draw.

    Returns:
        Index of the hospital, int64, one an image.

    Raises:
        RosterError: An argument is out of range, or no draw gives every hospital enough.
    """
    _check(how, of, alpha)
    label = np.asarray(labels, np.int64)
    group = number_groups(patients)
    size, group_label = np.bincount(group), _first_of_each(label, group)
    least = min(MIN_IMAGES, len(label) // (4 * of))
    rng = np.random.default_rng([seed, of, HOW.index(how)])
    for _ in range(_DRAWS):
        alike = None if how == "dirichlet" else _shares(rng, how, of, alpha)
        owner = np.empty(len(size), np.int64)
        for value in np.unique(group_label):
            members = rng.permutation(np.flatnonzero(group_label == value))
            part = _share_class(rng, size[members], of, alpha, alike)
            if part is None:
                raise _impossible(len(label), len(size), of, how, alpha)
            owner[members] = part
        if _is_enough(label, owner[group], of, least):
            return owner[group]
    raise _impossible(len(label), len(size), of, how, alpha)


def number_groups(keys: Sequence[Hashable | None]) -> NDArray[np.int64]:
    """Numbers the keys by first appearance; every None is a group of its own."""
    numbers: dict[object, int] = {}
    return np.fromiter(
        (
            numbers.setdefault((row,) if key is None else key, len(numbers))
            for row, key in enumerate(keys)
        ),
        np.int64,
        len(keys),
    )


def _check(how: str, of: int, alpha: float) -> None:
    if how not in HOW:
        raise RosterError(
            "A set is shared out in an unknown way",
            where="`share.how` in the roster",
            seen=str(how),
            cure=f"Choose one of {', '.join(HOW)}",
        )
    if of < 1 or not 0 < alpha < float("inf"):
        raise RosterError(
            "A set is shared among at least one hospital, with an alpha above 0",
            where="`share` in the roster",
            seen=f"of: {of}, alpha: {alpha}",
        )


def _share_class(
    rng: np.random.Generator,
    sizes: NDArray[np.int64],
    of: int,
    alpha: float,
    alike: NDArray[np.float64] | None,
) -> NDArray[np.int64] | None:
    if alike is not None:
        return _cut(sizes, alike)
    # Classes are drawn again one by one: that keeps the distribution, and with many classes a
    # draw in which all of them are right at once would hardly ever come.
    for _ in range(_DRAWS):
        owner = _cut(sizes, _shares(rng, "dirichlet", of, alpha))
        images = np.bincount(owner, weights=sizes, minlength=of)
        if images.min() >= _least_of_class(int(sizes.sum()), of):
            return owner
    return None


def _shares(rng: np.random.Generator, how: str, of: int, alpha: float) -> NDArray[np.float64]:
    return np.full(of, 1.0 / of) if how == "iid" else rng.dirichlet(np.full(of, alpha))


def _cut(sizes: NDArray[np.int64], shares: NDArray[np.float64]) -> NDArray[np.int64]:
    # A group goes where its middle image falls, so whole patients round to the nearer hospital.
    middles = np.cumsum(sizes) - sizes / 2
    cuts = np.cumsum(shares)[:-1] * sizes.sum()
    return np.searchsorted(cuts, middles, side="right")


def _least_of_class(images: int, of: int) -> int:
    return min(MIN_IMAGES_PER_CLASS, images // (4 * of))


def _first_of_each(values: NDArray[np.int64], group: NDArray[np.int64]) -> NDArray[np.int64]:
    _, first = np.unique(group, return_index=True)
    return values[first]


def _is_enough(label: NDArray[np.int64], owner: NDArray[np.int64], of: int, least: int) -> bool:
    if np.bincount(owner, minlength=of).min() < least:
        return False
    for value in np.unique(label[label >= 0]):
        images = np.bincount(owner[label == value], minlength=of)
        if images.min() < _least_of_class(int(images.sum()), of):
            return False
    return True


def _impossible(images: int, patients: int, of: int, how: str, alpha: float) -> RosterError:
    return RosterError(
        f"The set cannot be shared out among {of} hospitals so that each has enough of each class",
        where="`share` in the roster",
        seen=f"{images} images of {patients} patients, how: {how}, alpha: {alpha}",
        cure="Share among fewer hospitals, raise `alpha`, or share `iid`",
    )
