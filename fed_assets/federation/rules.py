"""One round's updates become the next global weights, by the rule that the plan names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fed_assets.errors import JobFailed
from fed_assets.federation.aggregation import Update, fedavg
from fed_assets.federation.robust import (
    multi_krum,
    require_enough,
    trimmed_mean,
    weighted_median,
)
from fed_assets.federation.server_optimizer import step
from fed_assets.federation.weights import Weights
from fed_assets.sandboxes.controls import Aggregation
from fed_assets.sandboxes.protection import Rule


def aggregate(
    rule: Rule,
    updates: Sequence[Update],
    received: Weights,
    state: Mapping[str, np.ndarray[Any, Any]],
    *,
    mean: Weights | None = None,
) -> tuple[Weights, Weights]:
    """Returns the next global weights, and what the rule has to know in the round after.

    The same updates give the same bits, in whatever order they arrived.

    Args:
        rule: How.
        updates: The round's usable updates.
        received: The weights that they started from.
        state: What the round before returned; nothing in the first.
        mean: Their mean, where single updates cannot be seen.

    Raises:
        QuorumNotMet: There are too few updates for what the rule promises.
        JobFailed: The weights would not be finite numbers.
    """
    require_enough(rule, updates)
    weights, next_state = _by(rule, updates, received, state, mean)
    unfinished = [name for name, array in weights.items() if not np.isfinite(array).all()]
    if unfinished:
        raise JobFailed(
            f"The global model diverged: {rule.kind} gives numbers that are not finite",
            where="the roster's `aggregation`",
            seen=f"{len(unfinished)} of {len(weights)} arrays",
            cure="Lower the learning rate, of the hospitals or of the roster's `aggregation`",
        )
    return weights, next_state


def _by(
    rule: Rule,
    updates: Sequence[Update],
    received: Weights,
    state: Mapping[str, np.ndarray[Any, Any]],
    mean: Weights | None,
) -> tuple[Weights, Weights]:
    match rule.kind:
        case Aggregation.WEIGHTED_MEDIAN:
            return weighted_median(updates), {}
        case Aggregation.TRIMMED_MEAN:
            return trimmed_mean(updates, rule.tolerated or 0), {}
        case Aggregation.MULTI_KRUM:
            return multi_krum(updates, rule.tolerated or 0), {}
        case Aggregation.FEDOPT:
            return step(rule, received, mean or fedavg(updates), state)
        case _:  # FedProx differs in how hospitals train
            return mean or fedavg(updates), {}
