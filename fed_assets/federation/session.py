"""One federation run from provisioning to the last round, with hard time limits.

`python -m fed_assets.federation.session PLAN.json` prints one JSON event per line. Give each run a
process of its own: NVFlare's session keeps state and leaves threads behind.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fed_assets.errors import FedAssetsError, JobFailed
from fed_assets.federation.live import LiveFederation, check_files, federation_up
from fed_assets.federation.origin import Origin
from fed_assets.federation.plan import FederationPlan
from fed_assets.federation.progress import Event, Interrupted, Progress
from fed_assets.federation.results import FederationResult

__all__ = [
    "Event",
    "Interrupted",
    "events_to_stdout",
    "open_federation",
    "run_federation",
    "stopped_by_signals",
]


def run_federation(
    plan: FederationPlan, on_event: Callable[[Event], None], *, origin: Origin | None = None
) -> FederationResult:
    """Provisions a federation, runs its job to the last round and stops everything.

    Call it from a thread that outlives the run, best the main thread of a process of its own: its
    processes die with the thread that called. Whatever happens, none of them is left behind; the
    finished rounds stay in the outbox.

    Args:
        plan: What to run.
        on_event: Called with each event, a JSON-ready dict: `provisioned` (`port`), `started`
            (`ready`, `absent`: hospitals), `submitted` (`job_id`), one `round` per round (`round`:
            its record), `lost` (`hospital`, `reason`) where one's processes ended, `finished`
            (`result`), after which all is stopped. Each holds `elapsed_seconds` since the start.
            The run goes on when it returns.
        origin: Where its processes come from; if left out, a template of their own.

    Raises:
        ProvisioningFailed: No certificates or start-up kits could be made.
        PortTaken: The plan's port is in use.
        FederationDidNotStart: Fewer hospitals than the quorum were ready in time.
        HospitalRevoked: A hospital of the plan may not take part.
        KitCopied: Somebody logged in with a copy of a hospital's certificate.
        JobFailed: The job was refused, aborted or ended without its last round.
        QuorumNotMet: Too few hospitals gave a usable update in a round.
        StorageError: Something could not be written, or the outbox holds rounds of another run.
        TimeLimitPassed: A hard limit of the plan passed.
    """
    progress = Progress(plan, on_event)
    check_files(plan)
    with federation_up(progress, origin) as federation:
        return federation.run_job(progress)


@contextmanager
def open_federation(
    plan: FederationPlan, on_event: Callable[[Event], None], *, origin: Origin | None = None
) -> Iterator[LiveFederation]:
    """Provisions and starts a federation for several jobs, and stops everything after.

    Args:
        plan: Whose hospitals, transport and executor it is for.
        on_event: Called with `provisioned` and `started`, see `run_federation`.
        origin: Where its processes come from; if left out, a template of their own.

    Raises:
        FedAssetsError: As `run_federation` does.
    """
    with federation_up(Progress(plan, on_event), origin) as federation:
        yield federation


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
