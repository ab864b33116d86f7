"""A federation that is up: server and hospitals ready for jobs, one after another."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from fed_assets.errors import PortTaken, QuorumNotMet, StorageError
from fed_assets.federation.admin import Admin
from fed_assets.federation.follow import follow_rounds, wait_for_hospitals
from fed_assets.federation.half_done import clear_half_done
from fed_assets.federation.history import HISTORY_FILE
from fed_assets.federation.job import write_job
from fed_assets.federation.origin import Origin, open_origin
from fed_assets.federation.outbox import forget_failure, read_round
from fed_assets.federation.plan import SERVER, FederationPlan
from fed_assets.federation.policies import Kits
from fed_assets.federation.preload import FEDERATION_MODULES, modules_of
from fed_assets.federation.processes import Federation, running
from fed_assets.federation.progress import Event, Progress
from fed_assets.federation.provision import (
    claim_folder,
    free_port,
    make_kits,
    withdraw_kits,
)
from fed_assets.federation.results import FederationResult, read_result
from fed_assets.federation.revocations import require_none_revoked
from fed_assets.federation.site import TEMPORARY
from fed_assets.federation.small_network import require_small

ABORT_SECONDS = 3.5
# How often a port that somebody took after it was found free is exchanged for another.
PORT_TRIES = 3


@dataclass(frozen=True)
class LiveFederation:
    """Server and hospitals that run and wait for jobs.

    Attributes:
        federation: Their processes.
        admin: A session that is logged in.
    """

    federation: Federation
    admin: Admin

    def run(
        self,
        plan: FederationPlan,
        on_event: Callable[[Event], None],
        *,
        stopped: Callable[[], bool] = lambda: False,
    ) -> FederationResult:
        """Runs a job to its last round, and returns while NVFlare winds it down.

        Args:
            plan: What to run, for the hospitals of this federation; its folder and its outbox are
                the job's own.
            on_event: Called with each event, see `session.run_federation`.
            stopped: Asked again and again whether the job is to be aborted.

        Raises:
            FedAssetsError: As `session.run_federation` does; the federation stays up.
            Interrupted: The job was aborted.
        """
        check_files(plan)
        folder = Path(plan.folder)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.admin.history = folder / HISTORY_FILE
        return self.run_job(Progress(plan, on_event, stopped))

    def run_job(self, progress: Progress) -> FederationResult:
        """Runs the job of a plan whose clock runs already."""
        plan = progress.plan
        require_none_revoked(plan)
        job_id = None
        try:
            with progress.timed("submit"):
                job_id = self.admin.submit(write_job(plan))
            progress.reached("submitted", job_id=job_id)
            follow_rounds(progress, self.federation, self.admin, job_id)
        except (QuorumNotMet, StorageError):
            raise  # its controller ended it
        except BaseException:
            if job_id is not None and SERVER not in self.federation.ended():
                with suppress(Exception):  # what is to blame is raised below
                    self.admin.abort(job_id, ABORT_SECONDS)
            raise
        result = read_result(
            plan,
            seconds=progress.elapsed(),
            timings=progress.timings,
            commands=self.admin.commands,
        )
        progress.reached("finished", result=result.as_record())
        return result


@contextmanager
def federation_up(progress: Progress, origin: Origin | None = None) -> Iterator[LiveFederation]:
    """Provisions a federation, starts it, waits for its hospitals, and stops everything after.

    Args:
        progress: The clock of the plan to provision for, which gets the events `provisioned` and
            `started`.
        origin: Where its processes come from; if left out, one is opened, and closed after.

    Raises:
        ProvisioningFailed: No certificates or start-up kits could be made.
        PortTaken: The plan's port is in use.
        FederationDidNotStart: Fewer hospitals than the quorum were ready in time.
        JobFailed: The server ended.
        StorageError: Something could not be written.
        TimeLimitPassed: The plan's hard limit passed.
    """
    plan = progress.plan
    port = claim_folder(plan)
    temporary = Path(plan.folder) / TEMPORARY
    # NVFlare's session zips the job into the temporary folder.
    tempfile.tempdir = str(temporary)
    with ExitStack() as stack:
        stack.callback(clear_half_done, Path(plan.folder))
        if origin is None:
            origin = open_origin(FEDERATION_MODULES, temporary, then=modules_of(plan))
            stack.callback(origin.close)
        until = progress.elapsed() + min(plan.start_timeout_seconds, progress.left())
        federation = _start(progress, origin, port, until, stack)
        admin = Admin(federation.kits, Path(plan.folder) / HISTORY_FILE)
        stack.callback(admin.close)
        with progress.timed("start"):
            admin.connect(max(until - progress.elapsed(), 1.0))
            wait_for_hospitals(progress, federation, admin, until=until)
        yield LiveFederation(federation, admin)


def check_files(plan: FederationPlan) -> None:
    """Makes sure that a plan's job can read what it starts from and write what it makes.

    Raises:
        StorageError: The initial weights are missing, or the outbox holds rounds of another run.
        RunConfigError: The network is too large for what is done to its updates.
    """
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
    require_small(plan)
    forget_failure(outbox)


def _start(
    progress: Progress, origin: Origin, port: int, until: float, stack: ExitStack
) -> Federation:
    """Returns the processes, which the stack stops; a port that was lost is replaced."""
    plan = progress.plan
    for tries_left in reversed(range(PORT_TRIES)):
        with progress.timed("provision"):
            kits = make_kits(plan, port)
        progress.reached("provisioned", port=port)
        try:
            with progress.timed("processes"):
                return _run_processes(progress, kits, origin, until, stack)
        except PortTaken:
            if plan.port or not tries_left:
                raise
        withdraw_kits(plan)
        port = free_port()
    raise AssertionError("the last try returns or raises")


def _run_processes(
    progress: Progress, kits: Kits, origin: Origin, until: float, stack: ExitStack
) -> Federation:
    seconds = max(until - progress.elapsed(), 1.0)
    return stack.enter_context(running(kits, timeout_seconds=seconds, origin=origin))
