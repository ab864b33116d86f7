"""Whether a training would come to anything that the last one did not come to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dagster import DagsterInstance, DagsterRunStatus

from fed_assets.automation.changed_hospitals import who_is_to_take_part
from fed_assets.federation.asked import asked, otherwise
from fed_assets.federation.code_version import package_digest
from fed_assets.federation.roster import Roster
from fed_assets.resources.artifact_store import read_value, read_whole
from fed_assets.resources.model_records import CURE, LINEAGE
from fed_assets.resources.settings import Settings
from fed_assets.sandboxes.presets import find_sandbox

DAMAGED = "Materialize it again"


def nothing_changed_since(
    roster: Roster, settings: Settings, instance: DagsterInstance, sandbox: str
) -> str | None:
    """Returns the run since which nothing changed that a training would learn from.

    That is the run of the last report, if it succeeded, and if images, hospitals, seed, rounds,
    network, recipe, threshold, controls and code are the same by now. What a run did not record
    counts as changed: a training too many costs seconds, one too few a model.

    Returns:
        The run's id; None where something changed, or no run succeeded.

    Raises:
        StorageError: A record is damaged.
        SandboxError: The sandbox cannot be used.
    """
    home = settings.home
    report = read_value(home, f"evaluation_report/{sandbox}", cure=DAMAGED) or {}
    admission = read_value(home, f"federation_roster/{sandbox}", cure=DAMAGED) or {}
    run_id = (report.get("tracked") or {}).get("run_id", "")
    run = instance.get_run_by_id(run_id) if run_id else None
    if run is None or run.status is not DagsterRunStatus.SUCCESS:
        return None
    made_of = read_whole(home.lineage / f"{run_id}.json", what=LINEAGE, cure=CURE)
    if made_of is None or made_of["data"]["digest"] != admission.get("digest"):
        return None
    same = (
        made_of["code"]["digest"] == package_digest()
        and made_of["seed"] == roster.seeds[0]
        and [each["id"] for each in made_of["roster"]] == list(roster.hospital_ids)
        and {*made_of["hospitals"]} <= {*who_is_to_take_part(roster, settings, sandbox)}
        and not made_of["degraded"]
    )
    wanted = asked(roster, find_sandbox(sandbox, configurable=settings.configurable))
    return run_id if same and not otherwise(_as_measured(made_of), wanted) else None


def _as_measured(made_of: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what `otherwise` holds against what is asked for, of a run's lineage."""
    threshold = made_of["threshold"] or {}
    chosen = threshold.get("hospitals")  # then it is the hospitals', and the roster has no say
    return {
        "rounds": len(made_of["rounds"]),
        "model": {"network": made_of["network"]},
        "trained_with": {"recipe": made_of["recipe"], "numbers": made_of["numbers"]},
        "reference_learning": {} if chosen else {"threshold": threshold.get("value")},
        "controls": made_of["controls"],
    }
