"""Processes that run small federations and observe them: started beside each other, and ended."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterable
from contextlib import closing, nullcontext
from pathlib import Path

from fed_assets.federation.origin import Origin, Process, open_origin, stop
from fed_assets.federation.plan import PLAN_FILE
from fed_assets.federation.program import Program

SITE = "coordinator"
# How long a federation may take to be up, a round of it, and all of it with what is tried on it.
START_SECONDS, ROUND_SECONDS, TOTAL_SECONDS = 60.0, 30.0, 150.0
STOP_SECONDS, LOOK_SECONDS = 15.0, 0.1


def observer(module: str, root: Path, *arguments: str) -> Program:
    """Returns the process that a module's `main` observes a federation in.

    Args:
        module: It finds the file of the plan, and the arguments, on its command line.
        root: Absolute path of the folder that it has to itself, with the plan in it.
        arguments: What else it is told.
    """
    return Program(
        title=module,
        module=module,
        arguments=(str(root / PLAN_FILE), *arguments),
        folder=str(root),
        temporary=str(root),
        console=str(root / "observing.log"),
    )


def run_all(
    programs: Iterable[Program], modules: Iterable[str], folder: Path, origin: Origin | None
) -> None:
    """Has programs run beside each other to their ends, and ends those that take too long.

    Args:
        programs: What `observer` returns.
        modules: What a template of their own loads.
        folder: A folder for what an import may write.
        origin: Where processes come from; if left out, a template of their own.

    Raises:
        FedAssetsError: A process could not be started. What happens to it then, its notes say.
    """
    started: list[Process] = []
    opened = None if origin else open_origin(modules, folder)
    with closing(opened) if opened else nullcontext(origin) as source:
        assert source is not None
        try:
            for program in programs:
                started.append(source.start(SITE, program, source.lent()))
            _wait(started)
        except BaseException:
            stop(started, grace_seconds=STOP_SECONDS)
            raise


def _wait(processes: list[Process]) -> None:
    """Waits for their end, and ends those that do not keep their own time limit."""
    deadline = time.monotonic() + TOTAL_SECONDS + STOP_SECONDS
    left = list(processes)
    while left and time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS)
        left = [process for process in left if process.ended() is None]
    for process in left:
        process.signal(signal.SIGTERM)
    late = [process for process in left if not process.gone(STOP_SECONDS)]
    stop(late, grace_seconds=STOP_SECONDS)
