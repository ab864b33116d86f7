"""Whom the soak kills with `kill -9`, when, and how a run may end after that."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from fed_assets.federation import warm
from fed_assets.federation.plan import PLAN_FILE
from fed_assets.resources.home import Home
from fed_assets_tests.leftovers import called, family

SUCCEEDED, FAILED, DEGRADED = 0, 1, 3
WORKER = "fed_assets.hospital.worker"
# Of the tasks for images and validation, of four hospitals with three each.
WORKERS = 12
LOOK_SECONDS = 0.01


@dataclass(frozen=True)
class Victim:
    """One kind of process, of which each run has one or one per hospital.

    Attributes:
        name: What a table calls it.
        title: Its title holds this; braces stand for a hospital.
        warm_title: The same where a warm federation carries the run out, if it is another.
        ends: The exit codes that a run may have without it.
        says: The one line of a run that fails holds one of these.
    """

    name: str
    title: str
    ends: tuple[int, ...]
    says: tuple[str, ...] = ()
    warm_title: str = ""


LOST_WARM = ("The warm federation ended in the middle of a job",)
VICTIMS = (
    Victim("a hospital's job", "worker_process {}", (SUCCEEDED, DEGRADED)),
    Victim("a whole hospital", "supervisor {}", (SUCCEEDED, DEGRADED)),
    Victim(
        "the server",
        "server_train uid=server",
        (SUCCEEDED, FAILED),
        ("The server's process ended", "The warm federation has lost its server", *LOST_WARM),
    ),
    Victim(
        "the template",
        "fed_assets.federation.template",
        (SUCCEEDED, FAILED),
        ("The process that all others are forked from ended", *LOST_WARM),
    ),
    Victim(
        "the session",
        "session_child",
        (SUCCEEDED, FAILED),
        ("The federation's session ended", *LOST_WARM),
        warm_title="warm_process",
    ),
    Victim(
        "the run", "fed_assets.federation.child", (SUCCEEDED, FAILED), ("The run's process ended",)
    ),
    Victim("a worker", WORKER, (SUCCEEDED, DEGRADED, FAILED), ("The worker of",)),
)


@dataclass(frozen=True)
class Kill:
    """What is to be done to a run, drawn before it starts.

    Attributes:
        victim: Of which kind.
        hospital: Whose process, where each has one.
        moment: When, from 0, as training starts, to 1, as it would end; among the workers alike.
    """

    victim: Victim
    hospital: str
    moment: float

    def execute(
        self, home: Home, sandbox: str, run: subprocess.Popen[str], seconds: float
    ) -> str | None:
        """Waits for the moment, and kills; returns whom, or None where the run was faster.

        Args:
            home: Where it runs.
            sandbox: In which sandbox.
            run: The command, as it starts.
            seconds: How long the sandbox's training takes.
        """
        up = warm.status(home.warm(sandbox))
        pid = run.pid if up is None or self.victim.name in ("the run", "a worker") else up["pid"]
        roots = [psutil.Process(pid)]
        title = self.victim.title if up is None else self.victim.warm_title or self.victim.title
        if self.victim.title == WORKER:
            return self._kill_a_worker(roots, run)
        before = set(home.federations(sandbox))
        if not _wait(run, lambda: _training(home, sandbox, before)):
            return None
        title = title.format(self.hospital)
        began = time.monotonic()
        if not _wait(run, lambda: _found(roots, title)):
            return None
        # A process that comes late is killed in what is left of the training.
        left = max(seconds - (time.monotonic() - began), 0.2)
        time.sleep(self.moment * left)
        while _wait(run, lambda: _found(roots, title)):
            if killed := _kill(_found(roots, title)):
                return killed
        return None

    def _kill_a_worker(
        self, roots: Iterable[psutil.Process], run: subprocess.Popen[str]
    ) -> str | None:
        wanted = 1 + int(self.moment * WORKERS)
        seen: set[int] = set()

        def wanted_one() -> list[psutil.Process]:
            workers = _found(roots, WORKER)
            seen.update(each.pid for each in workers)
            return workers if len(seen) >= wanted else []

        while _wait(run, wanted_one):
            if killed := _kill(_found(roots, WORKER)):
                return killed
        return None


def draw_kills(count: int, hospitals: Iterable[str], draw: random.Random) -> list[Kill]:
    """Returns kills of every kind, as far as the number goes, in random order."""
    kinds: list[Victim] = []
    while len(kinds) < count:
        kinds += draw.sample(VICTIMS, len(VICTIMS))
    return [Kill(kind, draw.choice(list(hospitals)), draw.random()) for kind in kinds[:count]]


def _training(home: Home, sandbox: str, before: set[Path]) -> bool:
    return any((new / PLAN_FILE).exists() for new in set(home.federations(sandbox)) - before)


def _found(roots: Iterable[psutil.Process], title: str) -> list[psutil.Process]:
    members = [member for root in roots for member in family(root)]
    return [member for member in members if title in called(member)]


def _wait(run: subprocess.Popen[str], true: Callable[[], object]) -> bool:
    """Waits for something; says whether it happened before the run's end."""
    while not true():
        if run.poll() is not None:
            return False
        time.sleep(LOOK_SECONDS)
    return True


def _kill(found: Iterable[psutil.Process]) -> str | None:
    """Kills the first of them that still runs, and returns its title."""
    for process in found:
        words = [word for word in called(process).split() if not word.startswith(("-", "/"))]
        title = " ".join(word.rpartition(".")[2] for word in words[:2])
        with suppress(psutil.NoSuchProcess):
            process.kill()
            return title
    return None
