"""What a warm federation is brought up for: the roster's hospitals in one sandbox."""

from __future__ import annotations

from fed_assets.errors import RunConfigError, UnenforcedControl
from fed_assets.federation.averaging import rule_of
from fed_assets.federation.plan import FederationPlan
from fed_assets.federation.revocations import revoked_in
from fed_assets.federation.roster import Roster
from fed_assets.resources.home import Home
from fed_assets.resources.kept import kept_by_all
from fed_assets.sandboxes.controls import Process
from fed_assets.sandboxes.sandbox import Sandbox


def warm_plan(roster: Roster, sandbox: Sandbox, home: Home) -> FederationPlan:
    """Returns a plan to bring a federation up with; each run on it brings rounds of its own.

    Raises:
        IncompatibleControls: The roster asks for another rule than the sandbox promises.
        UnenforcedControl: The sandbox confines its processes, which takes a run's own walls.
        RunConfigError: Hospitals have machines of their own, which join each run anew.
    """
    away = [name for name in roster.hospital_ids if name not in roster.here()]
    if away:
        raise RunConfigError(
            f"The federation of {sandbox.name} does not stay up between runs: hospitals on hosts "
            "of their own, or in Azure ML, join each run by certificates of its own",
            seen=", ".join(away),
            cure=f"Use `fed-assets run {sandbox.name}`; what stays up is `fed-assets federation "
            "door`",
        )
    if sandbox.process is Process.CONFINED:
        raise UnenforcedControl(
            f"The federation of {sandbox.name} does not stay up between runs: it declares "
            "process=confined, and each run builds its own walls",
            cure=f"Use `fed-assets run {sandbox.name}`, which starts a federation of its own",
        )
    revoked = revoked_in(home.revocations, sandbox.name)
    names = tuple(name for name in roster.hospital_ids if name not in revoked)
    limits, folder = roster.federation, home.warm(sandbox.name)
    learning = roster.learning(sandbox.protection)
    return FederationPlan(
        sandbox=sandbox.name,
        transport=str(sandbox.transport),
        job_code=str(sandbox.job_code),
        hospitals=names,
        **kept_by_all(home, sandbox, names),
        aggregation=rule_of(sandbox, roster.aggregation).as_record(),
        folder=str(folder),
        outbox=str(folder / "outbox"),
        initial_weights=str(folder / "initial.safetensors"),
        rounds=roster.rounds,
        seed=roster.seeds[0],
        recipe=learning.recipe.model_dump(),
        network=learning.network,
        classes=len(roster.data.classes or ()),
        channels=0,  # known to a run alone, from the images
        quorum=roster.quorum or len(names),
        port=limits.port,
        start_timeout_seconds=limits.start_timeout_seconds,
        round_timeout_seconds=limits.round_timeout_seconds,
        total_timeout_seconds=limits.total_timeout_seconds,
    )
