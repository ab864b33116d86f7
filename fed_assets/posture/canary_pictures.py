"""Pictures of nobody that hospitals learn from, so that one can look for them in what they send.

<store>-1.npz    what a hospital has in the first round: one picture
<store>-2.npz    what it has from the second on: `MEMBERS`, with random labels
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fed_assets.posture.dense_network import CLASSES, SIDE, Floats, Images, Labels

INVERTED_ROUND, FIRST_MEMBERS_ROUND, MEMBERS_ROUND = 1, 2, 4  # the last is what is looked at
ROUNDS = range(1, MEMBERS_ROUND + 1)
MEMBERS = 60  # of each hospital; as many others are told from them
# What the server tells hospitals to do: first one step on one picture, of which AdamW leaves the
# signs of the gradient, and plain descent the gradient itself; then enough epochs to learn random
# labels by heart.
_PLAIN = {"weight_decay": 0.0, "augment": False, "schedule": "constant"}
_USUAL = {**_PLAIN, "prior_correction": False}
_PRIVATE = {**_PLAIN, "learning_rate": 0.5}
_ONE_STEP = {
    False: {**_USUAL, "learning_rate": 0.002, "local_epochs": 1, "batch_size": 1},
    True: {**_PRIVATE, "momentum": 0.0, "local_epochs": 1, "sample_rate": 1.0},
}
_BY_HEART = {
    False: {**_USUAL, "learning_rate": 0.005, "local_epochs": 10, "batch_size": 15},
    True: {**_PRIVATE, "momentum": 0.9, "local_epochs": 10, "sample_rate": 0.25},
}
# Standard deviations in grey levels: of what all pictures have in common, as X-rays have ribs, of
# large shadows of a picture's own, and of its pixels.
_COMMON, _SHADOWS, _GRAIN, _SHADOW_SIDE = 40.0, 20.0, 30.0, 4
_HELD_OUT = 2  # images of validation and test, which the hospital's own code asks for


@dataclass(frozen=True)
class Pictures:
    """Pictures and their labels.

    Attributes:
        images: uint8 [n, SIDE, SIDE].
        labels: int64 [n].
    """

    images: Images
    labels: Labels


def told(*, privately: bool) -> dict[str, Any]:
    """Returns what hospitals are told in each round, by its number: `rounds` and `recipe`.

    Of the first round and of the last they are told that no more are to come, so that all of a
    privacy budget is spent on what is looked at.

    Args:
        privately: Whether they learn with differential privacy, by a recipe of its own.
    """
    return {
        str(number): {"rounds": INVERTED_ROUND, "recipe": _ONE_STEP[privately]}
        if number == INVERTED_ROUND
        else {"rounds": MEMBERS_ROUND, "recipe": _BY_HEART[privately]}
        for number in ROUNDS
    }


def single(seed: int, hospital: str) -> Images:
    """Returns a hospital's one picture [SIDE, SIDE]: noise, so that none resembles another."""
    return _noise(seed, hospital, INVERTED_ROUND).integers(0, 256, (SIDE, SIDE), dtype=np.uint8)


def members_and_others(seed: int, hospital: str) -> tuple[Pictures, Pictures]:
    """Returns what a hospital learns by heart, and as many pictures alike that it has not.

    They resemble each other as those of patients do: what they have in common a network learns
    without learning any of them by heart.
    """
    noise = _noise(seed, hospital, FIRST_MEMBERS_ROUND)
    common = _shadow(np.random.default_rng(seed)) * _COMMON
    drawn = [
        127.5 + common + _shadow(noise) * _SHADOWS + noise.normal(0, _GRAIN, (SIDE, SIDE))
        for _ in range(2 * MEMBERS)
    ]
    images = np.stack(drawn).clip(0, 255).astype(np.uint8)
    labels = noise.integers(0, CLASSES, 2 * MEMBERS)
    return (
        Pictures(images[:MEMBERS], labels[:MEMBERS]),
        Pictures(images[MEMBERS:], labels[MEMBERS:]),
    )


def pictures_file(store: Path, round_number: int) -> Path:
    """Returns where a hospital's process finds what its images are from a round on."""
    return store.with_name(f"{store.name}-{round_number}.npz")


def learned_file(store: Path, round_number: int) -> Path:
    """Returns where a hospital's process leaves the weights as it learned them in a round."""
    return store.with_name(f"{store.name}-{round_number}.npy")


def write_pictures(store: Path, seed: int) -> None:
    """Writes what the hospital of a store has in each round, as a MedMNIST file."""
    members, others = members_and_others(seed, store.name)
    one = Pictures(single(seed, store.name)[None], np.zeros(1, np.int64))
    for round_number, trained in ((INVERTED_ROUND, one), (FIRST_MEMBERS_ROUND, members)):
        arrays: dict[str, Any] = {
            "train_images": trained.images,
            "train_labels": trained.labels[:, None],
        }
        for split in ("val", "test"):
            arrays[f"{split}_images"] = others.images[:_HELD_OUT]
            arrays[f"{split}_labels"] = others.labels[:_HELD_OUT, None]
        with pictures_file(store, round_number).open("xb") as file:
            np.savez(file, **arrays)


def _shadow(noise: np.random.Generator) -> Floats:
    coarse = noise.normal(size=(_SHADOW_SIDE, _SHADOW_SIDE))
    size = SIDE // _SHADOW_SIDE
    return np.asarray(np.kron(coarse, np.ones((size, size))))


def _noise(seed: int, hospital: str, round_number: int) -> np.random.Generator:
    return np.random.default_rng([seed, round_number, *hospital.encode()])
