from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fed_assets.errors import DisclosureRefused, NoImages, NotValidated, RunConfigError
from fed_assets.hospital.evaluation import calibration, evaluate, predict, record, roc_curve
from fed_assets.hospital.files import Store
from fed_assets.hospital.images import prepare_images
from fed_assets.hospital.metrics import Predictions, drawn_values
from fed_assets.hospital.network import build_network
from fed_assets.hospital.store import current_digest, set_validated
from fed_assets.hospital.weights import weights_of, write_weights
from fed_assets.sandboxes.presets import REFERENCE
from fed_assets_tests.hospital.test_training import bright_and_dark
from fed_assets_tests.networks import SMALL_RESNET


def a_store(
    folder: Path,
    *,
    classes: int = 2,
    test_images: int = 24,
    name: str = "store",
    **arguments: Any,
) -> Store:
    """A hospital's store with bright and dark images of its own, not validated."""
    arrays: dict[str, Any] = {}
    for split, images in (("train", 48), ("val", 12), ("test", test_images)):
        pixels, labels = bright_and_dark(images, classes=classes)
        arrays |= {f"{split}_images": pixels[:, 0], f"{split}_labels": labels[:, None]}
    np.savez(folder / "own.npz", **arrays)
    source = {"kind": "medmnist", "path": str(folder / "own.npz")}
    store = Store(folder / name, hospital=name)
    prepare_images({"source": source, "image_size": 28, **arguments}, store)
    return store


def a_validated_store(folder: Path, **arguments: Any) -> Store:
    store = a_store(folder, **arguments)
    set_validated(store, current_digest(store))
    return store


def weights_file(folder: Path, *, classes: int = 2) -> Path:
    network = build_network(SMALL_RESNET, channels=1, classes=classes, seed=0)
    write_weights(weights_of(network), folder / "global.safetensors")
    return folder / "global.safetensors"


