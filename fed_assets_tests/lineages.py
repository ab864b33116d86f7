"""What small runs would have recorded, put together by the functions that record it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fed_assets.federation.admission import Admission, admit
from fed_assets.registry.lineage_record import lineage_record
from fed_assets.reporting.report import METRICS, ReportInputs, build_report
from fed_assets.resources.artifact_store import write_whole
from fed_assets.resources.home import Home

THREE = ("north", "east", "south")
RUN = "1a2b3c4d-0000-4000-8000-000000000001"
CLASSES = ["normal", "pneumonia"]


def data_digest(hospital: str, version: int = 1) -> str:
    """Returns the digest of a version of a hospital's data: its letters, and the version."""
    return f"{hospital.encode().hex()}{version:02}".ljust(64, "0")


def tested(value: float, images: int) -> dict[str, Any]:
    """Returns an evaluation in which every metric has one value."""
    metric = {"value": value, "low": value - 0.05, "high": min(1.0, value + 0.05)}
    return {"images": images, "metrics": dict.fromkeys(METRICS, metric)}


def round_of(
    number: int,
    hospitals: Iterable[str],
    *,
    examples: int | None = 100,
    missing: Mapping[str, str] | None = None,
    **answers: Any,
) -> dict[str, Any]:
    """Returns the record of a round, as the federation's controller writes it."""
    return {
        "round_number": number,
        "participants": {
            name: {
                "examples": examples and examples * (at + 1),
                "update_digest": f"{number}{at}".ljust(64, "a"),
                "dataset_digest": data_digest(name),
                **answers,
            }
            for at, name in enumerate(hospitals)
        },
        "missing": dict(missing or {}),
        "global_digest": f"{number}".ljust(64, "f"),
        "seconds": 1.0,
    }


def small_report(
    admission: Admission | None = None,
    rounds: Sequence[Mapping[str, Any]] | None = None,
    **inputs: Any,
) -> dict[str, Any]:
    """Returns the report of a run of three hospitals, by the real function; changed as asked."""
    admission = admission or let_in()
    took_part = rounds or [round_of(number, admission.participants) for number in (1, 2)]
    roster = [{"id": name, "name": f"The {name} hospital", "region": name} for name in THREE]
    given = {
        "sandbox": "minimal",
        "data": {
            "name": "phantoms",
            "digest": admission.digest,
            "synthetic": admission.synthetic,
            "classes": CLASSES,
            "test_digest": "7e" * 32,
        },
        "roster": roster,
        "excluded": admission.excluded,
        "left_out": admission.left_out,
        "rounds": took_part,
        "test": tested(0.9, 40),
        "hospitals": {name: tested(0.85, 9) for name in admission.participants},
        "seconds": 3.0,
        "seed": 7,
        "versions": {"torch": "2.13.0"},
        "machine": {},
        "created": "2026-03-05T14:22:31+00:00",
        "controls": {"update_protection": "none", "aggregation": "fedavg"},
        "threshold": {"value": 0.5, "hospitals": 0},
    }
    return build_report(ReportInputs(**given | inputs))


def let_in(
    hospitals: Sequence[str] = THREE,
    *,
    withdrawn: Mapping[str, str] | None = None,
    synthetic: bool = True,
) -> Admission:
    """Returns who is let in: these of three hospitals, the others left out or withdrawn."""
    images = {
        "admitted": True,
        "reason": "",
        "classes": CLASSES,
        "channels": 1,
        "image_size": 28,
        "synthetic": synthetic,
    }
    validated = {name: images | {"digest": data_digest(name)} for name in THREE}
    others = [name for name in THREE if name not in (*hospitals, *(withdrawn or {}))]
    return admit(THREE, validated, quorum=1, leave_out=others, withdrawn=withdrawn)


def lineage(
    run_id: str = RUN,
    sandbox: str = "minimal",
    *,
    hospitals: Sequence[str] = THREE,
    rounds: Sequence[Mapping[str, Any]] | None = None,
    withdrawn: Mapping[str, str] | None = None,
    hides_updates: bool = False,
    synthetic: bool = True,
    trained_by: str | None = None,
    commands: Sequence[Mapping[str, Any]] = ({"command": "submit_job", "answer": "job-1"},),
    controls: Mapping[str, str] | None = None,
    **inputs: Any,
) -> dict[str, Any]:
    """Returns what a run of three hospitals recorded, by the real functions; changed as asked."""
    admission = let_in(hospitals, withdrawn=withdrawn, synthetic=synthetic)
    known = {"update_protection": "none", "aggregation": "fedavg"}
    report = small_report(
        admission, rounds, sandbox=sandbox, controls=known | dict(controls or {}), **inputs
    )
    record = lineage_record(
        run_id=run_id,
        trained_by=trained_by or run_id,
        report=report,
        global_model={
            "recipe": {"batch_size": 32},
            "network": {"_target_": "monai.networks.nets.ResNet"},
            "parameters": 2922,
            "commands": list(commands),
            "final_digest": report["round_records"][-1]["global_digest"],
        },
        admission=admission.as_record(),
        hides_updates=hides_updates,
        code={"version": "0.1.0", "digest": "c0de".ljust(64, "0")},
        weights_file_digest="fe" * 32,
    )
    read_back: dict[str, Any] = json.loads(json.dumps(record, allow_nan=False))
    return read_back


def put_lineage(home: Home, record: Mapping[str, Any]) -> None:
    """Leaves a run's lineage where the run would."""
    write_whole(home.lineage / f"{record['run_id']}.json", json.dumps(record).encode())
