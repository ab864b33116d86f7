"""What grows with the runs: memory and descriptors of a warm federation, the size of a home."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from fed_assets.federation import warm
from fed_assets.federation.plan import FederationPlan
from fed_assets.resources.home import Home
from fed_assets_tests.leftovers import family

# Allocators reach their size within the first jobs: a leak shows in those after them.
WARMING_UP = 10
SETTLE_SECONDS = 20.0
# What a warm federation's processes may grow by per job, all together.
BOUNDS = {"own_memory_bytes": 1e6, "descriptors": 0.5, "threads": 1.0}
# What a home may grow by per run: its records, such as events, logs and models, less the rounds.
HOME_BOUND_BYTES = 8e6


def standing(process: psutil.Process) -> dict[str, int]:
    """Returns what a federation's processes hold, added up.

    `memory_bytes` is the proportional set size: shared pages are split among their holders.
    `own_memory_bytes` leaves out files' pages, which come and go with other programs' use of them.
    """
    members = family(process)
    held = {"processes": len(members), "memory_bytes": 0, "own_memory_bytes": 0}
    held |= {"descriptors": 0, "threads": 0}
    for each in members:
        with suppress(psutil.Error, OSError):  # it has ended
            lines = Path(f"/proc/{each.pid}/smaps_rollup").read_text().splitlines()
            kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in lines[1:]}
            held["memory_bytes"] += kilobytes["Pss"] * 1024
            held["own_memory_bytes"] += kilobytes["Pss_Anon"] * 1024
            held["descriptors"] += each.num_fds()
            held["threads"] += each.num_threads()
    return held


def many_jobs(home: Home, sandbox: str, jobs: int) -> list[dict[str, int]]:
    """Returns what a fresh warm federation holds after each of many jobs, in the plan of a run.

    Args:
        home: In which the sandbox has run; its warm federations are down.
        sandbox: The sandbox.
        jobs: How many.
    """
    earlier = FederationPlan.read(home.federations(sandbox)[0] / "plan.json")
    initial = home.federations(sandbox)[0] / "initial.safetensors"
    plan = replace(earlier, start_round=1, initial_weights=str(initial))
    warm.bring_up(plan, home.warm(sandbox), lambda _: None)
    held = []
    try:
        for number in range(jobs):
            folder = home.temporary / "many_jobs" / str(number)
            own = replace(plan, folder=str(folder), outbox=str(folder / "outbox"))
            warm.run(home.warm(sandbox), own, lambda _: None)
            held.append(_settled(home.warm(sandbox)))
    finally:
        warm.take_down(home.warm(sandbox))
    return held


def _settled(folder: Path) -> dict[str, int]:
    """Returns what a federation holds when the last job's processes are gone."""
    end = time.monotonic() + SETTLE_SECONDS
    while (seen := warm.status(folder)) is not None and time.monotonic() < end:
        hospitals = len(seen["hospitals"])
        # Itself and its template; of the server and each hospital a supervisor and a main process.
        if seen["processes"] == 2 + 2 * (1 + hospitals):
            return standing(psutil.Process(seen["pid"]))
        time.sleep(0.1)
    raise RuntimeError(f"The federation in {folder} did not come to rest: {seen}")


def slope(values: Sequence[float]) -> float:
    """Returns by how much values grow from one to the next: of the line that fits them best."""
    middle, mean = (len(values) - 1) / 2, sum(values) / len(values)
    together = sum((at - middle) * (value - mean) for at, value in enumerate(values))
    return together / sum((at - middle) ** 2 for at in range(len(values)))


def leaks(held: Sequence[dict[str, int]]) -> tuple[dict[str, Any], list[str]]:
    """Returns by how much a warm federation grows per job, and what of it is beyond its bound."""
    figures = {name: slope([each[name] for each in held[WARMING_UP:]]) for name in BOUNDS}
    found = [
        f"a warm federation grows by {figures[name]:.3g} {name} per job"
        for name, bound in BOUNDS.items()
        if figures[name] > bound
    ]
    return {f"warm_{name}_per_job": round(figures[name], 2) for name in BOUNDS}, found


def bytes_without_rounds(root: Path) -> int:
    """Returns the size of a home's files, but for the rounds' weights and records."""
    return sum(
        path.lstat().st_size
        for path in root.rglob("*")
        if path.is_file() and not path.is_symlink() and "outbox" not in path.parts
    )
