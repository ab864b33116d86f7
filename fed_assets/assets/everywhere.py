"""One task for several hospitals at once: what each answered, and why others did not."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from fed_assets.errors import FedAssetsError
from fed_assets.resources.hospital_runner import LocalHospitalRunner
from fed_assets.sandboxes.sandbox import Sandbox

Answer = TypeVar("Answer")


def at_once(names: Sequence[str], ask: Callable[[str], Answer]) -> dict[str, Answer]:
    """Returns what is answered for each name; as many are asked at once as there are cores."""
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        return dict(zip(names, pool.map(ask, names), strict=True))


def ask_everywhere(
    hospitals: LocalHospitalRunner,
    sandbox: Sandbox,
    places: Sequence[str],
    task: str,
    arguments: Mapping[str, Any],
    arguments_of: Mapping[str, Mapping[str, Any]] | None = None,
) -> tuple[dict[str, dict[str, Any]], dict[str, FedAssetsError]]:
    """Returns the answer of each place that answered, and the error of each that did not.

    Args:
        hospitals: who asks them.
        sandbox: in which.
        places: hospitals, and the coordinator.
        task: what each is asked.
        arguments: of the task, everywhere.
        arguments_of: by place, what is otherwise there, or more.
    """
    own = arguments_of or {}

    def ask(name: str) -> dict[str, Any] | FedAssetsError:
        try:
            return hospitals.ask(sandbox, name, task, {**arguments, **own.get(name, {})})
        except FedAssetsError as error:
            error.where = ", ".join(filter(None, [name, error.where]))
            return error

    answers = at_once(places, ask)
    records = {name: each for name, each in answers.items() if isinstance(each, dict)}
    failed = {name: each for name, each in answers.items() if isinstance(each, FedAssetsError)}
    return records, failed
