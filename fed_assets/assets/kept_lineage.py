"""Where it is kept what each run's model was made of: one file per run, for ever."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dagster import AssetExecutionContext, MetadataValue, TableRecord

from fed_assets.federation.admission import Admission
from fed_assets.federation.code_version import package_digest
from fed_assets.registry.lineage_record import lineage_record
from fed_assets.resources.artifact_store import write_whole
from fed_assets.resources.home import Home
from fed_assets.resources.model_folders import file_digest
from fed_assets.sandboxes.protection import SUM_ALONE
from fed_assets.sandboxes.sandbox import Sandbox


def keep_lineage(
    context: AssetExecutionContext,
    home: Home,
    sandbox: Sandbox,
    admission: Admission,
    report: Mapping[str, Any],
    global_model: Mapping[str, Any],
) -> dict[str, MetadataValue]:
    """Keeps what a run's model was made of, and returns what Dagster shows of it.

    Args:
        context: The step's.
        home: Where.
        sandbox: The run's.
        admission: Who was let in.
        report: The run's report.
        global_model: The model that it came to.

    Raises:
        StorageError: It cannot be written, or the weights cannot be read.
    """
    run = context.run.run_id
    weights = Path(global_model["final_weights"])
    record = lineage_record(
        run_id=run,
        trained_by=trained_by(home, sandbox.name, run, weights),
        report=report,
        global_model=global_model,
        admission=admission.as_record(),
        hides_updates=sandbox.update_protection in SUM_ALONE,
        code={"version": version("fed_assets"), "digest": package_digest()},
        weights_file_digest=file_digest(weights),
    )
    path = home.lineage / f"{run}.json"
    write_whole(path, json.dumps(record, indent=1, allow_nan=False).encode())
    return {
        "lineage": MetadataValue.path(str(path)),
        "made_of": MetadataValue.table([_row(*each) for each in record["hospitals"].items()]),
    }


def _row(name: str, gave: Mapping[str, Any]) -> TableRecord:
    images, epsilon = gave["training_images"], gave["epsilon"]
    return TableRecord(
        {
            "hospital": name,
            "version of its data": ", ".join(each[:12] for each in gave["data_digests"]),
            "training images": "not known" if images is None else str(images),
            "rounds": len(gave["rounds"]),
            "epsilon": "" if epsilon is None else f"{epsilon:.2f}",
        }
    )


def trained_by(home: Home, sandbox: str, run: str, weights: Path) -> str:
    """Returns the run whose federation wrote some weights: this one, or the short id of another."""
    folders = [folder.name for folder in weights.parents if folder.parent.name == sandbox]
    if home.federation(sandbox, run) in weights.parents or not folders:
        return run
    return folders[0]
