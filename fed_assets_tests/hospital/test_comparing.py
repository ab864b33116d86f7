from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fed_assets.errors import DisclosureRefused, NoImages, NotValidated, RunConfigError
from fed_assets.hospital.comparing import agreement, compare_models, paired_differences
from fed_assets.hospital.files import Store
from fed_assets.hospital.metrics import Predictions, drawn_values, with_intervals
from fed_assets.hospital.network import build_network
from fed_assets.hospital.suppression import SUPPRESSED, disclosed
from fed_assets.hospital.weights import weights_of, write_weights
from fed_assets_tests.hospital.test_evaluation import a_store, a_validated_store
from fed_assets_tests.networks import SMALL_RESNET

HIDDEN = {"value": None, "low": None, "high": None, SUPPRESSED: True}
Answer = dict[str, Any]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return a_validated_store(tmp_path_factory.mktemp("hospital"))


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Answer:
    """Returns arguments that compare two untrained networks of two seeds."""
    folder = tmp_path_factory.mktemp("weights")
    for seed in (0, 1):
        network = build_network(SMALL_RESNET, channels=1, classes=2, seed=seed)
        write_weights(weights_of(network), folder / f"{seed}.safetensors")
    return {
        "weights": str(folder / "0.safetensors"),
        "other_weights": str(folder / "1.safetensors"),
        "network": SMALL_RESNET,
        "resamples": 200,
        "seed": 3,
    }


def predictions(labels: np.ndarray[Any, Any], positive: np.ndarray[Any, Any]) -> Predictions:
    return Predictions(labels, np.stack([1 - positive, positive], axis=1))


def without_seconds(answer: Answer) -> Answer:
    return {name: value for name, value in answer.items() if name != "seconds"}


def test_the_answer_is_whole_and_json_and_the_same_again(store: Store, asked: Answer) -> None:
    answer = compare_models(asked, store)
    assert answer == json.loads(json.dumps(answer, allow_nan=False))
    assert answer["images"] == sum(answer["agreement"]) == 24
    assert set(answer["differences"]) == {"auroc", "accuracy"}
    for each in answer["differences"].values():
        assert each["low"] <= each["value"] <= each["high"]
    assert without_seconds(compare_models(asked, store)) == without_seconds(answer)


def test_the_one_less_the_other_is_what_each_is_alone(store: Store, asked: Answer) -> None:
    from fed_assets.hospital.evaluation import evaluate

    alone = [
        evaluate(asked | {"weights": asked[name], "resamples": 0}, store)["metrics"]
        for name in ("weights", "other_weights")
    ]
    told = compare_models(asked, store)["differences"]
    for name, each in told.items():
        assert each["value"] == pytest.approx(alone[0][name]["value"] - alone[1][name]["value"])
    turned = {"weights": asked["other_weights"], "other_weights": asked["weights"]}
    back = compare_models(asked | turned, store)["differences"]
    assert back["auroc"]["value"] == pytest.approx(-told["auroc"]["value"])


