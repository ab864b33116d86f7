"""What keeps a plan from being carried out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from fed_assets.privacy.masking_terms import LEAST_HOSPITALS
from fed_assets.sandboxes.protection import NEEDS_SINGLE_UPDATES

if TYPE_CHECKING:
    from fed_assets.federation.plan import FederationPlan

HOSPITAL_NAME = re.compile(r"[a-z][a-z0-9_]*")
RESERVED_NAMES = {"server", "localhost", "admin", "coordinator"}
TRANSPORTS = ("clear", "mtls")
JOB_CODES = ("submitted", "preinstalled", "measured")
CUSTODIES = ("hospital", "attested", "azure_key_vault")  # of what is sealed
KEPT = (("plain", "none"), *(("sealed", custody) for custody in CUSTODIES))
# What runs where a key is given out only to approved code is measured, and the other way round.
UNMEASURED = {
    ("submitted", "attested"),
    *(("measured", custody) for custody in ("none", *CUSTODIES) if custody != "attested"),
}


def faults_of(plan: FederationPlan) -> list[str]:
    """Returns what is wrong with a plan, a sentence each."""
    names = plan.hospitals
    here = [name for name in names if name not in plan.remote]
    faults = [
        f"hospital id {name!r}; ids match {HOSPITAL_NAME.pattern} and are none of "
        f"{', '.join(sorted(RESERVED_NAMES))}"
        for name in names
        if not HOSPITAL_NAME.fullmatch(name) or name in RESERVED_NAMES
    ]
    faults += [f"no store for {name}" for name in here if name not in plan.stores]
    if (plan.storage, plan.key_custody) not in KEPT:
        faults.append(f"storage {plan.storage!r} with key_custody {plan.key_custody!r}")
    if plan.key_custody in ("hospital", "attested"):
        faults += [f"no key file for {name}" for name in here if name not in plan.key_files]
    if plan.key_custody == "attested":
        faults += [f"no approval for {name}" for name in here if name not in plan.approvals]
        if not plan.executor.startswith("fed_assets."):
            faults.append(f"executor {plan.executor!r}, which stands in no measurement")
    if plan.key_custody == "azure_key_vault":
        faults += [f"no key in a vault for {name}" for name in here if name not in plan.vault_keys]
    if (plan.job_code, plan.key_custody) in UNMEASURED:
        faults.append(f"job_code {plan.job_code!r} with key_custody {plan.key_custody!r}")
    for name, path in [
        ("folder", plan.folder),
        ("outbox", plan.outbox),
        ("initial_weights", plan.initial_weights),
    ]:
        if not Path(path).is_absolute():
            faults.append(f"{name} {path!r} is not an absolute path")
    # NVFlare starts its job processes from a command line that it splits at white space.
    if re.search(r"\s", plan.folder):
        faults.append(f"folder {plan.folder!r} holds white space, which NVFlare cannot use")
    if len(set(names)) != len(names):
        faults.append("a hospital stands in it twice")
    if not HOSPITAL_NAME.fullmatch(plan.sandbox):
        faults.append(f"sandbox {plan.sandbox!r}; names match {HOSPITAL_NAME.pattern}")
    if plan.transport not in TRANSPORTS:
        faults.append(f"transport {plan.transport!r}; it is one of {', '.join(TRANSPORTS)}")
    if plan.job_code not in JOB_CODES:
        faults.append(f"job_code {plan.job_code!r}; it is one of {', '.join(JOB_CODES)}")
    if plan.hides_updates:
        way = str(plan.update_protection["kind"]).replace("_", " ")
        if len(names) < LEAST_HOSPITALS or plan.transport != "mtls":
            faults.append(
                f"{way} of {len(names)} over {plan.transport}; it takes {LEAST_HOSPITALS} over mtls"
            )
        if plan.aggregation["kind"] in NEEDS_SINGLE_UPDATES:
            faults.append(f"{way} with {plan.aggregation['kind']}")
    if plan.suppress_below != 0 and plan.suppress_below < 3:
        faults.append(f"suppress_below {plan.suppress_below}; it is 0, or 3 at least")
    if not 1 <= plan.quorum <= len(names):
        faults.append(f"quorum {plan.quorum} of {len(names)} hospitals")
    if not 1 <= plan.start_round <= plan.rounds:
        faults.append(f"rounds {plan.start_round} to {plan.rounds}")
    if not 0 <= plan.port <= 65535:
        faults.append(f"port {plan.port}")
    limits = (
        plan.start_timeout_seconds,
        plan.round_timeout_seconds,
        plan.total_timeout_seconds,
    )
    if min(limits) <= 0:
        faults.append("a time limit that is not above 0 seconds")
    if plan.certificate_seconds < 0:
        faults.append(f"certificates for {plan.certificate_seconds:g} seconds")
    return faults
