"""The process that runs a small federation whose server keeps all that hospitals send it.

`python -m fed_assets.posture.update_process PLAN.json` runs the plan's job, and then the same with
hospitals that protect nothing. NVFlare's session wants a process of its own.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from fed_assets.federation.follow import follow_rounds
from fed_assets.federation.job import write_job
from fed_assets.federation.live import LiveFederation, check_files, federation_up
from fed_assets.federation.origin import Origin, lent_origin
from fed_assets.federation.plan import FederationPlan
from fed_assets.federation.policies import HOST
from fed_assets.federation.progress import Event, Progress
from fed_assets.federation.site import SITES
from fed_assets.posture.evidence import Attempt
from fed_assets.posture.observed_run import leave, noted
from fed_assets.posture.transit_notes import Notes
from fed_assets.posture.update_runs import OPEN, OWN, opened, write_stores
from fed_assets.sandboxes.controls import UpdateProtection

CONTROLLER = "fed_assets.posture.keeping_controller.KeepingController"


def observe(plan: FederationPlan, notes: Notes, origin: Origin | None) -> None:
    """Runs a plan's job and, where it protects updates, the same without.

    Raises:
        FedAssetsError: As `run_federation` does.
    """

    def on_event(event: Event) -> None:
        if event["event"] == "provisioned":
            take_server_over(Path(plan.folder, SITES, HOST))

    progress = Progress(plan, on_event)
    check_files(plan)
    with federation_up(progress, origin) as live:
        _run(live, progress, notes, OWN)
        if plan.update_protection["kind"] != UpdateProtection.NONE:
            open_plan = opened(plan)
            write_stores(open_plan)
            for name, workspace in live.federation.kits.hospitals.items():
                take_protection_away(workspace, name, open_plan)
            Path(open_plan.folder).mkdir(mode=0o700, parents=True)
            _run(live, Progress(open_plan, lambda _: None), notes, OPEN)


def take_server_over(server: Path) -> None:
    """Lets a server that has not started yet run our controller."""
    file = server / "local" / "resources.json"
    resources = json.loads(file.read_text())
    resources["class_allow_list"].append(CONTROLLER)
    file.write_text(json.dumps(resources))


def take_protection_away(workspace: Path, hospital: str, plan: FederationPlan) -> None:
    """Has a hospital protect its updates as a plan says, and keep its files where that says."""
    file = workspace / "local" / "hospital.json"
    identity = json.loads(file.read_text())
    identity |= {**plan.kept(hospital), "update_protection": plan.update_protection}
    file.write_text(json.dumps(identity))


def _run(live: LiveFederation, progress: Progress, notes: Notes, name: str) -> None:
    """Runs one job to its last round, and notes that it was."""
    began = time.monotonic()
    job = write_job(progress.plan)
    config = job / "app" / "config" / "config_fed_server.json"
    content = json.loads(config.read_text())
    content["workflows"][0]["path"] = CONTROLLER
    config.write_text(json.dumps(content))
    follow_rounds(progress, live.federation, live.admin, live.admin.submit(job))
    seconds = f"{time.monotonic() - began:.1f}"
    notes.attempt(name, Attempt(True, {"rounds": progress.plan.rounds, "seconds": seconds}))


def main() -> int:
    """Observes the plan that argv names; returns 0, or 1 after noting what went wrong."""
    file = Path(sys.argv[1])
    notes = Notes(file.parent)
    return noted(lambda: observe(FederationPlan.read(file), notes, lent_origin()), notes)


if __name__ == "__main__":
    leave(main())
