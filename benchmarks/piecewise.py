"""Benchmarks of many parts: each figure is kept as it comes, and an interrupted one goes on."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

Part = TypeVar("Part")
Figures = Any


def begun(path: Path, asked: Mapping[str, Any], kept_in: str) -> dict[str, Any]:
    """Returns what a file holds of a benchmark that was begun, and what is asked of it anew.

    Args:
        path: the file; without one, nothing was begun.
        asked: what its figures were measured with, and those to come are.
        kept_in: the entry that its figures are in.

    Raises:
        SystemExit: the file's were measured with something else.
    """
    record = json.loads(path.read_text()) if path.exists() else {}
    figures = record.get(kept_in) or {}
    # As a file holds it: what was read from one has no tuples.
    others = [
        name
        for name, value in json.loads(json.dumps(asked)).items()
        if figures and record.get(name) != value
    ]
    if others:
        raise SystemExit(
            f"{path} was measured with another {', '.join(others)}. Name another file with --out, "
            "or remove it."
        )
    return {**asked, kept_in: figures}


def as_done(
    measure: Callable[..., Figures], parts: Iterable[Part], processes: int, *where: Any
) -> Iterator[tuple[Part, Callable[[], Figures]]]:
    """Yields each part with what gives its figures, or raises why there are none, as it is done.

    Args:
        measure: measures one part, in a process of its own.
        parts: what it is given first, unpacked.
        processes: how many at once.
        where: what it is given then.
    """
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        jobs = {pool.submit(measure, *part, *where): part for part in parts}  # type: ignore[misc]
        try:
            for job in as_completed(jobs):
                yield jobs[job], job.result
        finally:
            pool.shutdown(cancel_futures=True)


def keep_as_done(
    results: Iterable[tuple[Part, Callable[[], Figures]]],
    keep: Callable[[Part, Figures], None],
    name: Callable[[Part], str],
) -> list[str]:
    """Keeps the figures of each part, and says it; returns why others have none.

    Args:
        results: of `as_done`.
        keep: writes a part's figures down.
        name: what a part is called.
    """
    failed = []
    for part, result in results:
        said = name(part)
        try:
            figures = result()
        except (Exception, SystemExit) as error:  # the others' figures are as good without it
            said = f"{said}: {error}"
            failed.append(said)
        else:
            keep(part, figures)
        print(said, file=sys.stderr)
    return failed
