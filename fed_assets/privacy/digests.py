"""One digest per set of weights, the same on both sides of the wall."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np


def weights_digest(weights: Mapping[str, np.ndarray[Any, Any]]) -> str:
    """Returns the sha256 (hex) of named arrays, whatever their order.

    Per array, by name: a JSON list of name, dtype and shape, then the bytes in C order. The list
    says where the bytes end, so that no two sets of arrays give the same text to digest.
    """
    digest = hashlib.sha256()
    for name in sorted(weights):
        array = np.asarray(weights[name], order="C")
        digest.update(json.dumps([name, array.dtype.str, array.shape]).encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
