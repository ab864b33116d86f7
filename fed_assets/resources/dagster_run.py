"""One run of a job in a process of its own: started as a person would, followed while it runs."""

from __future__ import annotations

import json
import math
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fed_assets.errors import RunConfigError
from fed_assets.federation.ended import told
from fed_assets.resources.artifact_store import write_whole
from fed_assets.resources.dead_runs import LAUNCH_TAG, PROCESS_TAG, bury_dead_runs, signature
from fed_assets.resources.home import Home
from fed_assets.resources.instance import open_instance
from fed_assets.resources.jobs import DEPLOYMENT, LIFECYCLE, RETRAIN
from fed_assets.resources.run_events import Progress, RunEvents
from fed_assets.resources.run_process import ReadyProcess, RunProcess, running

if TYPE_CHECKING:
    from dagster import DagsterInstance

POLL_SECONDS = 0.3
CONFIG = ".json"  # how a file of run config ends that lies beside a log


@dataclass(frozen=True)
class FinishedRun:
    """How a run ended.

    Attributes:
        run_id: Dagster's id; empty if the run did not come to be.
        succeeded: whether every step did.
        failures: one line per step that failed, with its cure; checks that block count as such.
        log: the file with all that Dagster printed.
    """

    run_id: str
    succeeded: bool
    failures: tuple[str, ...]
    log: Path


@dataclass(frozen=True)
class Launch:
    """A run that is about to start.

    Attributes:
        command: its command line.
        tag: by which Dagster's run is found.
        log: where its output goes.
        measured: whether it is measured, up to its report.
    """

    command: tuple[str, ...]
    tag: str
    log: Path
    measured: bool = False


def run_config(
    job: str, *, training: Mapping[str, Any], leave_out: Sequence[str]
) -> dict[str, Any]:
    """Returns Dagster's run config for what a run changes of the roster; None changes nothing.

    Raises:
        RunConfigError: a value is out of range, or the job cannot leave a hospital out.
    """
    rate = training["learning_rate"]
    if rate is not None and not 0 < rate < math.inf:
        raise RunConfigError(
            "The learning rate cannot be used",
            where="--learning-rate",
            seen=str(rate),
            cure="Give a number above 0",
        )
    changed = {name: value for name, value in training.items() if value is not None}
    if job == DEPLOYMENT and (changed or leave_out):
        raise RunConfigError(
            "deployment takes the last model as it is",
            seen=", ".join(sorted(changed) or ["leave_out"]),
            cure="Run federated_lifecycle or retrain with that",
        )
    ops: dict[str, Any] = {"federated_training": {"config": changed}} if changed else {}
    if leave_out and job == RETRAIN:
        raise RunConfigError(
            "retrain takes the hospitals that the last roster let in",
            seen="--leave-out",
            cure="Run federated_lifecycle with --leave-out",
        )
    if leave_out:
        ops["federation_roster"] = {"config": {"leave_out": list(leave_out)}}
    return {"ops": ops} if ops else {}


def plan_launch(home: Home, *, job: str, sandbox: str | None, config: Mapping[str, Any]) -> Launch:
    """Returns the launch of a job, after writing its config beside its log.

    Args:
        home: where it runs.
        job: its name.
        sandbox: its partition; None for a job without.
        config: Dagster's run config; empty is none.
    """
    tag = uuid.uuid4().hex
    log = home.root / "logs" / f"run-{tag[:8]}.log"
    command = ["dagster", "job", "execute", "-m", "fed_assets", "-j", job]
    command += ["--tags", json.dumps({"dagster/partition": sandbox} if sandbox else {})]
    if config:
        config_file = log.with_suffix(CONFIG)  # JSON is YAML, which Dagster reads
        write_whole(config_file, json.dumps(config, indent=1).encode())
        command += ["-c", str(config_file)]
    return Launch(tuple(command), tag, log, measured=job == LIFECYCLE)


def discard(launch: Launch) -> None:
    """Removes what was written for a launch that never came to be."""
    for path in (launch.log, launch.log.with_suffix(CONFIG)):
        path.unlink(missing_ok=True)


def execute(launch: Launch, home: Home, *, on_progress: Callable[[Progress], None]) -> FinishedRun:
    """Returns how the run ended; on Ctrl-C the run is interrupted first, and stops all it started.

    Raises:
        KeyboardInterrupt: after the run has stopped.
        StorageError: Dagster's tables cannot be read or written; the run has been stopped.
    """
    with started(launch, home, on_progress=on_progress) as run:
        while (finished := run.ended()) is None:
            time.sleep(POLL_SECONDS)
    return finished


def made_ready(launch: Launch, home: Home) -> ReadyProcess:
    """Returns a process that waits to be let go as the launch's; until then, there is no run."""
    return ReadyProcess(_command(launch), home, launch.log)


@contextmanager
def started(
    launch: Launch,
    home: Home,
    *,
    on_progress: Callable[[Progress], None],
    ready: ReadyProcess | None = None,
) -> Iterator[StartedRun]:
    """Yields a run that has started; whoever leaves before its end interrupts it, and waits.

    Args:
        launch: What to run.
        home: Where.
        on_progress: Is told what is new, whenever somebody asks whether it has ended.
        ready: What `made_ready` returned for the launch, if it was asked.

    Raises:
        StorageError: Dagster's tables cannot be read or written; the run has been stopped.
    """
    with (
        instance_of(
            home
        ) as instance,  # first: Dagster's own process would make its tables unlocked
        running(_command(launch), home, launch.log, ready=ready) as process,
    ):
        yield StartedRun(launch, home, instance, process, on_progress)


def _command(launch: Launch) -> list[str]:
    command = list(launch.command)
    at = command.index("--tags") + 1
    # Until it signs in itself, it is this process, which it does not outlive.
    ours = {LAUNCH_TAG: launch.tag, PROCESS_TAG: signature()}
    command[at] = json.dumps(json.loads(command[at]) | ours)
    launch.log.parent.mkdir(exist_ok=True, mode=0o700)
    return command


class StartedRun:
    """A run whose process was started; see `started`."""

    def __init__(
        self,
        launch: Launch,
        home: Home,
        instance: DagsterInstance,
        process: RunProcess,
        on_progress: Callable[[Progress], None],
    ) -> None:
        self._launch, self._home = launch, home
        self._instance, self._process = instance, process
        self._events = RunEvents(instance, launch.tag, on_progress)

    def interrupt(self) -> None:
        """Asks it to stop, and does not wait: whoever leaves `started` does."""
        self._process.interrupt()

    @property
    def measured(self) -> bool:
        """Returns whether it is measured at this time, and should have the machine to itself."""
        return self._launch.measured and not self._events.reported

    def ended(self) -> FinishedRun | None:
        """Passes on what is new, and returns how the run ended; None while it goes on."""
        code = self._process.poll()
        if code is None:
            self._events.follow()
            return None
        # If it was killed: it holds its places.
        bury_dead_runs(self._instance, self._home, launch=self._launch.tag)
        self._events.follow()
        failures = [*self._events.failures]
        log = self._launch.log
        if code < 0:
            failures.append(
                f"The run's process ended ({told(code)}). "
                "To mend it: `--job retrain` goes on after its last whole round."
            )
        elif code != 0 and not failures:
            failures = log.read_text(errors="replace").strip().splitlines()[-1:]
        return FinishedRun(self._events.run_id, code == 0, tuple(failures), log)


@contextmanager
def instance_of(home: Home) -> Iterator[DagsterInstance]:
    """Yields Dagster's instance, without the runs that died."""
    with open_instance(home) as instance:
        bury_dead_runs(instance, home)
        yield instance
