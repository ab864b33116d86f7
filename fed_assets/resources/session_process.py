"""A federation of one run: its session is a process, which reports to Dagster through Pipes."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dagster import (
    AssetExecutionContext,
    PipesFileContextInjector,
    PipesMessageHandler,
    PipesSession,
)
from dagster_pipes import PipesContextData

from fed_assets.errors import JobFailed, TimeLimitPassed, error_from_record
from fed_assets.federation.ended import told
from fed_assets.federation.origin import Origin, Process, stop
from fed_assets.federation.plan import FederationPlan
from fed_assets.federation.program import Program
from fed_assets.federation.results import FederationResult, result_from_record
from fed_assets.resources.hospital_runner import COORDINATOR
from fed_assets.resources.session_messages import WholeLines

SESSION = "fed_assets.resources.session_child"
POLL_SECONDS = 0.1
# The session ends its own processes within this time after it is asked to stop.
STOP_SECONDS = 15.0
# What it said last may still be on its way from the file when it has ended.
LAST_WORD_SECONDS = 2.0
LAST = ("finished", "failed")
Event = dict[str, Any]


def run_session(
    context: AssetExecutionContext,
    plan: FederationPlan,
    on_event: Callable[[Event], None],
    origin: Origin,
    require_wanted: Callable[[], None],
) -> FederationResult:
    """Runs a plan in a process of its own, and returns its result while NVFlare winds down.

    NVFlare's sessions keep threads that never end, and gRPC does not like forks: neither may
    happen in Dagster's own process.

    Args:
        context: the step's.
        plan: what to run.
        on_event: called with each event of the session but the last.
        origin: where the session's process comes from, and all that it starts.
        require_wanted: called again and again; what it raises ends the session.

    Raises:
        FedAssetsError: what the session ended with.
        JobFailed: it ended without a word.
        TimeLimitPassed: it did not keep its own time limit, and was ended.
    """
    folder = Path(plan.folder)
    log = folder / "session.log"
    limit = plan.total_timeout_seconds + STOP_SECONDS
    with (
        _pipes_session(context, folder, {"plan": asdict(plan)}) as session,
        _process(origin, session.get_bootstrap_env_vars(), folder, log) as process,
    ):
        for event in _events(session.get_custom_messages, process, limit):
            require_wanted()
            if event is None:
                continue
            if event["event"] == "finished":
                return result_from_record(event["result"])
            if event["event"] == "failed":
                raise error_from_record(event["error"])
            on_event(event)
        how = told(process.ended())
    if reason := origin.broken():  # the session is forked from it too, and could not say so
        raise JobFailed(
            "The process that all others are forked from ended", where=str(log.parent), seen=reason
        )
    raise JobFailed(f"The federation's session ended ({how})", where=str(log))


@contextlib.contextmanager
def _pipes_session(
    context: AssetExecutionContext, folder: Path, extras: dict[str, Any]
) -> Iterator[PipesSession]:
    """Yields a Pipes session whose files lie in the run's own folder.

    Not `open_pipes_session`: after it, Dagster demands every output of the asset, and a hospital
    that dropped out has none.
    """
    data = PipesContextData(
        asset_keys=None,
        code_version_by_asset_key=None,
        provenance_by_asset_key=None,
        partition_key=context.partition_key,
        partition_key_range=None,
        partition_time_window=None,
        run_id=context.run.run_id,
        job_name=context.run.job_name,
        retry_number=context.retry_number,
        extras=extras,
    )
    # What the session told stays beside the rounds, and goes to the container where there is one.
    reader = WholeLines(folder / "pipes-messages.jsonl")
    handler = PipesMessageHandler(context, reader)
    injector = PipesFileContextInjector(str(folder / "pipes-context.json"))
    with injector.inject_context(data) as injected, handler.handle_messages() as messages:
        yield PipesSession(
            context_data=data,
            message_handler=handler,
            context_injector_params=injected,
            message_reader_params=messages,
            context=context,
        )


@contextlib.contextmanager
def _process(
    origin: Origin, bootstrap: Mapping[str, str], folder: Path, log: Path
) -> Iterator[Process]:
    """Yields the session's process; where that is left by an error, it is ended with all it did."""
    program = Program(
        title=SESSION,
        module=SESSION,
        arguments=(),
        folder=str(folder),
        temporary=str(folder),
        console=str(log),
        environment=bootstrap,
    )
    process = origin.start(COORDINATOR, program, origin.lent())
    try:
        yield process
    except BaseException:
        process.signal(signal.SIGTERM)
        if not process.gone(STOP_SECONDS):
            stop([process], grace_seconds=STOP_SECONDS)
        raise


def _events(
    messages: Callable[[], Any], process: Process, limit_seconds: float
) -> Iterator[Event | None]:
    """Yields the session's events as they come, until it has ended and all are read.

    Between them comes None, again and again.

    Raises:
        TimeLimitPassed: it runs longer than the limit.
    """
    deadline = time.monotonic() + limit_seconds
    ended_at: float | None = None
    seen = 0
    while True:
        if ended_at is None and process.ended() is not None:
            ended_at = time.monotonic()
        current = messages()
        yield from current[seen:]
        seen = len(current)
        spoken = bool(current) and current[-1]["event"] in LAST
        if ended_at is not None and (spoken or time.monotonic() > ended_at + LAST_WORD_SECONDS):
            return
        if time.monotonic() > deadline:
            raise TimeLimitPassed(
                "The federation's session passed its time limit",
                seen=f"it ran for more than {limit_seconds:.0f} s",
            )
        yield None
        time.sleep(POLL_SECONDS)
