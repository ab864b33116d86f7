from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fed_assets.errors import SealBroken
from fed_assets.hospital.drift import ALL, NEW, groups, intensity_shift, label_shift
from fed_assets.hospital.files import Store
from fed_assets.hospital.images import prepare_images
from fed_assets.hospital.references import KEPT, Reference, keep_reference, kept_reference
from fed_assets.hospital.resemblance import LIMITS, NOTHING_KEPT, TOO_FEW, compare_images
from fed_assets.hospital.store import REFERENCES, current_digest, kept_files
from fed_assets.hospital.suppression import SUPPRESSED, disclosed
from fed_assets.hospital.validation import validate_images
from fed_assets_tests.hospital.keys import a_sealed_store

Pixels = NDArray[np.uint8]
Labels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def pool(real_data: Path) -> tuple[Pixels, Labels]:
    """Returns real chest X-rays and their labels."""
    with np.load(real_data / "pneumoniamnist.npz") as npz:
        return npz["train_images"], npz["train_labels"]


class Hospital:
    """A hospital whose images are 800 real ones, which were let through; and what came after."""

    def __init__(self, folder: Path, pool: tuple[Pixels, Labels], store: Store) -> None:
        self.folder, self.pool, self.store = folder, pool, store
        self.first = np.random.default_rng(0).permutation(len(pool[0]))[:800]
        self.take_up(pool[0][self.first], pool[1][self.first])
        self.learned = current_digest(store)

    def take_up(self, images: Pixels, labels: Labels) -> None:
        path = self.folder / "images.npz"
        np.savez(path, train_images=images, train_labels=labels)
        source = {"kind": "medmnist", "path": str(path)}
        prepare_images({"source": source, "image_size": 28, "classes": ["a", "b"]}, self.store)
        assert validate_images({"expectations": {}}, self.store)["passed"]

    def compare(self, images: Pixels, labels: Labels, **limits: float) -> dict[str, Any]:
        self.take_up(images, labels)
        return compare_images({"reference": self.learned, "limits": limits}, self.store)


@pytest.fixture
def hospital(tmp_path: Path, pool: tuple[Pixels, Labels]) -> Hospital:
    return Hospital(tmp_path, pool, Store(tmp_path / "store", "north"))


def others(hospital: Hospital, count: int) -> NDArray[np.int64]:
    """Returns rows of the pool that the hospital has not."""
    left = np.setdiff1d(np.arange(len(hospital.pool[0])), hospital.first)
    return np.random.default_rng(1).permutation(left)[:count]


def darkened(images: Pixels) -> Pixels:
    return np.clip(images.astype(int) - 20, 0, 255).astype(np.uint8)


def differing(answer: dict[str, Any]) -> set[tuple[str, str]]:
    rows = (*answer["intensity"], *answer["labels"])
    return {(row["group"], row["quantity"]) for row in rows if row["differs"]}


def test_the_same_images_resemble_themselves(hospital: Hospital) -> None:
    images, labels = hospital.pool
    answer = hospital.compare(images[hospital.first], labels[hospital.first])
    assert (answer["compared"], answer["resembles"]) == (True, True)
    assert answer["images"] == {"earlier": 800, "present": 800, "new": 0}
    assert {row["group"] for row in answer["intensity"]} == {ALL}


def test_another_sample_of_the_same_images_resembles_them(hospital: Hospital) -> None:
    rows = others(hospital, 800)
    answer = hospital.compare(hospital.pool[0][rows], hospital.pool[1][rows])
    assert (answer["resembles"], differing(answer)) == (True, set())
    assert len(answer["intensity"]) == 4


def test_images_that_are_twenty_grey_levels_darker_do_not(hospital: Hospital) -> None:
    rows = others(hospital, 800)
    answer = hospital.compare(darkened(hospital.pool[0][rows]), hospital.pool[1][rows])
    assert answer["resembles"] is False
    assert {(ALL, "mean"), (NEW, "mean")} <= differing(answer)
    assert (ALL, "labels") not in differing(answer)
    (row,) = [r for r in answer["intensity"] if (r["group"], r["quantity"]) == (ALL, "mean")]
    assert -22 < row["shift"] < -16
    assert row["p_value"] < 1e-6


def test_forty_darker_images_among_many_are_found_by_the_new_ones(hospital: Hospital) -> None:
    images, labels = hospital.pool
    new = others(hospital, 40)
    answer = hospital.compare(
        np.concatenate([images[hospital.first], darkened(images[new])]),
        np.concatenate([labels[hospital.first], labels[new]]),
    )
    assert answer["resembles"] is False
    assert {group for group, _ in differing(answer)} == {NEW}


def test_labels_that_are_flipped_in_share_are_found(hospital: Hospital) -> None:
    rows = others(hospital, 800)
    labels = hospital.pool[1][rows].copy()
    flipped = np.random.default_rng(2).random(len(labels)) < 0.5
    labels[flipped] = 1 - labels[flipped]
    answer = hospital.compare(hospital.pool[0][rows], labels)
    assert differing(answer) == {(ALL, "labels"), (NEW, "labels")}


