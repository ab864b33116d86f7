"""What the session waits for: hospitals that register, rounds that are published."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fed_assets.errors import FederationDidNotStart, JobFailed, QuorumNotMet, TimeLimitPassed
from fed_assets.federation.admin import Admin
from fed_assets.federation.alarms import fail_on_alarm
from fed_assets.federation.elsewhere import why_ended
from fed_assets.federation.ended import read_ended, told
from fed_assets.federation.lost import Loss, note_lost
from fed_assets.federation.outbox import read_failure, read_round
from fed_assets.federation.plan import SERVER, FederationPlan
from fed_assets.federation.processes import Federation
from fed_assets.federation.progress import Progress
from fed_assets.federation.revocations import turned_away

STATUS_SECONDS = 1.0
# NVFlare's status of a job that it has not begun.
WAITING = "SUBMITTED"


def wait_for_hospitals(
    progress: Progress, federation: Federation, admin: Admin, *, until: float
) -> None:
    """Waits until every hospital's client has registered, or until no more can be expected.

    Args:
        progress: The run's clock; gets the event `started`.
        federation: The processes.
        admin: A session that is logged in.
        until: When to stop waiting, in seconds since the run's start.

    Raises:
        FederationDidNotStart: Fewer clients than the quorum registered.
        KitCopied: Somebody logged in with a copy of a hospital's certificate.
        JobFailed: The server ended.
        TimeLimitPassed: The run's hard limit passed.
    """
    wanted = set(progress.plan.hospitals)
    while True:
        ended = federation.ended()
        _fail_without_server(federation, ended)
        fail_on_alarm(federation.kits)
        ready = admin.clients() & wanted
        if ready | ended.keys() >= wanted or progress.elapsed() > until:
            break
        progress.left()
        time.sleep(0.1)
    absent = sorted(wanted - ready)
    if len(ready) < progress.plan.quorum:
        raise FederationDidNotStart(
            f"{len(ready)} of {len(wanted)} hospitals are ready, and the quorum is "
            f"{progress.plan.quorum}; not ready: {', '.join(absent)}",
            where=", ".join(str(federation.console(name)) for name in absent),
        )
    progress.reached("started", ready=sorted(ready), absent=absent)


def follow_rounds(progress: Progress, federation: Federation, admin: Admin, job_id: str) -> None:
    """Tells of every round as soon as it is published, and returns after the last.

    A hospital whose processes end before, or that is revoked, is noted as lost, which the server's
    controller reads, and told of once by the event `lost` (`hospital`, `reason`).

    Raises:
        FedAssetsError: What the controller published as the job's failure.
        KitCopied: Somebody logged in with a copy of a hospital's certificate.
        QuorumNotMet: Too few hospitals are left before the job has begun.
        JobFailed: The server, its job process or the job as a whole ended before.
        StorageError: The loss of a hospital could not be noted.
        TimeLimitPassed: The run's hard limit passed.
    """
    plan, outbox = progress.plan, Path(progress.plan.outbox)
    submitted = asked = answered = progress.elapsed()
    round_number = plan.start_round
    lost: set[str] = set()
    revoked: dict[str, Loss] = {}
    while True:
        # What has ended before what was published: after its end, nothing more is published.
        ended = federation.ended()
        fail_on_alarm(federation.kits, but_for=revoked)
        losses = {**_losses(federation, ended, job_id), **revoked}
        server_job = read_ended(federation.kits.server, job_id)
        meta: Mapping[str, Any] = {}
        if SERVER not in ended and progress.elapsed() - asked > STATUS_SECONDS:
            try:
                meta = admin.job(job_id)
                answered = progress.elapsed()
            except (JobFailed, TimeLimitPassed):
                # A machine that is short of processors leaves questions unanswered for long, and
                # the job goes on: what ends a silent server is the round's own limit.
                if progress.elapsed() - answered > plan.round_timeout_seconds:
                    raise
            revoked |= _turn_away(federation, admin, plan, revoked)
            asked = progress.elapsed()
        while (record := read_round(outbox, round_number)) is not None:
            progress.timings.setdefault("first_round", progress.elapsed() - submitted)
            progress.reached("round", round=record)
            if round_number == plan.rounds:
                progress.timings["job"] = progress.elapsed() - submitted
                return
            round_number += 1
        if failure := read_failure(outbox):
            raise failure
        _fail_without_server(federation, ended)
        if server_job is not None:
            raise JobFailed(
                "The server's job process ended before the last round",
                where=str(federation.console(SERVER)),
                seen=told(server_job["code"]),
            )
        if str(meta.get("status", "")).startswith("FINISHED"):
            raise _job_failure(federation, meta)
        for name in losses.keys() - lost:
            note_lost(Path(plan.folder), name, losses[name])
            progress.reached("lost", hospital=name, reason=losses[name].reason)
            lost.add(name)
        # No controller is there yet to give up, and NVFlare would wait for clients for ever.
        if meta.get("status") == WAITING and len(plan.hospitals) - len(lost) < plan.quorum:
            raise _too_few_left(plan, losses)
        progress.left()
        time.sleep(0.02)


def _turn_away(
    federation: Federation, admin: Admin, plan: FederationPlan, known: Mapping[str, Loss]
) -> dict[str, Loss]:
    """Has the server refuse hospitals that were revoked lately, and returns them as lost."""
    losses = {}
    for name in turned_away(plan).keys() - known.keys():
        admin.disable(name)
        losses[name] = Loss("it was revoked", str(federation.console(name)))
    return losses


def _losses(federation: Federation, ended: Mapping[str, int], job_id: str) -> dict[str, Loss]:
    """Returns each hospital whose client or job process has ended, and which of them how."""
    losses = {}
    for name, workspace in federation.kits.hospitals.items():
        console = str(federation.console(name))
        if name in ended:
            why = why_ended(workspace) or f"its client ended ({told(ended[name])})"
            losses[name] = Loss(why, console)
        elif (job := read_ended(workspace, job_id)) is not None:
            losses[name] = Loss(f"its job process ended ({told(job['code'])})", console)
    return losses


def _too_few_left(plan: FederationPlan, losses: Mapping[str, Loss]) -> QuorumNotMet:
    left = len(plan.hospitals) - len(losses)
    return QuorumNotMet(
        f"{left} of {len(plan.hospitals)} hospitals are left before the first round, and the "
        f"quorum is {plan.quorum}",
        where=", ".join(loss.console for loss in losses.values()),
        seen="; ".join(f"{name}: {loss.reason}" for name, loss in losses.items()),
    )


def _fail_without_server(federation: Federation, ended: Mapping[str, int]) -> None:
    if reason := federation.origin.broken():
        raise JobFailed(
            "The process that all others are forked from ended",
            where=str(federation.kits.server.parent),
            seen=reason,
        )
    if SERVER in ended:
        raise JobFailed(
            "The server's process ended",
            where=str(federation.console(SERVER)),
            seen=told(ended[SERVER]),
        )


def _job_failure(federation: Federation, meta: Mapping[str, Any]) -> JobFailed:
    """Returns an error that says which sites refused the job, where one did."""
    deployed = [str(line) for line in meta.get("job_deploy_detail") or []]
    refusals = [line for line in deployed if not line.endswith(": OK")]
    return JobFailed(
        "The job ended without its last round",
        where=str(federation.console(SERVER)),
        seen="; ".join([str(meta["status"]), *refusals]),
    )
