"""One report per federation: the global model at every hospital and on the common test set."""

# No `from __future__ import annotations` here: Dagster reads the annotations of asset functions.

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetExecutionContext,
    AssetsDefinition,
    DataVersion,
    MaterializeResult,
    MetadataValue,
)

from fed_assets.assets.effort import effort_of
from fed_assets.assets.everywhere import ask_everywhere
from fed_assets.assets.failures import clear_failures
from fed_assets.assets.kept_lineage import keep_lineage
from fed_assets.assets.kept_measurements import keep_measurement
from fed_assets.assets.measurement import METRICS
from fed_assets.assets.notice import synthetic_notice
from fed_assets.assets.outbox_heads import outbox_heads
from fed_assets.assets.partitions import Materialized, chosen_sandbox, lifecycle_asset
from fed_assets.assets.report_inputs import describe_federation, tracked_federation
from fed_assets.assets.stored_references import references_for_report
from fed_assets.assets.threshold import choose_threshold
from fed_assets.errors import FedAssetsError
from fed_assets.federation.admission import Admission, admission_from_record
from fed_assets.federation.roster import Roster
from fed_assets.reporting.shortfalls import missing_tag
from fed_assets.resources.artifact_store import write_whole
from fed_assets.resources.asked_data import asked_data
from fed_assets.resources.hospital_runner import COORDINATOR, LocalHospitalRunner
from fed_assets.resources.sandboxes import Sandboxes
from fed_assets.resources.settings import Settings
from fed_assets.resources.tracking import Tracking
from fed_assets.sandboxes.sandbox import Sandbox

RESAMPLES = 1000
# Every sandbox and seed draws the same of the same images, for the comparison to pair them.
COMMON_SEED = 0
REPORT_FILE = "report.json"
PAGE_FILE = "report.html"
OUTCOME_TAG = "fed_assets/outcome"
MISSING_TAG = "fed_assets/missing"


def build_evaluation_asset(roster: Roster, settings: Settings) -> AssetsDefinition:
    """Returns the asset `evaluation_report`."""

    @lifecycle_asset(
        group_name="federation",
        kinds={"html", "mlflow"},
        check_specs=[
            AssetCheckSpec(
                "every_hospital_took_part",
                asset="evaluation_report",
                description="No hospital of the roster was missing, in no round.",
            )
        ],
    )
    def evaluation_report(
        context: AssetExecutionContext,
        sandboxes: Sandboxes,
        hospitals: LocalHospitalRunner,
        tracking: Tracking,
        federation_roster: dict[str, Any],
        global_model: dict[str, Any],
    ) -> Materialized:
        """What the global model is worth, on each hospital's own test images and on common ones.

        Every hospital tests the model on its own images and sends back figures alone. Each has a
        95 % interval, which is long where the images are few. Where `reference_models` of the same
        kind were trained, it says what each hospital gains over training alone, and what is lost
        against pooling. `page` is the whole report, for any browser; its pictures are here too
        ([Show Markdown]). `degraded` means that a hospital of
        the roster was missing; the check says which, and in which rounds. One that cannot test the
        model any more is missing too, while the quorum holds without it.
        """
        with clear_failures():
            sandbox = chosen_sandbox(context, sandboxes)
            admission = admission_from_record(federation_roster)
            common = federation_roster["common_test"]
            places = ([COORDINATOR] if common else []) + list(admission.participants)
            threshold = choose_threshold(
                roster, sandbox, admission.participants, global_model, hospitals
            )
            records, failed = evaluate_everywhere(
                places, sandbox, global_model, hospitals, threshold=threshold["value"]
            )
            _require_quorum(admission, failed)
            for name, error in failed.items():
                context.log.error(f"{name} is missing from the report. {error}")
            references = references_for_report(context, settings.home)
            report = describe_federation(
                roster, sandbox, admission, common, global_model, records, threshold, references
            )
            folder = settings.home.report(sandbox.name)
            written = _write_report(report, folder)
            tracked = tracking.log_federation(
                tracked_federation(context.run.run_id, roster, report, global_model, admission)
            )
            effort = effort_of(
                sandbox,
                roster,
                walls_seconds=hospitals.walls_seconds,
                timings=global_model["timings"],
            )
            made_of = keep_lineage(context, settings.home, sandbox, admission, report, global_model)
            measured = hospitals.measured()
            keep_measurement(
                context,
                settings.home,
                report,
                global_model,
                measured=measured,
                effort=effort,
                asked_data=asked_data(roster, data=settings.data, cache=settings.home.cache),
                resampled=records.get(COORDINATOR, {}).get("resampled"),
            )
        if report["degraded"]:
            tags = {OUTCOME_TAG: "degraded", MISSING_TAG: missing_tag(report["shortfalls"])}
            context.instance.add_run_tags(context.run.run_id, tags)
        return MaterializeResult(
            value=report | {"tracked": _known_as(context, global_model, tracked)},
            data_version=DataVersion(global_model["final_digest"]),
            metadata={
                **synthetic_notice(report["data"]["synthetic"]),
                **{name: MetadataValue.md(text) for name, text in written.items()},
                "page": MetadataValue.path(str(folder / PAGE_FILE)),
                "degraded": report["degraded"],
                "synthetic": report["data"]["synthetic"],
                "mlflow_run": tracked,
                **made_of,
                **outbox_heads(_answers(admission, records, failed)),
            },
            check_results=[_took_part(report)],
        )

    return evaluation_report


