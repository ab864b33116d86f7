"""A small federation whose server keeps all that reaches it: once protected, and once open.

<folder>/plan.json, observed.json, observing.log
<folder>/<job>/stores/<hospital>/    its store, and its pictures beside it; see `canary_pictures`
<folder>/<job>/kept/, outbox/        what the server kept, and published
<folder>/<job>/federation/           of `own` NVFlare's folders too
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from pathlib import Path
from typing import Any

from fed_assets.federation.half_done import clear_half_done
from fed_assets.federation.origin import Origin
from fed_assets.federation.outbox import written
from fed_assets.federation.plan import PLAN_FILE, FederationPlan
from fed_assets.federation.preload import FEDERATION_MODULES, modules_of
from fed_assets.federation.weights import write_weights
from fed_assets.posture.canary_pictures import ROUNDS, told, write_pictures
from fed_assets.posture.dense_network import CLASSES, CONFIG, initial_weights
from fed_assets.posture.observing import (
    ROUND_SECONDS,
    START_SECONDS,
    TOTAL_SECONDS,
    observer,
    run_all,
)
from fed_assets.privacy.masking_terms import LEAST_HOSPITALS
from fed_assets.sandboxes.controls import JobCode, UpdateProtection
from fed_assets.sandboxes.protection import Protection
from fed_assets.sandboxes.sandbox import Sandbox

PROCESS = "fed_assets.posture.update_process"
EXECUTOR = "fed_assets.hospital.canary_hospital.CanaryHospital"
OWN, OPEN = "own", "open"
KEPT = "kept"
# As few as can hide each other, so that least is hidden in their sum.
HOSPITALS = tuple(f"canary_hospital_{number}" for number in range(1, LEAST_HOSPITALS + 1))


def update_plan(sandbox: Sandbox, root: Path) -> FederationPlan:
    """Writes and returns the plan of a federation whose hospitals send updates of pictures.

    Args:
        sandbox: Whose transport, job code and protection of updates it has.
        root: The folder that all of it goes to.

    Raises:
        StorageError: The folder cannot be written, or is in use.
    """
    private = sandbox.update_protection is UpdateProtection.DIFFERENTIAL_PRIVACY
    measured = sandbox.job_code is JobCode.MEASURED  # whose hospitals have no key to release to it
    seed, weights = secrets.randbelow(1 << 31), root / "initial.safetensors"
    with written("The probes' federation", root):
        root.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        root.mkdir(mode=0o700)
        write_weights(weights, initial_weights(seed))
        plan = FederationPlan(
            sandbox=sandbox.name,
            transport=str(sandbox.transport),
            job_code=str(JobCode.PREINSTALLED if measured else sandbox.job_code),
            update_protection=sandbox.protection.as_record(),
            hospitals=HOSPITALS,
            stores=_stores(root / OWN),
            folder=str(root / OWN / "federation"),
            outbox=str(root / OWN / "outbox"),
            initial_weights=str(weights),
            rounds=len(ROUNDS),
            seed=seed,
            recipe=told(privately=private),
            network=CONFIG,
            classes=CLASSES,
            channels=1,
            quorum=len(HOSPITALS),
            start_timeout_seconds=START_SECONDS,
            round_timeout_seconds=ROUND_SECONDS,
            total_timeout_seconds=TOTAL_SECONDS,
            executor=EXECUTOR,
        )
        plan.write(root / PLAN_FILE)
    write_stores(plan)
    return plan


def opened(plan: FederationPlan) -> FederationPlan:
    """Returns the plan of the same once more, with hospitals that protect nothing.

    They have other pictures, so that nothing of theirs can be taken for the others'.
    """
    job = root_of(plan) / OPEN
    changes: dict[str, Any] = {
        "stores": _stores(job),
        "folder": str(job / "federation"),
        "outbox": str(job / "outbox"),
        "seed": plan.seed + 1,
        "update_protection": Protection().as_record(),
        "recipe": told(privately=False),
    }
    return replace(plan, **changes)


def write_stores(plan: FederationPlan) -> None:
    """Makes the stores of a plan's hospitals, and puts their pictures beside them.

    Raises:
        StorageError: The folder cannot be written, or is in use.
    """
    with written("The probes' federation", Path(plan.folder)):
        for path in map(Path, plan.stores.values()):
            path.mkdir(mode=0o700, parents=True)
            write_pictures(path, plan.seed)


def root_of(plan: FederationPlan) -> Path:
    """Returns the folder that a plan's file lies in."""
    return Path(plan.initial_weights).parent


def observe(plan: FederationPlan, origin: Origin | None) -> None:
    """Has a plan's federation run and observed, and leaves no private key.

    Raises:
        FedAssetsError: A process could not be started. What happens to it then, its notes say.
    """
    modules = (
        *FEDERATION_MODULES,
        "nvflare.fuel.flare_api.flare_api",
        "nvflare.lighter.provisioner",
        PROCESS,
        *modules_of(plan),
    )
    root = root_of(plan)
    try:
        run_all([observer(PROCESS, root)], modules, root, origin)
    finally:
        clear_half_done(Path(plan.folder))


def _stores(job: Path) -> dict[str, str]:
    return {name: str(job / "stores" / name) for name in HOSPITALS}
