"""What the session waits for: hospitals that register, rounds that are published."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fed_assets.errors import FederationDidNotStart, JobFailed
from fed_assets.federation.admin import Admin
from fed_assets.federation.ended import read_ended
from fed_assets.federation.outbox import read_failure, read_round
from fed_assets.federation.plan import SERVER
from fed_assets.federation.processes import Federation
from fed_assets.federation.progress import Progress

STATUS_SECONDS = 1.0


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
        JobFailed: The server ended.
        TimeLimitPassed: The run's hard limit passed.
    """
    wanted = set(progress.plan.hospitals)
    while True:
        ended = federation.ended()
        _fail_without_server(federation, ended)
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

    Raises:
        FedAssetsError: What the controller published as the job's failure.
        JobFailed: The server, a hospital's job process or the job as a whole ended before.
        TimeLimitPassed: The run's hard limit passed.
    """
    plan, outbox = progress.plan, Path(progress.plan.outbox)
    submitted = asked = progress.elapsed()
    round_number = plan.start_round
    while True:
        # What has ended before what was published: after its end, nothing more is published.
        broken = _first_to_break(federation)
        ended = federation.ended()
        meta: Mapping[str, Any] = {}
        if SERVER not in ended and progress.elapsed() - asked > STATUS_SECONDS:
            meta = admin.job(job_id)
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
        if broken is not None:
            name, code = broken
            raise JobFailed(
                f"The job process of {name} ended before the last round",
                where=str(federation.console(name)),
                seen=f"exit code {code}",
            )
        if str(meta.get("status", "")).startswith("FINISHED"):
            raise _job_failure(federation, meta)
        progress.left()
        time.sleep(0.02)


def _fail_without_server(federation: Federation, ended: Mapping[str, int]) -> None:
    if reason := federation.origin.broken():
        raise JobFailed("The process that all others are forked from ended", seen=reason)
    if SERVER in ended:
        raise JobFailed(
            "The server's process ended",
            where=str(federation.console(SERVER)),
            seen=f"exit code {ended[SERVER]}",
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


def _first_to_break(federation: Federation) -> tuple[str, int] | None:
    """Returns the hospital whose job process was the first to end badly, and its exit code."""
    broken = []
    for name, workspace in federation.kits.hospitals.items():
        ended = read_ended(workspace)
        if ended is not None and ended["code"] != 0:
            broken.append((ended["at"], name, ended["code"]))
    if not broken:
        return None
    _, name, code = min(broken)
    return name, code
