"""What a hospital answered in a round: judged before any of it is used."""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from numbers import Integral, Real
from typing import Any

import numpy as np

from fed_assets.errors import JobFailed, StorageError, one_line
from fed_assets.federation.aggregation import Update
from fed_assets.federation.weights import Weights, difference_in_form, payload_bytes
from fed_assets.privacy.clipping import excess
from fed_assets.privacy.digests import weights_digest

# Header under which an executor that failed may put its error's `as_record()`.
ERROR_HEADER = "fed_assets_error"
ERROR_PARTS = ("what", "where", "seen", "cure")
LONGEST_REASON = 300  # of each part of one
MOST_COUNT = 2**53
METRICS = ("loss", "auroc", "accuracy")
PRIVACY = ("epsilon", "delta", "noise_multiplier")
# What the numbers beside the weights lie between; the others, between 0 and the most of a loss.
_MOST = 1e9
_RANGES = {
    "loss": (-_MOST, _MOST),
    "auroc": (0.0, 1.0),
    "accuracy": (0.0, 1.0),
    "delta": (0.0, 1.0),
}
_SHA256 = re.compile(r"[0-9a-f]{64}")
Hidden = Callable[[object], str | None]
# Judging takes a core, and memory for the largest array several times over.
_ONE_AT_A_TIME = threading.Lock()


def read_answer(
    hospital: str,
    reply: Any,
    *,
    like: Weights,
    bytes_down: int,
    weights_of: Callable[[Any], Mapping[str, np.ndarray[Any, Any]]],
    bounds: Mapping[str, float] | None = None,
    hidden: Hidden | None = None,
) -> Update | str:
    """Returns a hospital's answer as an update, or the reason why it cannot be used.

    Of a hidden update the form is judged, and nothing else: any content is as good as any other,
    and how many images it was learned from is in it.

    Its report holds, as sizes of the content (see `payload_bytes`), `bytes_up` and `bytes_down`.

    Args:
        hospital: The hospital's id, from its certificate.
        reply: NVFlare's Shareable.
        like: The weights that were sent out; the update must have their form.
        bytes_down: Size of what was sent to it.
        weights_of: Gets the weights of an answer, an `FLModel`.
        bounds: How large an update may be, where hospitals promise it; see `Protection.bounds`.
            Where they promise nothing there is no bound: what an honest update comes to depends on
            recipe, network and data, and one made up here would refuse some and stop no careful
            liar.
        hidden: Says what is wrong with what weights are hidden in, where they are.

    Raises:
        StorageError: What came in could not be written.
    """
    from nvflare.apis.fl_constant import ReturnCode
    from nvflare.app_common.utils.fl_model_utils import FLModelUtils

    try:
        if reply.get_return_code() != ReturnCode.OK:
            return refusal(reply)
        model = FLModelUtils.from_shareable(reply)
        weights = weights_of(model)
        with _ONE_AT_A_TIME:
            return _judge(hospital, model, weights, like, bytes_down, bounds or {}, hidden)
    except StorageError:
        raise
    except JobFailed as error:
        return f"its update did not come ({_line(error.seen)}); to mend it: {_line(error.cure)}"
    except Exception as error:  # whatever a hospital sends must not end the round
        return f"its answer is unreadable ({type(error).__name__})"


def clipped_share(updates: Sequence[Update]) -> dict[str, float]:
    """Returns which share of the updates their hospitals scaled down, where they clip."""
    said = [update.report["clipped"] for update in updates if "clipped" in update.report]
    return {"clipped_share": round(sum(said) / len(said), 4)} if said else {}


def _judge(
    hospital: str,
    model: Any,
    weights: Mapping[str, np.ndarray[Any, Any]],
    like: Weights,
    bytes_down: int,
    bounds: Mapping[str, float],
    hidden: Hidden | None,
) -> Update | str:
    from nvflare.app_common.abstract.fl_model import ParamsType

    said = model.meta
    if model.params_type != ParamsType.FULL:
        return "its update is refused: it holds no full weights"
    if fault := hidden(weights) if hidden else difference_in_form(weights, like):
        return f"its update is refused: {_line(fault)}"
    examples = _count(said.get("examples"))
    if examples < 1 and not hidden:
        return "its update is refused: it was learned from no images"
    digest = weights_digest(weights)
    if said.get("update_digest") != digest:
        return "its update is refused: its digest is not that of the weights received"
    if bounds and (exceeded := excess(weights, like, **bounds)):
        return f"its update is refused: its L2 norm is above {exceeded}"
    metrics = model.metrics or {}
    report = {
        **{name: _number(metrics, name) for name in METRICS},
        "examples": None if hidden else examples,
        "seconds": _number(said, "seconds"),
        "bytes_up": payload_bytes(weights if hidden else like, {**said, **metrics}),
        "bytes_down": bytes_down,
        "update_digest": digest,
        "dataset_digest": _digest(said.get("dataset_digest")),
        **_suppressed(said.get("suppressed")),
        **_clipped(said.get("clipped")),
        **_privacy(said),
        "outbox_entries": _count(said.get("outbox_entries")) or None,
        "outbox_head": _digest(said.get("outbox_head")),
    }
    return Update(hospital=hospital, examples=examples, weights=weights, report=report)


def refusal(reply: Any) -> str:
    """Returns the reason that a reply gives that is no answer."""
    reason = f"its executor answered {_line(reply.get_return_code())}"
    # As a cookie where a filter failed before there was anything to answer.
    error = reply.get_header(ERROR_HEADER) or reply.get_cookie(ERROR_HEADER)
    if isinstance(error, Mapping) and error.get("what"):
        what, where, seen, cure = (_line(error.get(part)) for part in ERROR_PARTS)
        at = f" ({'; '.join(filter(None, (where, seen)))})" if where or seen else ""
        mending = f"; to mend it: {cure}" if cure else ""
        reason += f": {what}{at}{mending}"
    return reason


def _line(text: object) -> str:
    return one_line(" ".join(str(text or "").split()))[:LONGEST_REASON].rstrip(".")


def _count(value: object) -> int:
    """Returns a count as JSON can hold it; 0 of what is none."""
    count = int(value) if isinstance(value, Integral) else 0
    return count if 0 <= count <= MOST_COUNT else 0


def _number(said: Mapping[str, Any], name: str) -> float | None:
    """Returns a figure as it is told; None of what cannot be one, and would spoil those of all."""
    value = said.get(name)
    with suppress(OverflowError):  # an integer beyond all floats
        figure = float(value) if isinstance(value, Real) else math.nan
        least, most = _RANGES.get(name, (0.0, _MOST))
        if least <= figure <= most:  # of what is no number, neither holds
            return figure
    return None


def _suppressed(names: object) -> dict[str, list[str]]:
    """Returns which figures a hospital says that it withholds, if any."""
    known = [name for name in METRICS if isinstance(names, list) and name in names]
    return {"suppressed": known} if known else {}


def _clipped(said: object) -> dict[str, bool]:
    """Returns whether a hospital had to scale its update down, where it clips."""
    return {"clipped": said} if isinstance(said, bool) else {}


def _privacy(said: Mapping[str, Any]) -> dict[str, float]:
    """Returns what a hospital says that it has spent of its privacy budget, if anything."""
    figures = {name: _number(said, name) for name in PRIVACY}
    return {name: value for name, value in figures.items() if value is not None}


def _digest(value: object) -> str | None:
    return value if isinstance(value, str) and _SHA256.fullmatch(value) else None
