"""The door to the federation: a plan goes in, rounds come out while they happen."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dagster import (
    AssetExecutionContext,
    ConfigurableResource,
    InitResourceContext,
    PipesFileContextInjector,
    PipesFileMessageReader,
    PipesMessageHandler,
    PipesSession,
)
from dagster_pipes import PipesContextData

from fed_assets.errors import JobFailed, TimeLimitPassed, error_from_record
from fed_assets.federation.plan import FederationPlan
from fed_assets.federation.results import FederationResult, result_from_record
from fed_assets.resources.dead_runs import bury_dead_runs, sign_in

POLL_SECONDS = 0.1
# The session ends its own processes within this time after it is asked to stop.
STOP_SECONDS = 15.0
Event = dict[str, Any]


class LocalFederation(ConfigurableResource[Any]):
    """Runs a federation's session in a child process of this machine, through Dagster Pipes.

    NVFlare's sessions keep threads that never end, and gRPC does not like forks: neither may
    happen in Dagster's own process.
    """

    def setup_for_execution(self, context: InitResourceContext) -> None:
        """Signs the run in and ends those that died, before a step waits for a dead run's place."""
        if context.instance is not None and context.run is not None:
            bury_dead_runs(context.instance)
            sign_in(context.instance, context.run.run_id)

    def run(
        self,
        context: AssetExecutionContext,
        plan: FederationPlan,
        on_event: Callable[[Event], None],
    ) -> FederationResult:
        """Returns the result of a plan; `on_event` hears of each step and round as it happens.

        Raises:
            FedAssetsError: what the session ended with.
            JobFailed: it ended without a word.
            TimeLimitPassed: it did not keep its own time limit, and was ended.
        """
        folder = Path(plan.folder)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        failure: Event | None = None
        finished: Event | None = None
        log = folder / "session.log"
        limit = plan.total_timeout_seconds + STOP_SECONDS
        with (
            _pipes_session(context, folder, {"plan": asdict(plan)}) as session,
            _child(session.get_bootstrap_env_vars(), log) as child,
        ):
            for event in _events(session.get_custom_messages, child, limit):
                if event["event"] == "failed":
                    failure = event
                elif event["event"] == "finished":
                    finished = event
                else:
                    on_event(event)
            code = child.wait()
        if failure is not None:
            raise error_from_record(failure["error"])
        if code != 0 or finished is None:
            raise JobFailed(f"The federation's session ended with code {code}", where=str(log))
        return result_from_record(finished["result"])


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
    reader = PipesFileMessageReader(str(folder / "pipes-messages.jsonl"))
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
def _child(bootstrap: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Yields the running session; whatever happens, it is gone afterwards, with all it started."""
    with open(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", "fed_assets.resources.federation_child", str(os.getpid())],
            env={"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", **bootstrap},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield child
    finally:
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
            try:
                child.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def _events(
    messages: Callable[[], Any], child: subprocess.Popen[bytes], limit_seconds: float
) -> Iterator[Event]:
    """Yields the session's events as they come, until it has ended and all are read.

    Raises:
        TimeLimitPassed: it runs longer than the limit.
    """
    deadline = time.monotonic() + limit_seconds
    seen = 0
    while True:
        ended = child.poll() is not None
        if ended:
            time.sleep(POLL_SECONDS)  # the reader's thread may still hold the last lines
        current = messages()
        yield from current[seen:]
        seen = len(current)
        if ended:
            return
        if time.monotonic() > deadline:
            raise TimeLimitPassed(
                "The federation's session passed its time limit",
                seen=f"it ran for more than {limit_seconds:.0f} s",
            )
        time.sleep(POLL_SECONDS)
