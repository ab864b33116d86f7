"""What one federation's report and its MLflow run are made of."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fed_assets.assets.made_on import machine, versions
from fed_assets.assets.stored_references import reference_learning
from fed_assets.federation.admission import Admission
from fed_assets.federation.averaging import rule_of
from fed_assets.federation.data_sources import Source
from fed_assets.federation.roster import Roster
from fed_assets.resources.hospital_runner import COORDINATOR
from fed_assets.resources.tracking import TrackedFederation
from fed_assets.sandboxes.enforcement import numbers_of, shown
from fed_assets.sandboxes.sandbox import Sandbox

SYNTHETIC = "synthetic chest X-rays"


def describe_federation(
    roster: Roster,
    sandbox: Sandbox,
    admission: Admission,
    common: Mapping[str, Any] | None,
    global_model: Mapping[str, Any],
    records: Mapping[str, Mapping[str, Any]],
    threshold: Mapping[str, Any],
    references: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Returns the report of a federation, from what its assets and its hospitals handed on."""
    from fed_assets.reporting.report import ReportInputs, build_report
    from fed_assets.reporting.robust_rules import read_rules

    rule = rule_of(sandbox, roster.aggregation)
    return build_report(
        ReportInputs(
            sandbox=sandbox.name,
            data={
                "name": SYNTHETIC
                if admission.synthetic
                else data_name(roster, admission.participants),
                "test_name": common_test_name(roster, common),
                "digest": admission.digest,
                "test_digest": common["digest"] if common else None,
                # One made-up image is enough: no figure here may pass for a patient's.
                "synthetic": admission.synthetic or bool(common and common["synthetic"]),
                "classes": list(admission.classes),
            },
            roster=[
                hospital.model_dump(include={"id", "name", "region"})
                for hospital in roster.hospitals
            ],
            excluded=admission.excluded,
            left_out=admission.left_out,
            rounds=global_model["rounds"],
            test=records.get(COORDINATOR),
            hospitals={name: records[name] for name in admission.participants if name in records},
            seconds=global_model["seconds"],
            seed=global_model["seed"],
            versions=versions(),
            machine=machine(),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            controls={name: shown(sandbox, name) for name in sandbox.controls()}
            | {"aggregation": str(rule.kind)},
            numbers=numbers_of(sandbox, rule),
            robust_rules=read_rules(),
            suppress_below=sandbox.suppressed_below,
            resumed_from=global_model.get("resumed_from"),
            threshold=threshold,
            reference_learning=reference_learning(roster, sandbox, global_model),
            references=references,
        )
    )


def data_name(roster: Roster, participants: Collection[str]) -> str:
    """Returns what the participants train on: the public set that they share, and their own images.

    Of a hospital's own no more than the kind is told: its folder's name is its own.
    """
    there = [hospital for hospital in roster.hospitals if hospital.id in participants]
    own = [hospital.source.kind for hospital in there if hospital.source is not None]
    named = [_named(roster.data.source)] if len(own) < len(there) else []
    if own:
        kinds = ", ".join(dict.fromkeys(own))
        named.append(f"own images of {len(own)} hospital{'s' if len(own) > 1 else ''} ({kinds})")
    return " and ".join(named)


def common_test_name(roster: Roster, common: Mapping[str, Any] | None) -> str | None:
    """Returns what the common test set is of; None where there is none."""
    if common is None:
        return None
    return SYNTHETIC if common["synthetic"] else _named(roster.data.source)


def _named(source: Source) -> str:
    dataset = getattr(source, "dataset", None)
    path = getattr(source, "path", None)
    return dataset or (Path(path).stem if path else source.kind)


def tracked_federation(
    run_id: str,
    roster: Roster,
    report: Mapping[str, Any],
    global_model: Mapping[str, Any],
    admission: Admission,
) -> TrackedFederation:
    """Returns what MLflow keeps of a federation: one parent run, and one run per hospital."""
    from fed_assets.reporting.report import METRICS
    from fed_assets.reporting.shortfalls import missing_tag

    return TrackedFederation(
        run_id=run_id,
        sandbox=report["sandbox"],
        parameters={
            "roster": roster.title,
            "data": report["data"]["name"],
            "data_digest": report["data"]["digest"],
            "synthetic": report["data"]["synthetic"],
            "seed": global_model["seed"],
            "rounds": report["rounds"],
            "threshold": report["threshold"]["value"],
            **global_model["recipe"],
            **({"suppress_below": report["suppress_below"]} if report["suppress_below"] else {}),
        },
        tags={"outcome": "degraded", "missing": missing_tag(report["shortfalls"])}
        if report["degraded"]
        else {"outcome": "complete"},
        rounds=global_model["rounds"],
        test={name: report["test"][name] for name in METRICS},
        hospitals={
            hospital: {name: entry[name] for name in METRICS}
            for hospital, entry in report["hospitals"].items()
        },
        weights=Path(global_model["final_weights"]),
        network={
            "network": global_model["network"],
            "channels": admission.channels,
            "classes": len(admission.classes),
        },
        image_size=admission.image_size,
    )
