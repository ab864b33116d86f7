"""What a registered version is made of: its run's roster, model and report."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from fed_assets.errors import StorageError
from fed_assets.federation.admission import Admission
from fed_assets.federation.code_version import code_version
from fed_assets.registry.version import THE_FEDERATION, ModelVersion
from fed_assets.resources.model_folders import file_digest
from fed_assets.sandboxes.controls import UpdateProtection


def version_record(
    admission: Admission, global_model: Mapping[str, Any], report: Mapping[str, Any]
) -> ModelVersion:
    """Returns the record of a model that is to be registered; its number is 0 yet.

    Args:
        admission: Who was let in.
        global_model: The model.
        report: What the asset `evaluation_report` came to.

    Raises:
        StorageError: Model, roster and report are not of one run, or the weights cannot be read.
    """
    tracked = _of_one_run(admission, global_model, report)
    private = report["controls"]["update_protection"] == UpdateProtection.DIFFERENTIAL_PRIVACY
    spent = {name: each["epsilon"] for name, each in report["sent"].items()}
    budget = report["numbers"].get("update_protection", {}).get("epsilon")
    return ModelVersion(
        sandbox=report["sandbox"],
        version=0,
        run_id=tracked["run_id"],
        mlflow_run=tracked["mlflow_run"],
        weights_digest=file_digest(Path(global_model["final_weights"])),
        final_digest=global_model["final_digest"],
        data_digest=admission.digest,
        common_test_digest=report["data"]["test_digest"],
        classes=admission.classes,
        channels=admission.channels,
        image_size=admission.image_size,
        network=global_model["network"],
        recipe=global_model["recipe"],
        threshold=report["threshold"]["value"],
        participants=tuple(report["participants"]),
        absent=_absent(report, admission.withdrawn),
        evaluation={"test": report["test"], "hospitals": report["hospitals"]},
        controls=report["controls"],
        epsilon=spent if private else None,
        epsilon_budget=budget if private else None,
        seed=report["seed"],
        rounds=report["rounds"],
        code_version=code_version(),
        synthetic=report["data"]["synthetic"],
        degraded=report["degraded"],
        shortfalls=tuple(report["shortfalls"]),
        created=report["created"],
    )


def _of_one_run(
    admission: Admission, global_model: Mapping[str, Any], report: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Returns by what runs know the report, where all three are of one model.

    Each is the last that was made in the sandbox, and a run that failed in between made some of
    them alone.
    """
    tracked: Mapping[str, Any] = report.get("tracked", {})
    told = tracked.get("weights"), report["data"]["digest"]
    if told != (global_model["final_digest"], admission.digest):
        raise StorageError(
            "The last report is not of the last model",
            where="evaluation_report",
            seen="it was made by an earlier version"
            if not tracked
            else f"weights {str(told[0])[:12]}, and the model's are "
            f"{global_model['final_digest'][:12]}",
            cure="Materialize evaluation_report again, then registered_model",
        )
    return tracked


def _absent(report: Mapping[str, Any], withdrawn: Collection[str]) -> dict[str, str]:
    """Returns what is said of each hospital that was not there all the time, be it on purpose.

    One that withdrew is not in the federation any more, and not absent.
    """
    said: dict[str, list[str]] = {}
    for each in report["shortfalls"]:
        said.setdefault(each["hospital"] or THE_FEDERATION, []).append(each["said"])
    on_purpose = {
        name: [f"{name} did not take part: {reason.rstrip('.')}"]
        for name, reason in report["excluded"].items()
        if name not in said and name not in withdrawn
    }
    return {name: "; ".join(lines) for name, lines in (said | on_purpose).items()}
