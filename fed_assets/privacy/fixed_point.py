"""Updates as whole numbers, of which a sum can be had without any of them being seen alone.

As words, modulo 2^32, masks can be added to them and fall out of a sum. Hospital u of n counts e_u
images. It tells the others the least power of two p_u >= e_u, no more; all reckon
w_u = e_u / (p_1 + ... + p_n), so that every w_u is positive and together they are at most 1. With
x_u its update, clipped to the L2 norm C, it sends the words

    round(w_u x_u / step)  and  round(w_u / (1 / ROOM)),   step = C / ROOM,   ROOM = 2^31 - 2^16.

Learned arrays and running statistics are clipped apart, each with a C of its own; see `clipping`.
No coordinate of x_u exceeds its norm, so of the sum over any of the hospitals

    |sum round(w_u x_u / step)| <= C / step * sum w_u + n / 2 <= ROOM + n / 2 < 2^31,

which never wraps while n < 2^17, whatever C, n and the counts are. The weighted mean is the
quotient of both sums. Each rounding errs by half a step, and W is the sum of w over those who
answered: the mean is off by at most n C / (ROOM W), with n = 10, C = 5 and all answering (W > 1/2)
by 5e-8.

Whole-number arrays, such as counters, are not clipped. They travel by a step of their own, for
changes of at most 2^16 a round, and their mean is rounded to the nearest as plain averaging does;
where it lies halfway between two, either may come out.

As plain whole numbers they go into a sum that is encrypted; see `encrypted_sums`. Then ROOM is
another, and w_u = e_u / 2^20, for nobody has to know the other counts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from fed_assets.errors import JobFailed, RunConfigError
from fed_assets.privacy.clipping import learned_of, statistics_of, update_norm
from fed_assets.privacy.statistics import is_learned, is_statistic

Arrays = Mapping[str, np.ndarray[Any, Any]]
Bounds = Mapping[str, float]  # `max_norm` of learned arrays, `max_statistics_norm` of statistics
Words = dict[str, np.ndarray[Any, np.dtype[np.uint32]]]
Steps = dict[str, np.ndarray[Any, np.dtype[np.int64]]]

WORD = np.dtype("<u4")
ROOM = 2**31 - 2**16
MOST_CHANGE = 2**16  # of a whole number, in one round
WEIGHT = "the weight of an update"  # beside the arrays; no network names one so


def rounded_up(examples: int) -> int:
    """Returns the least power of two that is no less than a number of images."""
    return 1 << (examples - 1).bit_length()


def changes(local: Arrays, received: Arrays, bounds: Bounds) -> Arrays:
    """Returns what a hospital changed, as float64: each part clipped to its own L2 norm.

    Args:
        local: The arrays after training.
        received: Those that it began with.
        bounds: The norms C; see `clipping`.

    Raises:
        RunConfigError: A change is not finite.
    """
    changed = {
        name: np.asarray(np.subtract(array, received[name], dtype=np.float64))
        for name, array in local.items()
    }
    for part, most in (
        (learned_of(received), bounds["max_norm"]),
        (statistics_of(received), bounds["max_statistics_norm"]),
    ):
        norm = update_norm(local, part)
        if not math.isfinite(norm):
            raise _not_addable("changes that are not finite")
        if norm > most:
            for name in part:
                changed[name] *= most / norm  # in place: it is ours
    return changed


def encoded(changed: Arrays, share: float, like: Arrays, bounds: Bounds) -> Words:
    """Returns the words of an update and of its weight; see `in_steps`."""
    steps = in_steps(changed, share, like, bounds, ROOM)
    return {name: np.asarray(array.astype(WORD), order="C") for name, array in steps.items()}


def in_steps(changed: Arrays, share: float, like: Arrays, bounds: Bounds, room: int) -> Steps:
    """Returns an update and its weight as whole numbers.

    Args:
        changed: What `changes` returned.
        share: w of the hospital, above 0 and at most 1.
        like: Arrays of the dtypes that the update had.
        bounds: C.
        room: ROOM, at most 2^50: float64 must hold it.

    Raises:
        RunConfigError: The update could wrap around; nothing of it may leave.
    """
    if not 0 < share <= 1:
        raise _not_addable(f"a weight of {share:g}")
    steps: Steps = {}
    for name, change in changed.items():
        most = _most(name, like[name], bounds)
        # What clipping leaves exceeds C by rounding errors alone. Written so that NaN fails too.
        if change.size and not np.abs(change).max() <= most * (1 + 1e-9):
            raise _not_addable(f"a change above {most:g}")
        steps[name] = np.rint(change * (share * room / most)).astype(np.int64)
    steps[WEIGHT] = np.array([round(share * room)])
    return steps


def decoded(total: Arrays, received: Arrays, bounds: Bounds) -> dict[str, np.ndarray[Any, Any]]:
    """Returns the weighted mean of the weights, of the sum modulo 2^32 of words without masks.

    Raises:
        JobFailed: The sum cannot be one of updates, as where a mask is left in it.
    """
    return mean_of({name: _signed(words) for name, words in total.items()}, received, bounds, ROOM)


def mean_of(
    total: Arrays, received: Arrays, bounds: Bounds, room: int
) -> dict[str, np.ndarray[Any, Any]]:
    """Returns the weighted mean of the weights, of a sum of what `in_steps` returned.

    Args:
        total: The sum.
        received: The weights that the hospitals began with.
        bounds: C.
        room: ROOM.

    Raises:
        JobFailed: The sum cannot be one of updates.
    """
    weight = int(total[WEIGHT][0]) / room
    if not 0 < weight <= 1 + 1e-4:
        raise _no_mean(f"a sum of weights of {weight:g}")
    mean = {}
    for name, array in received.items():
        most = _most(name, array, bounds)
        change = total[name] * (most / room / weight)
        # Half a step of rounding for each of at most 2^16 hospitals.
        if change.size and not np.abs(change).max() <= most * (1 + 2**15 / room / weight):
            raise _no_mean(f"a change above {most:g} in the mean")
        value = array.astype(np.float64) + change
        rounded = value if np.issubdtype(array.dtype, np.floating) else np.rint(value)
        mean[name] = np.asarray(rounded, dtype=array.dtype)
    return mean


def in_words(weights: Arrays) -> Words:
    """Returns arrays, without content, of the form that the words of such weights have."""
    forms = {name: array.shape for name, array in weights.items()}
    return {
        name: np.broadcast_to(np.zeros((), WORD), shape)
        for name, shape in {**forms, WEIGHT: (1,)}.items()
    }


def in_a_row(arrays: Arrays) -> np.ndarray[Any, Any]:
    """Returns all elements of named arrays, [n], in the order of their names."""
    return np.concatenate([arrays[name].reshape(-1) for name in sorted(arrays)])


def by_name(row: np.ndarray[Any, Any], forms: Arrays) -> dict[str, np.ndarray[Any, Any]]:
    """Returns the arrays of these names and shapes of which `in_a_row` made a row."""
    arrays, start = {}, 0
    for name in sorted(forms):
        end = start + forms[name].size
        arrays[name] = row[start:end].reshape(forms[name].shape)
        start = end
    return arrays


def _most(name: str, array: np.ndarray[Any, Any], bounds: Bounds) -> float:
    if is_statistic(name):
        return bounds["max_statistics_norm"]
    return bounds["max_norm"] if is_learned(name, array) else MOST_CHANGE


def _signed(words: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.int32]]:
    return words.astype(WORD, copy=False).view("<i4")


def _not_addable(seen: str) -> RunConfigError:
    return RunConfigError("An update cannot be hidden in a sum", seen=seen)


def _no_mean(seen: str) -> JobFailed:
    return JobFailed(
        "What came out of the sum of the updates is no sum of updates",
        seen=seen,
        cure="Look which hospital runs another version, leave it out and run again",
    )