@pytest.mark.parametrize("classes", [2, 3])
def test_the_record_is_whole_and_json(tmp_path: Path, classes: int) -> None:
    store = a_validated_store(tmp_path, classes=classes)
    answer = evaluate(
        {
            "weights": str(weights_file(tmp_path, classes=classes)),
            "network": SMALL_RESNET,
            "split": "test",
            "resamples": 50,
            "seed": 0,
        },
        store,
    )
    assert answer == json.loads(json.dumps(answer, allow_nan=False))
    assert answer["images"] == 24
    assert len(answer["classes"]) == classes
    assert np.sum(answer["confusion"]) == 24
    assert np.sum(answer["confusion"], axis=1).tolist() == [24 // classes] * classes
    curves = [curve["class"] for curve in answer["roc"]]
    assert curves == (answer["classes"][1:] if classes == 2 else answer["classes"])
    assert sum(entry["images"] for entry in answer["calibration"]) == 24
    assert set(answer["metrics"]["auroc"]) == {"value", "low", "high"}


def test_the_same_weights_give_the_same_record(tmp_path: Path) -> None:
    store = a_validated_store(tmp_path)
    arguments = {"weights": str(weights_file(tmp_path)), "network": SMALL_RESNET, "resamples": 20}
    first, second = evaluate(arguments, store), evaluate(arguments, store)
    del first["seconds"], second["seconds"]
    assert first == second


def test_resamples_of_two_models_are_pairs_where_their_images_and_seed_are_the_same(
    tmp_path: Path,
) -> None:
    def asked(store: Store, seed: int = 0, number: int = 0) -> dict[str, Any]:
        network = build_network(SMALL_RESNET, channels=1, classes=2, seed=number)
        path = tmp_path / f"{number}.safetensors"
        write_weights(weights_of(network), path)
        arguments = {"weights": str(path), "network": SMALL_RESNET, "resamples": 200, "seed": seed}
        return evaluate({**arguments, "tell_resamples": ("auroc", "accuracy")}, store)

    store = a_validated_store(tmp_path, name="coordinator")
    answer, other = asked(store), asked(store, number=1)
    found = answer["resampled"]
    assert found["of"] == other["resampled"]["of"]
    assert found["values"] != other["resampled"]["values"]
    for name in ("auroc", "accuracy"):
        low, high = np.quantile(found["values"][name], [0.025, 0.975])
        told = answer["metrics"][name]
        assert (told["low"], told["high"]) == pytest.approx((low, high), abs=1e-6)
    json.dumps(found, allow_nan=False)
    assert asked(store, seed=1)["resampled"]["of"] != found["of"]
    fewer = a_validated_store(tmp_path, test_images=20, name="coordinator")
    assert asked(fewer)["resampled"]["of"] != found["of"]


def test_no_hospital_tells_its_resamples(tmp_path: Path) -> None:
    asked = {"weights": "", "network": SMALL_RESNET, "tell_resamples": ["accuracy"]}
    store = a_validated_store(tmp_path, name="hospital_01")
    with pytest.raises(DisclosureRefused, match="evaluate with tell_resamples"):
        evaluate(asked, store)
    # Of what lies there as open images, which are everybody's, it is no secret.
    asked["weights"] = str(weights_file(tmp_path))
    opened = Store(store.folder.rename(store.folder.with_name(REFERENCE)))
    assert len(evaluate(asked, opened)["resampled"]["values"]["accuracy"]) == 1000


def test_images_that_no_validation_let_through_are_not_evaluated(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    arguments = {"weights": str(weights_file(tmp_path)), "network": SMALL_RESNET, "resamples": 0}
    with pytest.raises(NotValidated):
        evaluate(arguments, store)
    assert evaluate(arguments, store, validated=False)["images"] == 24


def test_an_empty_split_is_refused(tmp_path: Path) -> None:
    store = a_validated_store(tmp_path, only_split="test")
    arguments = {
        "weights": str(weights_file(tmp_path)),
        "network": SMALL_RESNET,
        "split": "validation",
    }
    with pytest.raises(NoImages, match="no image to evaluate"):
        evaluate(arguments, store)


def test_weights_of_other_classes_are_refused(tmp_path: Path) -> None:
    store = a_validated_store(tmp_path)
    weights = weights_file(tmp_path, classes=5)
    with pytest.raises(RunConfigError, match="do not fit"):
        evaluate({"weights": str(weights), "network": SMALL_RESNET}, store)


def test_a_threshold_that_is_no_probability_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunConfigError, match="threshold"):
        evaluate({"weights": "", "network": SMALL_RESNET, "threshold": 50}, Store(tmp_path))


def test_a_hospital_with_one_class_gets_nulls_where_nothing_is_defined() -> None:
    predictions = Predictions(np.array([1, 1]), np.array([[0.2, 0.8], [0.7, 0.3]]))
    answer = record(predictions, ["ill", "well"], drawn_values(predictions, resamples=20, seed=0))
    assert answer["metrics"]["auroc"] == {"value": None, "low": None, "high": None}
    assert answer["roc"] == []
    assert answer["confusion"] == [[0, 0], [1, 1]]
    json.dumps(answer, allow_nan=False)


def test_the_threshold_moves_the_confusion_and_not_the_curve() -> None:
    labels = np.array([0, 0, 1, 1])
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3], [0.2, 0.8]])
    models = [Predictions(labels, probabilities, threshold) for threshold in (0.5, 0.25)]
    records = [record(each, ["a", "b"], drawn_values(each, resamples=0, seed=0)) for each in models]
    assert records[0]["confusion"] == [[2, 0], [1, 1]]
    assert records[1]["confusion"] == [[1, 1], [0, 2]]
    assert records[0]["roc"] == records[1]["roc"]


