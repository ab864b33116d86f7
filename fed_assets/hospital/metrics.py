"""One number per metric and resample: how well probabilities name the classes.

A bootstrap resample of n images is a vector of n weights, how often each image was drawn, so every
metric here takes `weights` [..., n] and gives [...]: all resamples in one pass. A value is NaN
where it is not defined, as AUROC is with one class alone. With two classes, precision, sensitivity,
specificity and F1 are those of the second (positive) class; with more, every metric is the mean of
the classes that have images, each against the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

BINS = 10
INTERVAL = (0.025, 0.975)
VALUES_AT_ONCE = 2_000_000  # resamples x images: about 100 MB of arrays at a time


@dataclass(frozen=True)
class Predictions:
    """Labels [n], probabilities [n, classes] that sum to one, and the threshold for two classes."""

    labels: Integers
    probabilities: Floats
    threshold: float = 0.5

    @property
    def classes(self) -> int:
        """How many classes there are, with images or without."""
        return int(self.probabilities.shape[1])

    @cached_property
    def one_hot(self) -> Floats:
        """The truth, [n, classes] of 0.0 and 1.0."""
        return np.eye(self.classes)[self.labels]

    @cached_property
    def predicted(self) -> Integers:
        """The named class [n]: the likeliest; of two, the positive from the threshold on."""
        if self.classes == 2:
            return (self.probabilities[:, 1] >= self.threshold).astype(np.int64)
        return np.asarray(self.probabilities.argmax(axis=1))

    @cached_property
    def scored_classes(self) -> list[int]:
        """The classes that a mean is taken over."""
        if self.classes == 2:
            return [1]
        return sorted(set(self.labels.tolist()))


def _ratio(part: Floats, whole: Floats) -> Floats:
    """Returns part / whole, NaN where the whole is zero."""
    return np.divide(part, whole, out=np.full_like(part, np.nan), where=whole > 0)


def _mean(of_classes: Floats) -> Floats:
    return np.asarray(of_classes.mean(axis=-1))


def _counts(predictions: Predictions, weights: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Returns hits, images and times named of each scored class [..., classes]; all [..., 1]."""
    scored = predictions.scored_classes
    truth = predictions.one_hot[:, scored]
    named = np.eye(predictions.classes)[predictions.predicted][:, scored]
    total = weights.sum(axis=-1, keepdims=True)
    return weights @ (truth * named), weights @ truth, weights @ named, total


def accuracy(predictions: Predictions, weights: Floats) -> Floats:
    """Returns the share of images whose class was named."""
    correct = (predictions.predicted == predictions.labels).astype(float)
    return _ratio(weights @ correct, weights.sum(axis=-1))


def balanced_accuracy(predictions: Predictions, weights: Floats) -> Floats:
    """Returns the mean over the classes of the share found (Brodersen et al. 2010, ICPR).

    Not defined with images of one class alone.
    """
    present = sorted(set(predictions.labels.tolist()))
    if len(present) < 2:
        return np.full(weights.shape[:-1], np.nan)
    truth = predictions.one_hot[:, present]
    correct = (predictions.predicted == predictions.labels).astype(float)[:, None]
    return _mean(_ratio(weights @ (truth * correct), weights @ truth))


def precision(predictions: Predictions, weights: Floats) -> Floats:
    """Returns TP / (TP + FP); 0 for a class that has images and was never named."""
    hits, images, named, _ = _counts(predictions, weights)
    never_named = (named == 0) & (images > 0)
    return _mean(np.where(never_named, 0.0, _ratio(hits, named)))


def sensitivity(predictions: Predictions, weights: Floats) -> Floats:
    """Returns TP / (TP + FN), the recall."""
    hits, images, _, _ = _counts(predictions, weights)
    return _mean(_ratio(hits, images))


def specificity(predictions: Predictions, weights: Floats) -> Floats:
    """Returns TN / (TN + FP)."""
    hits, images, named, total = _counts(predictions, weights)
    return _mean(_ratio(total - images - named + hits, total - images))


def f1(predictions: Predictions, weights: Floats) -> Floats:
    """Returns 2 TP / (2 TP + FP + FN) (van Rijsbergen 1979, the harmonic mean of the two above)."""
    hits, images, named, _ = _counts(predictions, weights)
    return _mean(_ratio(2 * hits, images + named))


