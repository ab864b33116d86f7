"""Where measurements are kept, each with the weights that its run ended with."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dagster import AssetExecutionContext

from fed_assets.assets.measurement import measurement, usage_of
from fed_assets.comparison.stored import CURE, require_measured
from fed_assets.errors import StorageError, system_reason
from fed_assets.resources.artifact_store import read_whole, write_whole
from fed_assets.resources.home import Home
from fed_assets.resources.jobs import LIFECYCLE
from fed_assets.sandboxes.presets import SANDBOX_NAMES


def kept_measurements(home: Home) -> Iterator[dict[str, Any]]:
    """Yields what the last whole run of each sandbox with each seed measured.

    Raises:
        StorageError: a record is damaged.
    """
    for sandbox in SANDBOX_NAMES:
        for path in sorted((home.measurements / sandbox).glob("seed_*.json")):
            record = read_whole(path, what="What was measured", cure=CURE.format(path=path))
            if record is not None:
                yield require_measured(record, path)


def keep_measurement(
    context: AssetExecutionContext,
    home: Home,
    report: Mapping[str, Any],
    global_model: Mapping[str, Any],
    *,
    measured: Mapping[str, Any] | None,
    effort: Mapping[str, Any],
    asked_data: str | None,
    resampled: Mapping[str, Any] | None,
) -> None:
    """Keeps what a run measured; of one that did not do all of a lifecycle, nothing.

    Its last weights are kept too, which other runs of the sandbox would push out.

    Args:
        context: the step's.
        home: where.
        report: its report.
        global_model: the model that it came to.
        measured: what it used, see `usage_of`.
        effort: see `effort.effort_of`.
        asked_data: which images it was asked to learn from, of `asked_data.asked_data`.
        resampled: what the common test set's evaluation told of its resamples.

    Raises:
        StorageError: it cannot be written, or the weights cannot be read.
    """
    run = context.run
    whole = run.job_name == LIFECYCLE and run.parent_run_id is None and not run.asset_selection
    if not whole or report["resumed_from"]:
        return
    begun = context.instance.get_run_record_by_id(run.run_id)
    record = measurement(
        report,
        global_model,
        run_id=run.run_id,
        wall_seconds=time.time() - begun.start_time if begun and begun.start_time else None,
        usage=usage_of(measured, own_federation=effort["setup_seconds"] is not None),
        effort=effort,
        asked_data=asked_data,
        resampled=resampled,
    )
    path = home.measurement(report["sandbox"], report["seed"])
    # Weights that are newer than the record are known by their digest for what they are.
    write_whole(
        home.measured_weights(report["sandbox"], report["seed"]),
        _content(Path(global_model["final_weights"])),
    )
    write_whole(path, json.dumps(record, indent=1, allow_nan=False).encode())


def _content(weights: Path) -> bytes:
    try:
        return weights.read_bytes()
    except OSError as error:
        raise StorageError(
            "The global model's weights cannot be read",
            where=str(weights),
            seen=system_reason(error),
            cure="Materialize global_model again.",
        ) from None
