"""Which of a model's arrays are learned, and which are running statistics or counters."""

from __future__ import annotations

from typing import Any

import numpy as np

# What torch calls the running statistics of every normalisation that keeps some.
RUNNING = frozenset({"running_mean", "running_var"})


def is_statistic(name: str) -> bool:
    """Returns whether an array of that name holds means or variances of what passed through.

    >>> is_statistic("layer1.0.bn1.running_var"), is_statistic("layer1.0.bn1.weight")
    (True, False)
    """
    return name.rpartition(".")[2] in RUNNING


def is_learned(name: str, array: np.ndarray[Any, Any]) -> bool:
    """Returns whether gradients lead to an array: it is neither a statistic nor a counter."""
    return bool(np.issubdtype(array.dtype, np.floating)) and not is_statistic(name)