def test_predictions_do_not_depend_on_the_batch_they_are_in() -> None:
    images, _ = bright_and_dark(300)
    network = build_network(SMALL_RESNET, channels=1, classes=2, seed=0)
    together = predict(network, images, np.arange(300), classes=2)
    alone = predict(network, images, np.array([7, 299]), classes=2)
    assert together[[7, 299]] == pytest.approx(alone, abs=1e-6)
    assert together.sum(axis=1) == pytest.approx(np.ones(300))


@pytest.mark.parametrize("images", [0, 1, 2, 64, 65, 129, 257])
def test_images_are_predicted_in_small_batches_and_none_by_itself_beside_others(
    images: int,
) -> None:
    pixels, _ = bright_and_dark(300)
    network = build_network(SMALL_RESNET, channels=1, classes=2, seed=0)
    batches: list[int] = []
    network.register_forward_pre_hook(lambda _, given: batches.append(len(given[0])))
    predict(network, pixels, np.arange(images), classes=2)
    assert sum(batches) == images
    assert max(batches, default=0) <= 64
    assert images == 1 or 1 not in batches


@pytest.mark.parametrize("config", [SMALL_RESNET, {**SMALL_RESNET, "norm": "batch"}])
def test_the_size_of_a_batch_changes_no_digit(
    config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels, _ = bright_and_dark(300)
    network = build_network(config, channels=1, classes=2, seed=0)
    small = predict(network, pixels, np.arange(300), classes=2)
    monkeypatch.setattr("fed_assets.hospital.evaluation.BATCH_SIZE", 300)
    assert np.array_equal(small, predict(network, pixels, np.arange(300), classes=2))


def test_the_curve_is_scikit_learns_where_nothing_is_thinned() -> None:
    from sklearn.metrics import roc_curve as sk_roc_curve

    generator = np.random.default_rng(0)
    score = generator.integers(0, 8, 60) / 8  # many ties
    labels = generator.integers(0, 2, 60)
    curve = roc_curve(Predictions(labels, np.stack([1 - score, score], axis=1)), 1)
    theirs = sk_roc_curve(labels, score, drop_intermediate=False)
    assert curve["false_positive_rate"] == pytest.approx(theirs[0])
    assert curve["true_positive_rate"] == pytest.approx(theirs[1])


def test_a_long_curve_is_thinned_to_a_hundred_points_with_both_ends_and_its_area() -> None:
    from sklearn.metrics import auc, roc_auc_score

    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, 5000)
    score = 1 / (1 + np.exp(-generator.normal(labels)))
    curve = roc_curve(Predictions(labels, np.stack([1 - score, score], axis=1)), 1)
    across, up = curve["false_positive_rate"], curve["true_positive_rate"]
    assert len(across) <= 100
    assert (across[0], up[0], across[-1], up[-1]) == (0, 0, 1, 1)
    assert auc(across, up) == pytest.approx(roc_auc_score(labels, score), abs=1e-3)


def test_calibration_has_ten_bins_and_nulls_where_no_image_falls() -> None:
    score = np.array([0.0, 0.05, 1.0])
    bins = calibration(Predictions(np.array([0, 1, 1]), np.stack([1 - score, score], axis=1)))
    assert len(bins) == 10
    assert bins[0] == {"confidence": pytest.approx(0.025), "accuracy": 0.5, "images": 2}
    assert bins[9] == {"confidence": 1.0, "accuracy": 1.0, "images": 1}
    assert bins[4] == {"confidence": None, "accuracy": None, "images": 0}


@pytest.mark.parametrize("split", ["train", "", "everything"])
def test_of_training_images_nothing_is_measured(tmp_path: Path, split: str) -> None:
    store = a_validated_store(tmp_path)
    asked = {"weights": str(weights_file(tmp_path)), "network": SMALL_RESNET, "resamples": 0}
    assert evaluate({**asked, "split": "validation"}, store)["images"] == 12
    with pytest.raises(DisclosureRefused):
        evaluate({**asked, "split": split}, store)
