from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from fed_assets.hospital.metrics import (
    METRICS,
    Predictions,
    accuracy,
    auroc,
    drawn_values,
    point_values,
    with_intervals,
)


def random_predictions(seed: int, *, images: int, classes: int) -> Predictions:
    generator = np.random.default_rng(seed)
    labels = generator.integers(classes, size=images)
    labels[:classes] = np.arange(classes)
    hints = np.eye(classes)[labels] * generator.uniform(0, 2)
    # One decimal, so that many scores are tied.
    values = np.exp(np.round(hints + generator.normal(size=(images, classes)), 1))
    return Predictions(labels, values / values.sum(axis=1, keepdims=True))


def by_bootstrap(predictions: Predictions, *, resamples: int, seed: int) -> dict[str, Any]:
    drawn = drawn_values(predictions, resamples=resamples, seed=seed)
    return with_intervals(predictions, drawn)


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("seed", range(8))
def test_every_metric_equals_scikit_learn(seed: int, classes: int) -> None:
    from sklearn import metrics as sk

    predictions = random_predictions(seed, images=20 + 40 * seed, classes=classes)
    truth, named = predictions.labels, predictions.predicted
    average = "binary" if classes == 2 else "macro"
    scored = [1] if classes == 2 else range(classes)
    confusions = sk.multilabel_confusion_matrix(truth, named, labels=range(classes))
    score = predictions.probabilities
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a class that was never named counts 0
        expected = {
            "auroc": sk.roc_auc_score(
                truth, score[:, 1] if classes == 2 else score, multi_class="ovr"
            ),
            "accuracy": sk.accuracy_score(truth, named),
            "balanced_accuracy": sk.balanced_accuracy_score(truth, named),
            "precision": sk.precision_score(truth, named, average=average),
            "sensitivity": sk.recall_score(truth, named, average=average),
            "specificity": np.mean([c[0, 0] / c[0].sum() for c in confusions[list(scored)]]),
            "f1": sk.f1_score(truth, named, average=average),
        }
    values = point_values(predictions)
    assert {name: values[name] for name in expected} == pytest.approx(expected)


def test_calibration_error_of_two_bins_worked_by_hand() -> None:
    probabilities = np.array([0.15, 0.15, 0.15, 0.15, 0.85])
    predictions = Predictions(
        np.array([0, 0, 0, 1, 1]), np.stack([1 - probabilities, probabilities], axis=1)
    )
    expected = 4 / 5 * abs(1 / 4 - 0.15) + 1 / 5 * abs(1 - 0.85)
    assert point_values(predictions)["expected_calibration_error"] == pytest.approx(expected)


def test_weights_count_an_image_as_often_as_it_was_drawn() -> None:
    predictions = random_predictions(0, images=30, classes=3)
    drawn = np.random.default_rng(1).integers(30, size=30)
    drawn[:3] = [0, 1, 2]  # every class
    weights = np.bincount(drawn, minlength=30).astype(float)
    repeated = Predictions(predictions.labels[drawn], predictions.probabilities[drawn])
    for name, metric in METRICS.items():
        assert metric(predictions, weights) == pytest.approx(metric(repeated, np.ones(30))), name


@pytest.mark.parametrize("metric", [accuracy, auroc])
def test_the_interval_agrees_with_scipys_bootstrap(metric: Any) -> None:
    from scipy.stats import bootstrap

    predictions = random_predictions(3, images=80, classes=2)

    def statistic(drawn: Any) -> float:
        return float(metric(predictions, np.bincount(drawn, minlength=80).astype(float)))

    theirs = bootstrap(
        (np.arange(80),),
        statistic,
        vectorized=False,
        method="percentile",
        n_resamples=2000,
        rng=np.random.default_rng(0),
    ).confidence_interval
    ours = by_bootstrap(predictions, resamples=2000, seed=0)[metric.__name__]
    assert (ours["low"], ours["high"]) == pytest.approx((theirs.low, theirs.high), abs=0.02)
    low, value, high = (float(ours[name] or 0) for name in ("low", "value", "high"))
    assert 0 < low < value < high


def test_a_perfect_model_scores_one_with_intervals_of_no_width() -> None:
    labels = np.array([0, 1] * 20)
    record = by_bootstrap(Predictions(labels, np.eye(2)[labels]), resamples=200, seed=0)
    assert record.pop("expected_calibration_error") == {"value": 0, "low": 0, "high": 0}
    for name, entry in record.items():
        assert entry == {"value": 1, "low": 1, "high": 1}, name


def test_one_class_alone_has_no_auroc_and_no_balanced_accuracy() -> None:
    ill = np.array([[0.2, 0.8], [0.6, 0.4]])
    record = by_bootstrap(Predictions(np.array([1, 1]), ill), resamples=50, seed=0)
    nothing = {"value": None, "low": None, "high": None}
    assert {n for n, e in record.items() if e == nothing} == {
        "auroc",
        "balanced_accuracy",
        "specificity",
    }
    assert record["accuracy"]["value"] == record["sensitivity"]["value"] == 0.5


def test_one_image_has_values_and_no_intervals() -> None:
    record = by_bootstrap(Predictions(np.array([1]), np.array([[0.1, 0.9]])), resamples=50, seed=0)
    assert record["accuracy"] == {"value": 1.0, "low": None, "high": None}
    assert record["auroc"] == {"value": None, "low": None, "high": None}


def test_resamples_without_the_rare_class_do_not_poison_the_interval() -> None:
    labels = np.array([1] + [0] * 19)
    scores = np.linspace(0.9, 0.1, 20)
    record = by_bootstrap(
        Predictions(labels, np.stack([1 - scores, scores], axis=1)), resamples=300, seed=0
    )
    for entry in record.values():
        assert all(v is not None and np.isfinite(v) for v in entry.values())
    assert record["auroc"] == {"value": 1, "low": 1, "high": 1}


def test_a_class_without_images_does_not_count_in_the_mean() -> None:
    labels = np.array([0, 0, 2, 2])
    probabilities = np.eye(3)[[0, 1, 2, 2]]
    values = point_values(Predictions(labels, probabilities))
    assert values["sensitivity"] == pytest.approx((0.5 + 1) / 2)
    assert values["balanced_accuracy"] == pytest.approx((0.5 + 1) / 2)


def test_the_same_seed_gives_the_same_intervals() -> None:
    predictions = random_predictions(5, images=50, classes=3)
    once = by_bootstrap(predictions, resamples=100, seed=7)
    assert once == by_bootstrap(predictions, resamples=100, seed=7)
    assert once != by_bootstrap(predictions, resamples=100, seed=8)
