"""One federation run from provisioning to the last round, with hard time limits.

`python -m fed_assets.federation.session PLAN.json` prints one JSON event per line. Give each run a
process of its own: NVFlare's session keeps state and leaves threads behind.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fed_assets.errors import FedAssetsError, JobFailed, QuorumNotMet, StorageError
from fed_assets.federation.admin import Admin
from fed_assets.federation.follow import follow_rounds, wait_for_hospitals
from fed_assets.federation.history import HISTORY_FILE
from fed_assets.federation.job import write_job
from fed_assets.federation.origin import Origin, open_origin
from fed_assets.federation.outbox import forget_failure, read_round
from fed_assets.federation.plan import FederationPlan
from fed_assets.federation.policies import Kits
from fed_assets.federation.processes import running, stop
from fed_assets.federation.progress import Event, Progress
from fed_assets.federation.provision import claim_folder, make_kits
from fed_assets.federation.results import FederationResult, read_result
from fed_assets.federation.site import TEMPORARY

__all__ = ["Event", "Interrupted", "events_to_stdout", "run_federation", "stopped_by_signals"]

ABORT_SECONDS = 3.5


class Interrupted(BaseException):
    """A signal asked the run to stop. No Exception, so that nothing takes it for a failure."""


def run_federation(
    plan: FederationPlan,
    on_event: Callable[[Event], None],
    *,
    open_origin: Callable[[FederationPlan], Origin] = open_origin,
) -> FederationResult:
    """Provisions a federation, runs its job to the last round and stops everything.

    Call it from a thread that outlives the run, best the main thread of a process of its own: its
    processes die with the thread that called. Whatever happens, none of them is left behind; the
    finished rounds stay in the outbox.

    Args:
        plan: What to run.
        on_event: Called with each event, a JSON-ready dict: `provisioned` (`port`), `started`
            (`ready`, `absent`: hospitals), `submitted` (`job_id`), one `round` per round (`round`:
            its record), `finished` (`result`). Each holds `elapsed_seconds` since the start. The
            run goes on when it returns.
        open_origin: Says where its processes come from.

    Raises:
        ProvisioningFailed: No certificates or start-up kits could be made.
        PortTaken: The plan's port is in use.
        FederationDidNotStart: Fewer hospitals than the quorum were ready in time.
        JobFailed: The job was refused, aborted or ended without its last round.
        QuorumNotMet: Too few hospitals gave a usable update in a round.
        StorageError: Something could not be written, or the outbox holds rounds of another run.
        TimeLimitPassed: A hard limit of the plan passed.
    """
    progress = Progress(plan, on_event)
    _check_files(plan)
    port = claim_folder(plan)
    # NVFlare's session zips the job into the temporary folder.
    tempfile.tempdir = str(Path(plan.folder) / TEMPORARY)
    admin = _run_processes(progress, open_origin(plan), port)
    result = read_result(
        plan, seconds=progress.elapsed(), timings=progress.timings, commands=admin.commands
    )
    progress.reached("finished", result=result.as_record())
    return result


def _run_processes(progress: Progress, origin: Origin, port: int) -> Admin:
    """Returns the admin session, closed, whose commands are recorded."""
    plan = progress.plan
    try:
        with progress.timed("provision"):
            kits = make_kits(plan, port)
        progress.reached("provisioned", port=port)
        admin = Admin(kits, Path(plan.folder) / HISTORY_FILE)
        _run_job(progress, kits, admin, origin)
    finally:
        stop(origin)
    return admin


def _run_job(progress: Progress, kits: Kits, admin: Admin, origin: Origin) -> None:
    plan = progress.plan
    start_seconds = min(plan.start_timeout_seconds, progress.left())
    until = progress.elapsed() + start_seconds
    job_id = None
    stopping = progress.elapsed()
    try:
        with running(kits, timeout_seconds=start_seconds, origin=origin) as federation:
            try:
                with progress.timed("start"):
                    admin.connect(max(until - progress.elapsed(), 1.0))
                    wait_for_hospitals(progress, federation, admin, until=until)
                with progress.timed("submit"):
                    job_id = admin.submit(write_job(plan))
                progress.reached("submitted", job_id=job_id)
                follow_rounds(progress, federation, admin, job_id)
                job_id = None
            except (JobFailed, QuorumNotMet, StorageError):
                job_id = None  # it ended by itself
                raise
            finally:
                if job_id is not None:
                    with suppress(Exception):  # the processes are stopped next in any case
                        admin.abort(job_id, ABORT_SECONDS)
                admin.close()
                stopping = progress.elapsed()
    finally:
        progress.timings["stop"] = progress.elapsed() - stopping


def _check_files(plan: FederationPlan) -> None:
    outbox = Path(plan.outbox)
    for round_number in range(plan.start_round, plan.rounds + 1):
        if read_round(outbox, round_number) is not None:
            raise StorageError(
                f"The outbox already holds round {round_number}",
                where=plan.outbox,
                cure="Give each run an outbox of its own, or start after the last round in it",
            )
    if not Path(plan.initial_weights).is_file():
        raise StorageError(
            "The initial weights are missing",
            where=plan.initial_weights,
            cure="Materialize what writes them again",
        )
    forget_failure(outbox)


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Has the first SIGTERM or SIGINT raise `Interrupted` here, and ignores all after it.

    Use it in a process's main thread, around `run_federation`.
    """
    signals = (signal.SIGTERM, signal.SIGINT)

    def interrupt(number: int, _: object) -> None:
        for each in signals:
            signal.signal(each, signal.SIG_IGN)
        raise Interrupted(signal.Signals(number).name)

    before = {each: signal.signal(each, interrupt) for each in signals}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def events_to_stdout() -> Callable[[Event], None]:
    """Returns a function that writes an event per line to stdout, which it keeps for itself.

    All else that this process prints, as NVFlare does, goes to stderr from here on.
    """
    events = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def tell(event: Event) -> None:
        events.write(json.dumps(event) + "\n")
        events.flush()

    return tell


def main() -> int:
    """Runs the plan that argv names; returns 0, or 1 after an event `failed`."""
    tell = events_to_stdout()
    failure: FedAssetsError
    try:
        with stopped_by_signals():
            run_federation(FederationPlan.read(Path(sys.argv[1])), tell)
        return 0
    except FedAssetsError as error:
        failure = error
    except Interrupted as signal_name:
        failure = JobFailed(f"The federation was stopped by {signal_name}")
    except Exception as error:
        traceback.print_exc()
        failure = JobFailed(f"The session broke off with {type(error).__name__}")
    tell({"event": "failed", "error": failure.as_record()})
    return 1


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    # Threads of NVFlare's session that did not end would hold the process for ever.
    os._exit(code)