def test_a_model_does_not_differ_from_itself(store: Store, asked: Answer) -> None:
    answer = compare_models(asked | {"other_weights": asked["weights"]}, store)
    assert answer["differences"]["auroc"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert answer["agreement"][1:3] == [0, 0]


def test_each_model_is_held_to_its_own_threshold(store: Store, asked: Answer) -> None:
    same = asked | {"other_weights": asked["weights"], "threshold": 0.0, "other_threshold": 1.0}
    one, other = compare_models(same, store)["confusion"].values()
    assert [row[0] for row in one] == [0, 0]
    assert [row[1] for row in other] == [0, 0]


def test_what_is_hard_for_both_makes_no_interval_wider() -> None:
    generator = np.random.default_rng(0)
    labels = np.repeat([0, 1], 40)
    positive = np.clip(0.3 + 0.3 * labels + generator.normal(0, 0.25, 80), 0, 1)
    one = predictions(labels, positive)
    other = predictions(labels, np.clip(positive + generator.normal(0, 0.02, 80), 0, 1))
    paired = paired_differences(one, other, resamples=500, seed=0, confidence=0.95)["auroc"]
    alone = with_intervals(one, drawn_values(one, resamples=500, seed=0))["auroc"]
    assert paired["high"] - paired["low"] < 0.5 * (alone["high"] - alone["low"])  # type: ignore[operator]


def test_a_real_loss_is_seen_and_the_confidence_sets_how_wide_its_interval_is() -> None:
    labels = np.repeat([0, 1], 100)
    good = predictions(labels, np.clip(0.1 + 0.8 * labels, 0, 1).astype(float))
    noise = np.random.default_rng(0).uniform(0, 1, 200)
    bad = predictions(labels, noise)
    wide = paired_differences(bad, good, resamples=400, seed=0, confidence=0.99)["auroc"]
    narrow = paired_differences(bad, good, resamples=400, seed=0, confidence=0.5)["auroc"]
    assert wide["value"] == narrow["value"]
    assert wide["high"] < 0  # type: ignore[operator]
    assert wide["low"] < narrow["low"] < narrow["high"] < wide["high"]  # type: ignore[operator]


def test_one_class_alone_has_no_auroc_and_a_single_image_no_interval() -> None:
    one = predictions(np.array([1, 1]), np.array([0.2, 0.8]))
    told = paired_differences(one, one, resamples=20, seed=0, confidence=0.9)
    assert told["auroc"] == {"value": None, "low": None, "high": None}
    assert told["accuracy"]["value"] == 0.0
    single = predictions(np.array([1]), np.array([0.2]))
    alone = paired_differences(single, single, resamples=20, seed=0, confidence=0.9)
    assert alone["accuracy"] == {"value": 0.0, "low": None, "high": None}


def test_agreement_counts_every_image_once() -> None:
    labels = np.array([0, 0, 1, 1, 1])
    one = predictions(labels, np.array([0.1, 0.9, 0.9, 0.1, 0.1]))
    other = predictions(labels, np.array([0.1, 0.1, 0.1, 0.9, 0.1]))
    assert agreement(one, other) == [1, 1, 2, 1]


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"split": "train"}, DisclosureRefused, "Of training images no figure leaves"),
        ({"threshold": 5}, RunConfigError, "threshold is no probability"),
        ({"other_threshold": -1}, RunConfigError, "threshold is no probability"),
        ({"confidence": 95}, RunConfigError, "confidence is no probability"),
        ({"other_weights": "/none.safetensors"}, RunConfigError, "weights cannot be read"),
        ({"other_network": {"_target_": "no.such"}}, RunConfigError, "no network class of"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    store: Store, asked: Answer, change: Answer, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        compare_models(asked | change, store)


def test_images_that_no_validation_let_through_are_not_compared_on(
    tmp_path: Path, asked: Answer
) -> None:
    with pytest.raises(NotValidated):
        compare_models(asked, a_store(tmp_path))


def test_an_empty_split_is_refused(tmp_path: Path, asked: Answer) -> None:
    with pytest.raises(NoImages, match="no image to compare on"):
        compare_models(
            asked | {"split": "validation"}, a_validated_store(tmp_path, only_split="test")
        )


def an_answer(confusion: list[list[int]], agrees: list[int], other: Any = None) -> Answer:
    differences = {name: {"value": 0.1, "low": 0.0, "high": 0.2} for name in ("auroc", "accuracy")}
    return {
        "images": sum(map(sum, confusion)),
        "differences": differences,
        "confusion": {"one": confusion, "other": other or confusion},
        "agreement": agrees,
        "seconds": 0.1,
    }


@pytest.mark.parametrize(
    ("confusion", "other", "agrees", "withheld"),
    [
        ([[30, 12], [15, 40]], None, [60, 10, 0, 27], set()),
        ([[30, 12], [15, 40]], None, [65, 5, 10, 17], {"accuracy"}),
        ([[30, 12], [15, 40]], [[40, 2], [15, 40]], [60, 10, 10, 17], {"accuracy"}),
        ([[40, 2], [15, 40]], [[30, 12], [15, 40]], [60, 10, 10, 17], {"accuracy"}),
        ([[9, 0], [15, 40]], None, [49, 0, 0, 15], {"auroc", "accuracy"}),
        ([[0, 0], [15, 40]], None, [40, 0, 0, 15], set()),
    ],
)
def test_differences_are_told_where_no_small_count_can_be_reckoned_from_them(
    confusion: list[list[int]], other: Any, agrees: list[int], withheld: set[str]
) -> None:
    answer = an_answer(confusion, agrees, other)
    assert disclosed("compare_models", answer, 0) == answer
    told = disclosed("compare_models", answer, 10)
    assert {name for name, each in told["differences"].items() if each == HIDDEN} == withheld
    assert told["confusion"] == told["agreement"] == SUPPRESSED
    assert told["images"] == answer["images"]


def test_the_number_of_few_images_is_not_told() -> None:
    told = disclosed("compare_models", an_answer([[4, 0], [0, 4]], [8, 0, 0, 0]), 10)
    assert told["images"] == SUPPRESSED
    assert told["differences"] == {"auroc": HIDDEN, "accuracy": HIDDEN}
