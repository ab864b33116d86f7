"""One posture per sandbox: what attempts on its controls showed, and whether it keeps its word."""

# No `from __future__ import annotations` here: Dagster reads the annotations of asset functions.

import json
import os
import platform
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dagster import (
    AssetCheckResult,
    AssetCheckSpec,
    AssetExecutionContext,
    AssetsDefinition,
    MaterializeResult,
    MetadataValue,
    TableRecord,
)

from fed_assets.assets.failures import clear_failures
from fed_assets.assets.partitions import Materialized, chosen_sandbox, lifecycle_asset
from fed_assets.errors import RosterError
from fed_assets.federation.roster import Roster
from fed_assets.posture.at_rest import probes_at_rest
from fed_assets.posture.evidence import Evidence, Outcome, gather
from fed_assets.posture.in_transit import transit_evidence
from fed_assets.posture.in_use import probes_in_use
from fed_assets.posture.posture import Posture, judge
from fed_assets.posture.releasing import probes_of_release
from fed_assets.posture.updates import update_evidence
from fed_assets.resources.artifact_store import write_whole
from fed_assets.resources.audit_folder import audit_folder
from fed_assets.resources.home import Home
from fed_assets.resources.hospital_runner import LocalHospitalRunner
from fed_assets.resources.probing import container_probes, planted_targets
from fed_assets.resources.sandboxes import Sandboxes
from fed_assets.resources.settings import Settings
from fed_assets.sandboxes.sandbox import Sandbox

PAGE_FILE = "posture.html"
VERSIONS = ("fed_assets", "cryptography", "nvflare")


def build_posture_asset(roster: Roster, settings: Settings) -> AssetsDefinition:
    """Returns the asset `security_posture`."""

    @lifecycle_asset(
        group_name="sandbox",
        kinds={"html"},
        deps=["sandbox_controls"],
        check_specs=[
            AssetCheckSpec(
                "sandbox_keeps_its_word",
                asset="security_posture",
                blocking=True,
                description="It was measured to protect at least as far as its controls promise.",
            )
        ],
    )
    def security_posture(
        context: AssetExecutionContext, sandboxes: Sandboxes, hospitals: LocalHospitalRunner
    ) -> Materialized:
        """How far data are protected at rest, in transit and in use, from 0 to 4, by attempts.

        Each attempt is made as whoever runs the federation, beside a control in which the same
        attempt succeeds on something open; without a working control it shows nothing. A level
        counts only if every attempt up to it was made and failed. `page` has all the evidence.
        """
        with clear_failures():
            sandbox = chosen_sandbox(context, sandboxes)
            confinement = hospitals.confinement(sandbox)
            identity = {
                "user": os.geteuid(),
                "confinement": confinement.as_record() if confinement else None,
                "system": platform.release(),
                "versions": {name: version(name) for name in VERSIONS},
                "out_of_reach": [name for name in roster.hospital_ids if name not in roster.here()],
            }
            with audit_folder(settings.home, context.instance, context.run_id) as opened:
                # What lies on machines of their own is out of reach from here, for attempts too.
                evidence = make_attempts(
                    sandbox, identity, attacked(roster), opened, hospitals, settings.home
                )
            posture = judge(sandbox, evidence)
            _write(posture, settings.home)
        for shortfall in posture.shortfalls:
            context.log.error(f"The sandbox does not keep its word. {shortfall}")
        return MaterializeResult(
            value=posture.as_record(),
            metadata={
                **{name: each.level for name, each in posture.standings.items()},
                **{outcome.value: posture.count(outcome) for outcome in Outcome},
                "attempts": MetadataValue.table([_row(each) for each in posture.evidence]),
                "page": MetadataValue.path(str(settings.home.posture(sandbox.name) / PAGE_FILE)),
                "simulated": posture.simulated,
            },
            check_results=[
                AssetCheckResult(
                    check_name="sandbox_keeps_its_word",
                    passed=not posture.shortfalls,
                    description="; ".join(posture.shortfalls) or None,
                    metadata={"promised": MetadataValue.json(dict(posture.promised))},
                )
            ],
        )

    return security_posture


def attacked(roster: Roster) -> Sequence[str]:
    """Returns the hospitals whose processes, files and keys are on this machine.

    Raises:
        RosterError: There is none.
    """
    if not roster.here():
        raise RosterError(
            "An audit attacks hospitals on this machine, and the roster has none here",
            cure="Give the roster a hospital without `azure_ml` or `remote`",
        )
    return roster.here()


def make_attempts(
    sandbox: Sandbox,
    identity: Mapping[str, Any],
    names: Sequence[str],
    opened: Path,
    hospitals: LocalHospitalRunner,
    home: Home,
) -> list[Evidence]:
    """Returns the evidence of every attempt on a sandbox of these hospitals.

    Args:
        sandbox: What is attacked.
        identity: As whom, and with which versions.
        names: The hospitals' ids.
        opened: An empty folder, for what is open on purpose and what is made to be attacked.
        hospitals: Starts their processes.
        home: Where they keep what lasts.

    Raises:
        FedAssetsError: A hospital's store or key cannot be used, or no process be started.
    """
    with ThreadPoolExecutor(max_workers=2) as beside:
        # Federations wait much, for hospitals and for answers that do not come.
        transit = beside.submit(transit_evidence, sandbox, opened / "transit", None, identity)
        updates = beside.submit(update_evidence, sandbox, opened / "updates", None, identity)
        with planted_targets(hospitals, sandbox, names) as targets:
            probes = [
                *probes_at_rest(targets, opened),
                *container_probes(home, targets),
                *probes_in_use(targets),
                *probes_of_release(sandbox, opened / "release"),
            ]
            evidence = [gather(probe, identity) for probe in probes]
        return [*evidence, *transit.result(), *updates.result()]


def _write(posture: Posture, home: Home) -> None:
    from fed_assets.reporting.posture_page import render_posture

    record = posture.as_record()
    page = render_posture(record).encode()  # first: what cannot be shown is not written either
    write_whole(home.posture_record(posture.sandbox), json.dumps(record, indent=1).encode())
    write_whole(home.posture(posture.sandbox) / PAGE_FILE, page)


def _row(evidence: Evidence) -> TableRecord:
    row: dict[str, Any] = {
        "ladder": evidence.ladder,
        "level": evidence.rung,
        "attempt": evidence.probe,
        "outcome": str(evidence.outcome),
        "counted": json.dumps(dict(evidence.attempt)),
        "control": json.dumps(dict(evidence.control)),
        "seconds": evidence.seconds,
    }
    return TableRecord(row)
