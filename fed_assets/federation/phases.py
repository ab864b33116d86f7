"""What the server asks of hospitals at once: all of a plain round, or a part of a masked one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from nvflare.app_common.abstract.fl_model import FLModel
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from fed_assets.federation.aggregation import Update
from fed_assets.federation.answers import Hidden, read_answer
from fed_assets.federation.carriage import Carriage
from fed_assets.federation.job import TASK
from fed_assets.federation.weights import Weights, payload_bytes

Message = Callable[[str], Any]


@dataclass(frozen=True, kw_only=True)
class Phase:
    """One task for several hospitals.

    Attributes:
        task: Its name.
        round_number: The round that it is of.
        hospitals: Whom it is for.
        quorum: Fewest usable answers.
        limit_seconds: How long it waits for them.
        sent: Has what it takes ready, and yields what makes the message for a hospital.
        to_each: Whether each hospital gets a message of its own, and not all the same.
        patience_seconds: How long it waits for a hospital too that was silent in an earlier round.
        read: Returns a hospital's answer, or why it cannot be used.
    """

    task: str
    round_number: int
    hospitals: Collection[str]
    quorum: int
    limit_seconds: float
    sent: Callable[[], AbstractContextManager[Message]]
    to_each: bool = False
    patience_seconds: float = 0.0
    read: Callable[[str, Any], Update | str]


def training(
    carriage: Carriage,
    weights: Weights,
    file: Path,
    said: Mapping[str, Any],
    bounds: Mapping[str, float],
    *,
    hospitals: Collection[str],
    quorum: int,
    told: Mapping[str, Mapping[str, Any]] | None = None,
    hidden: Hidden | None = None,
) -> Phase:
    """Returns the phase in which hospitals train weights.

    Args:
        carriage: How weights travel.
        weights: The weights.
        file: A safetensors file that holds the same.
        said: What all hospitals are told: `round_number`, `limit_seconds` and what else they take.
        bounds: How large an update may be; see `Protection.bounds`.
        hospitals: Who trains.
        quorum: Fewest updates.
        told: What each hospital is told besides, where it is told anything.
        hidden: Says what is wrong with a hidden update; left out, updates are weights.
    """

    @contextmanager
    def sent() -> Iterator[Message]:
        with carriage.outgoing(weights, file) as (params, where):
            yield lambda hospital: FLModelUtils.to_shareable(
                FLModel(
                    params=params,
                    current_round=said["round_number"],
                    meta={**said, **where, **(told or {}).get(hospital, {})},
                )
            )

    def read(hospital: str, reply: Any) -> Update | str:
        return read_answer(
            hospital,
            reply,
            like=weights,
            bounds=bounds,
            hidden=hidden,
            bytes_down=payload_bytes(weights, {**said, **(told or {}).get(hospital, {})}),
            weights_of=partial(carriage.incoming, hospital),
        )

    return Phase(
        task=TASK,
        round_number=said["round_number"],
        hospitals=hospitals,
        quorum=quorum,
        limit_seconds=said["limit_seconds"],
        sent=sent,
        to_each=told is not None,
        read=read,
    )
