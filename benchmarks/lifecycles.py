"""Runs of the soak, one after another in one home, and what is left or wrong after each."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from benchmarks.endings import started
from benchmarks.leaks import bytes_without_rounds, standing
from benchmarks.verdicts import result_of, wrong_end, wrong_result
from benchmarks.victims import FAILED, Kill
from fed_assets.federation import warm
from fed_assets.federation.plan import PLAN_FILE
from fed_assets_tests.leftovers import called, family, seconds_until_clean
from fed_assets_tests.places import Place

CLEAN_SECONDS = 10.0
RUN_SECONDS = 180
OF_JOBS = re.compile(r"(worker|runner)_process")


class Lifecycles:
    """One home, and the runs in it so far.

    Args:
        place: The home.
        sandboxes: Those that run in it.
        temporary: The folder that its processes know as the system's own for temporary files.
        log: File for what its commands print.
    """

    def __init__(self, place: Place, sandboxes: Sequence[str], temporary: Path, log: Path) -> None:
        self._place = place
        self._home = place.home
        self._sandboxes = sandboxes
        self._temporary = temporary
        self._log = log
        self._references: dict[str, dict[str, Any]] = {}
        self._seconds: dict[tuple[str, bool], float] = {}

    def run(self, sandbox: str, kill: Kill | None, *, warmed: bool) -> dict[str, Any]:
        """Runs a lifecycle, and once more what is left of it where it fails by what was killed.

        Args:
            sandbox: In which sandbox.
            kill: What is done to it, if anything.
            warmed: Whether a warm federation is there for it.
        """
        if warmed and warm.status(self._home.warm(sandbox)) is None:
            self._bring_up(sandbox)
        record: dict[str, Any] = {"sandbox": sandbox, "warm": warmed}
        record |= {"kill": kill and kill.victim.name}
        record |= self._command(sandbox, "federated_lifecycle", kill, warmed=warmed)
        if record["code"] == FAILED:
            job = "retrain" if record["trained"] else "federated_lifecycle"
            again = {"job": job, **self._command(sandbox, job, None, warmed=warmed)}
            if again["code"] == 0:
                again["resumed_from"] = result_of(self._home, sandbox)["resumed_from"]
            record["again"] = again
        seen = warm.status(self._home.warm(sandbox))
        held = {"jobs": seen["jobs"], **standing(psutil.Process(seen["pid"]))} if seen else None
        return record | {
            "warm_federation": held,
            "home_bytes": bytes_without_rounds(self._home.root),
        }

    def left(self) -> tuple[float, list[str]]:
        """Returns how long it took until nothing was left, but warm federations that wait."""
        statuses = [warm.status(self._home.warm(sandbox)) for sandbox in self._sandboxes]
        up = [psutil.Process(seen["pid"]) for seen in statuses if seen is not None]
        began = time.monotonic()
        while at_work := [
            f"process {each.pid}: {called(each)}"
            for process in up
            for each in family(process)
            if OF_JOBS.search(called(each))
        ]:
            if time.monotonic() - began > CLEAN_SECONDS:
                break
            time.sleep(0.1)
        time_left = CLEAN_SECONDS - (time.monotonic() - began)
        _, left = seconds_until_clean(self._home, within_seconds=max(time_left, 0), beside=up)
        files = [path for path in self._temporary.rglob("*") if path.is_file()]
        left += [*at_work, *(f"file {path.name} in the system's folder" for path in files)]
        return time.monotonic() - began, left

    def _bring_up(self, sandbox: str) -> None:
        command = ("fed_assets.cli", "federation", "up", sandbox)
        with (
            self._log.open("a") as log,
            started(command, self._place.environment, log, log) as process,
        ):
            if code := process.wait(RUN_SECONDS):
                raise RuntimeError(f"`federation up {sandbox}` ended with {code}")

    def _command(
        self, sandbox: str, job: str, kill: Kill | None, *, warmed: bool
    ) -> dict[str, Any]:
        began = time.monotonic()
        before = set(self._home.federations(sandbox))
        command = ("fed_assets.cli", "run", sandbox, "--job", job)
        # Where the sandbox has not run warm yet, it will take about as long as cold.
        usual = self._seconds.get((sandbox, warmed), self._seconds.get((sandbox, False), 0.0))
        with self._log.open("a") as log, (self._log.parent / "told.txt").open("w+") as told:
            with started(command, self._place.environment, log, told) as run:
                killed = kill and kill.execute(self._home, sandbox, run, usual)
                code = run.wait(RUN_SECONDS)
            seconds = time.monotonic() - began
            told.seek(0)
            lines = told.read().splitlines()
            log.writelines(f"{each}\n" for each in lines)
        said = next(iter(lines), "")
        clean_after, left = self.left()
        wrong = wrong_end(code, said, kill if killed else None)
        if code != FAILED:
            reference = self._references.get(sandbox)
            wrong += wrong_result(self._home, sandbox, code, reference, kill)
            if kill is None:
                result = result_of(self._home, sandbox)
                self._references.setdefault(sandbox, result)
                self._seconds.setdefault((sandbox, warmed), result["seconds"])
        new = set(self._home.federations(sandbox)) - before
        return {
            "killed": killed,
            "code": code,
            "said": said.replace(str(self._home.root), "HOME"),
            "trained": any((folder / PLAN_FILE).exists() for folder in new),
            "seconds": round(seconds, 1),
            "clean_after_seconds": round(clean_after, 1),
            "left": left,
            "wrong": wrong,
        }