def test_limits_decide_from_where_on_a_shift_is_one(hospital: Hospital) -> None:
    rows = others(hospital, 800)
    images, labels = darkened(hospital.pool[0][rows]), hospital.pool[1][rows]
    assert hospital.compare(images, labels, intensity=1.0)["resembles"] is True


def test_few_images_show_nothing(hospital: Hospital) -> None:
    rows = others(hospital, 400)
    answer = hospital.compare(hospital.pool[0][rows], hospital.pool[1][rows], least_images=401)
    assert (answer["compared"], answer["why_not"]) == (False, TOO_FEW)
    assert answer["resembles"] is True


def test_without_what_the_model_learned_from_nothing_is_compared(hospital: Hospital) -> None:
    answer = compare_images({"reference": "f" * 64}, hospital.store)
    assert (answer["compared"], answer["why_not"]) == (False, NOTHING_KEPT)


def test_what_is_kept_is_sealed_in_a_sealed_store_and_a_change_of_it_is_found(
    tmp_path: Path, pool: tuple[Pixels, Labels]
) -> None:
    hospital = Hospital(tmp_path, pool, a_sealed_store(tmp_path))
    (kept,) = (hospital.store.folder / REFERENCES).iterdir()
    assert kept in kept_files(hospital.store)
    raw = bytearray(kept.read_bytes())
    assert b"content" not in raw
    assert compare_images({"reference": hospital.learned}, hospital.store)["compared"]
    raw[-40] ^= 1
    kept.write_bytes(raw)
    with pytest.raises(SealBroken):
        compare_images({"reference": hospital.learned}, hospital.store)


def reference(count: int = 100, *, labels: tuple[int, ...] = (0, 1), seed: int = 0) -> Reference:
    rng = np.random.default_rng(seed)
    return Reference(
        ("a", "b"),
        rng.normal(120, 10, count),
        rng.normal(50, 5, count),
        np.resize(np.array(labels), count),
        tuple(f"{seed}-{number}" for number in range(count)),
    )


def test_the_newest_references_are_kept(tmp_path: Path) -> None:
    store = Store(tmp_path, "north")
    for number in range(KEPT + 2):
        keep_reference(store, f"{number:064d}"[::-1], reference(seed=number))
    assert len(list((tmp_path / REFERENCES).iterdir())) == KEPT
    assert kept_reference(store, f"{KEPT + 1:064d}"[::-1]) is not None
    assert kept_reference(store, f"{0:064d}") is None


def test_a_damaged_reference_is_none(tmp_path: Path) -> None:
    store = Store(tmp_path, "north")
    keep_reference(store, "d" * 64, reference())
    (kept,) = (tmp_path / REFERENCES).iterdir()
    kept.write_text("{}")
    assert kept_reference(store, "d" * 64) is None


def test_a_class_that_was_not_there_before_is_a_shift_and_counts_by_its_name() -> None:
    before, now = reference(), reference(labels=(0, 1, 2), seed=1)
    three = Reference(("b", "a", "c"), now.mean, now.sd, now.label, now.content)
    row = label_shift(before, three, LIMITS)
    assert row["counts"] == [50, 50, 0, 33, 34, 33]
    assert row["differs"] is True
    assert np.isfinite(row["stability_index"])


def test_one_class_alone_is_no_shift() -> None:
    row = label_shift(reference(labels=(0,)), reference(labels=(0,), seed=1), LIMITS)
    assert (row["p_value"], row["differs"]) == (1.0, False)


def test_new_images_are_those_whose_content_was_not_there() -> None:
    before = reference()
    both = Reference(
        before.classes,
        np.tile(before.mean, 2),
        np.tile(before.sd, 2),
        np.tile(before.label, 2),
        (*before.content, *reference(seed=1).content),
    )
    assert len(groups(before, both, 20)[NEW].label) == 100
    assert set(groups(before, both, 101)) == {ALL}


def _shifted(count: int, below: int, least: Callable[..., Any] = reference) -> dict[str, Any]:
    before, now = reference(), least(count, seed=1)
    answer = {
        "compared": True,
        "why_not": "",
        "resembles": True,
        "images": {"earlier": 100, "present": count, "new": count},
        "intensity": [{"group": ALL, **row} for row in intensity_shift(before, now, LIMITS)],
        "labels": [{"group": ALL, **label_shift(before, now, LIMITS)}],
    }
    return disclosed("compare_images", answer, below)


def test_figures_of_few_images_stay_and_counts_of_classes_stay_always() -> None:
    told, few = _shifted(40, 10), _shifted(16, 10)
    assert "counts" not in told["labels"][0]
    assert told["labels"][0]["stability_index"] != SUPPRESSED
    assert few["images"]["present"] == 16
    assert few["intensity"][0]["statistic"] != SUPPRESSED
    assert few["labels"][0]["stability_index"] == SUPPRESSED  # of 8 images a class
    fewer = _shifted(9, 10)
    assert set(fewer["images"].values()) == {SUPPRESSED}
    assert fewer["intensity"][0]["statistic"] == SUPPRESSED
    assert fewer["intensity"][0]["differs"] in (True, False)
