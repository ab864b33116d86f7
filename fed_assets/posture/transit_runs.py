"""Small federations with one hospital that sends canaries, each observed by a process of its own.

<folder>/<name>/    plan.json, observed.json, observing.log, and the federation's own folders
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path

from fed_assets.federation.half_done import clear_half_done
from fed_assets.federation.origin import Origin
from fed_assets.federation.outbox import written
from fed_assets.federation.plan import PLAN_FILE, FederationPlan
from fed_assets.federation.preload import FEDERATION_MODULES
from fed_assets.federation.weights import write_weights
from fed_assets.posture.canaries import EXECUTOR, canary
from fed_assets.posture.observing import (
    ROUND_SECONDS,
    START_SECONDS,
    TOTAL_SECONDS,
    observer,
    run_all,
)
from fed_assets.sandboxes.controls import JobCode
from fed_assets.sandboxes.sandbox import Sandbox

PROCESS = "fed_assets.posture.transit_process"
GUARDED, OPEN = "guarded", "open"
ROUNDS = (1, 2, 3)
COPIES, CERTIFICATES = "copies", "certificates"
HOSPITAL = "canary_hospital"
# What the template loads for both federations and for who observes them.
MODULES = (
    *FEDERATION_MODULES,
    "nvflare.fuel.flare_api.flare_api",
    "nvflare.lighter.provisioner",
    PROCESS,
    "fed_assets.posture.canary_executor",
)


def canary_plan(
    sandbox: Sandbox, root: Path, transport: str, job_code: JobCode | None = None
) -> FederationPlan:
    """Writes and returns the plan of a federation that is made to be attacked.

    Args:
        sandbox: Whose job code it has.
        root: The folder that all of it goes to.
        transport: Its transport.
        job_code: Another job code than the sandbox's.

    Raises:
        StorageError: The folder cannot be written, or is in use.
    """
    # What is measured is preinstalled; the canaries' hospital has no key to release to it.
    job_code = job_code or sandbox.job_code
    if job_code is JobCode.MEASURED:
        job_code = JobCode.PREINSTALLED
    store, weights = root / "store", root / "initial.safetensors"
    seed = secrets.randbelow(1 << 31)
    with written("The probes' federation", root):
        root.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        root.mkdir(mode=0o700)
        store.mkdir(mode=0o700)
        write_weights(weights, canary(seed, 0))
        plan = FederationPlan(
            sandbox=sandbox.name,
            transport=str(transport),
            job_code=str(job_code),
            hospitals=(HOSPITAL,),
            stores={HOSPITAL: str(store)},
            folder=str(root / "federation"),
            outbox=str(root / "outbox"),
            initial_weights=str(weights),
            rounds=len(ROUNDS),
            seed=seed,
            recipe={},
            network={},
            classes=2,
            channels=1,
            quorum=1,
            start_timeout_seconds=START_SECONDS,
            round_timeout_seconds=ROUND_SECONDS,
            total_timeout_seconds=TOTAL_SECONDS,
            executor=EXECUTOR,
        )
        plan.write(root / PLAN_FILE)
    return plan


def observe_all(
    plans: Mapping[str, tuple[FederationPlan, str]], folder: Path, origin: Origin | None
) -> None:
    """Has plans' federations run and observed beside each other, and leaves no private key.

    Args:
        plans: Each plan, and whether its sites are `guarded` or `open`.
        folder: A folder for what an import may write.
        origin: Where processes come from; if left out, a template of their own.

    Raises:
        FedAssetsError: A process could not be started. What happens to it then, its notes say.
    """
    programs = [observer(PROCESS, Path(plan.folder).parent, mode) for plan, mode in plans.values()]
    try:
        run_all(programs, MODULES, folder, origin)
    finally:
        for plan, _ in plans.values():
            _remove_keys(Path(plan.folder))


def _remove_keys(federation: Path) -> None:
    clear_half_done(federation)
    for name in (COPIES, CERTIFICATES):
        shutil.rmtree(federation.parent / name, ignore_errors=True)