def auroc(predictions: Predictions, weights: Floats) -> Floats:
    """Returns the area under the ROC curve, ties counted half.

    The Mann-Whitney form (Hanley and McNeil 1982, Radiology 143:29): the chance that an image of
    the class scores above one of the rest. With more than two classes, the mean of each class that
    has images against the rest. Not defined with images of one class alone.
    """
    areas = []
    for index in predictions.scored_classes:
        # One column per distinct score, in ascending order, holds the weight of the images with it.
        _, column = np.unique(predictions.probabilities[:, index], return_inverse=True)
        order = np.argsort(column, kind="stable")
        starts = np.flatnonzero(np.diff(column[order], prepend=-1))
        truth = predictions.one_hot[order, index]
        ordered = weights[..., order]
        positive = np.add.reduceat(ordered * truth, starts, axis=-1)
        negative = np.add.reduceat(ordered * (1 - truth), starts, axis=-1)
        below = np.cumsum(negative, axis=-1) - negative / 2
        pairs = positive.sum(axis=-1) * negative.sum(axis=-1)
        areas.append(_ratio((positive * below).sum(axis=-1), pairs))
    return _mean(np.stack(areas, axis=-1))


def confidence_bins(predictions: Predictions) -> tuple[Floats, Floats, Integers]:
    """Returns, per image: confidence, whether it was right (0.0 or 1.0), and its bin (0 to 9).

    With two classes the confidence is the positive class's probability, and right is the truth;
    with more, those of the likeliest class. Bins are equally wide, closed above.
    """
    if predictions.classes == 2:
        confidence, right = predictions.probabilities[:, 1], predictions.one_hot[:, 1]
    else:
        confidence = predictions.probabilities.max(axis=1)
        right = (predictions.probabilities.argmax(axis=1) == predictions.labels).astype(float)
    edges = np.linspace(0, 1, BINS + 1)[1:-1]
    return confidence, right, np.searchsorted(edges, confidence, side="left")


def expected_calibration_error(predictions: Predictions, weights: Floats) -> Floats:
    """Returns the mean gap of confidence and truth over ten bins (Guo et al. 2017, ICML, eq. 3)."""
    confidence, right, column = confidence_bins(predictions)
    gaps = np.eye(BINS)[column] * (right - confidence)[:, None]
    return _ratio(np.abs(weights @ gaps).sum(axis=-1), weights.sum(axis=-1))


METRICS: dict[str, Callable[[Predictions, Floats], Floats]] = {
    "auroc": auroc,
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "precision": precision,
    "sensitivity": sensitivity,
    "specificity": specificity,
    "f1": f1,
    "expected_calibration_error": expected_calibration_error,
}


def point_values(predictions: Predictions) -> dict[str, float | None]:
    """Returns every metric over the images as they are; None where one is not defined."""
    once = np.ones(len(predictions.labels))
    return {name: number_or_none(metric(predictions, once)) for name, metric in METRICS.items()}


def drawn_values(predictions: Predictions, *, resamples: int, seed: int) -> dict[str, Floats]:
    """Returns what every metric comes to in each resample, [resamples]; NaN where undefined.

    Images are drawn with replacement (Efron and Tibshirani 1993, section 13.3): by one seed the
    same of equally many, whatever the model. Empty where there are fewer than two.
    """
    drawn: dict[str, list[Floats]] = {name: [np.empty(0)] for name in METRICS}
    for weights in resampled(len(predictions.labels), resamples=resamples, seed=seed):
        for name, metric in METRICS.items():
            drawn[name].append(metric(predictions, weights))
    return {name: np.concatenate(parts) for name, parts in drawn.items()}


def with_intervals(
    predictions: Predictions, drawn: Mapping[str, Floats]
) -> dict[str, dict[str, float | None]]:
    """Returns every metric as `value`, `low` and `high`: a 95 % percentile bootstrap interval.

    Resamples in which a metric is not defined do not count for it. An interval is None where the
    metric is, and where nothing was drawn.

    Args:
        predictions: of the images.
        drawn: of `drawn_values`.
    """
    values = point_values(predictions)
    return {name: interval(value, [drawn[name]], INTERVAL) for name, value in values.items()}


def resampled(n: int, *, resamples: int, seed: int) -> Iterator[Floats]:
    """Yields how often each of n images was drawn, [some, n], for some resamples at a time.

    None where there are fewer than two images.
    """
    generator = np.random.default_rng(seed)
    todo = resamples if n > 1 else 0
    while todo > 0:
        some = min(todo, max(1, VALUES_AT_ONCE // n))
        yield generator.multinomial(n, np.full(n, 1 / n), size=some).astype(float)
        todo -= some


def interval(
    value: float | None, drawn: Sequence[Floats], bounds: tuple[float, float]
) -> dict[str, float | None]:
    """Returns a value with the interval of what resamples came to, of those where it is defined."""
    sample = np.concatenate([*drawn, np.empty(0)])
    sample = sample[np.isfinite(sample)]
    known = value is not None and len(sample) > 0
    low, high = np.quantile(sample, bounds) if known else (np.nan, np.nan)
    return {"value": value, "low": number_or_none(low), "high": number_or_none(high)}


def number_or_none(value: Any) -> float | None:
    """Returns a number as a plain one; None where it is not finite."""
    return float(value) if np.isfinite(value) else None