def _known_as(
    context: AssetExecutionContext, global_model: Mapping[str, Any], tracked: str
) -> dict[str, str]:
    """Returns by what the report and its model are found again: runs, and the weights' digest."""
    weights = global_model["final_digest"]
    return {"run_id": context.run.run_id, "mlflow_run": tracked, "weights": weights}


def evaluate_everywhere(
    places: Sequence[str],
    sandbox: Sandbox,
    global_model: Mapping[str, Any],
    hospitals: LocalHospitalRunner,
    *,
    threshold: float,
) -> tuple[dict[str, dict[str, Any]], dict[str, FedAssetsError]]:
    """Returns an evaluation record per place, and why there is none of others.

    A place is a hospital, or the coordinator with the common test set.
    """
    arguments = {
        "weights": global_model["final_weights"],
        "network": global_model["network"],
        "split": "test",
        "resamples": RESAMPLES,
        "seed": COMMON_SEED,
        "threshold": threshold,
    }
    of_common = {COORDINATOR: {"tell_resamples": METRICS}}
    return ask_everywhere(hospitals, sandbox, places, "evaluate", arguments, of_common)


def _require_quorum(admission: Admission, failed: Mapping[str, FedAssetsError]) -> None:
    """Raises what failed first, where too few hospitals are left, or the common test set is not."""
    left = [name for name in admission.participants if name not in failed]
    if failed and (COORDINATOR in failed or len(left) < admission.quorum):
        raise failed.get(COORDINATOR) or next(iter(failed.values()))


def _answers(
    admission: Admission,
    records: Mapping[str, Mapping[str, Any]],
    failed: Mapping[str, FedAssetsError],
) -> dict[str, Mapping[str, Any]]:
    """Returns what each hospital answered that says where its outbox log ends."""
    told = {name: {"outbox": error.outbox} for name, error in failed.items() if error.outbox}
    return {name: records[name] for name in admission.participants if name in records} | told


def _write_report(report: dict[str, Any], folder: Path) -> dict[str, str]:
    """Writes the report as JSON and as a page; returns what Dagster shows of it, as Markdown.

    Dagster shows less than 1,000 characters at once, and the rest behind a link: so the summary is
    the table alone.
    """
    from fed_assets.reporting.figures import draw_pictures
    from fed_assets.reporting.markdown import (
        gains_markdown,
        metrics_table_markdown,
        picture_markdown,
    )
    from fed_assets.reporting.page import render_page

    page = render_page(report).encode()  # first: what cannot be drawn is not written either
    write_whole(folder / REPORT_FILE, json.dumps(report, indent=1, allow_nan=False).encode())
    write_whole(folder / PAGE_FILE, page)
    pictures = {
        picture.name: picture_markdown(picture.content, picture.alt)
        for picture in draw_pictures(report, media="png")
    }
    words = {"summary": metrics_table_markdown(report), "gains": gains_markdown(report)}
    return words | pictures


def _took_part(report: Mapping[str, Any]) -> AssetCheckResult:
    return AssetCheckResult(
        check_name="every_hospital_took_part",
        passed=not report["degraded"],
        severity=AssetCheckSeverity.WARN,
        description="; ".join(each["said"] for each in report["shortfalls"]) or None,
    )
