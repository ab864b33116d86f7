"""What resamples of a hospital's open images come to, of the sensitivity where it is lowest.

A hospital tells its sensitivity with an interval, and of its resamples nothing. They are drawn by a
seed that everybody knows, so a thousand of them are a thousand equations on what became of each
single image; and with resamples that nobody could draw again, two models' would still tell on how
many images these differ, which may be few. But where the images are open, the coordinator has them
too, and comes to the very figure that the hospital told: then it tells the resamples, for the
comparison to draw models in pairs that are at their worst at the same hospital.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fed_assets.assets.evaluation import COMMON_SEED, RESAMPLES
from fed_assets.comparison.readings import ROUNDED
from fed_assets.comparison.worst_hospital import METRIC, worst_figure, worst_hospital
from fed_assets.errors import FedAssetsError
from fed_assets.resources.home import Home
from fed_assets.resources.hospital_runner import LocalHospitalRunner
from fed_assets.sandboxes.presets import OPEN_DATA

# Why there are no resamples.
NO_FIGURE = "no sensitivity at the worst hospital was told"
NO_THRESHOLD = "an earlier version measured its run, and kept no threshold: run it again"
OTHER_FIGURE = "its open images do not come to the figure that it told"


def open_sensitivity(
    record: Mapping[str, Any],
    earlier: Mapping[str, Any] | None,
    is_open: Mapping[str, str],
    closed: Mapping[str, str],
    home: Home,
    hospitals: LocalHospitalRunner,
) -> dict[str, Any]:
    """Returns what is known of the worst hospital's resamples: as it was, or by asking for them.

    Args:
        record: the measurement of a run.
        earlier: what this returned for its model; None where it did not.
        is_open: the digests of the hospitals' images that are open, and that the model learned of.
        closed: by other hospital, why its are not.
        home: where the weights are kept.
        hospitals: asks.

    Returns:
        `figure`, as the hospital told it; `hospital`, whose it is; `resampled`, of the task
        `evaluate`, or None, and then `why_not`.
    """
    figure, model = worst_figure(record), record.get("model") or {}
    if earlier is not None and earlier["resampled"] and earlier["figure"] == figure:
        return dict(earlier)
    hospital = worst_hospital(record)
    found = {"figure": figure, "hospital": hospital, "resampled": None, "why_not": None}
    if hospital is None:
        return found | {"why_not": NO_FIGURE}
    if hospital not in is_open:
        return found | {"why_not": closed.get(hospital, NO_FIGURE)}
    if model.get("threshold") is None:
        return found | {"why_not": NO_THRESHOLD}
    asked = {
        "weights": str(home.measured_weights(record["sandbox"], record["seed"])),
        "network": model["network"],
        "threshold": model["threshold"],
        "split": "test",
        "resamples": RESAMPLES,
        "seed": COMMON_SEED,
        "tell_resamples": [METRIC],
    }
    try:
        answer = hospitals.ask(OPEN_DATA, hospital, "evaluate", asked)
    except FedAssetsError as error:
        return found | {"why_not": str(error)}
    if not _alike(answer["metrics"][METRIC], figure):
        return found | {"why_not": OTHER_FIGURE}
    return found | {"resampled": answer["resampled"]}


def _alike(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Returns whether two figures are one: other images, weights or draws come to another."""
    pairs = [(one[name], other[name]) for name in ("value", "low", "high")]
    return all(a == b or (None not in (a, b) and abs(a - b) <= ROUNDED) for a, b in pairs)
