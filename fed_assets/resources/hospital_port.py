"""What runs hospitals' tasks, wherever their machines are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol

from fed_assets.errors import error_from_record
from fed_assets.sandboxes.sandbox import Sandbox


class HospitalRunner(Protocol):
    """Runs tasks of hospitals; what comes back are counts, digests, metrics, and never a row.

    The hospital's own worker sees to that, whoever starts it: see `hospital.suppression`.
    """

    def ask(
        self, sandbox: Sandbox, hospital: str, task: str, arguments: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Returns a hospital's answer to a task.

        Args:
            sandbox: In which its files are kept, and by which answers are suppressed.
            hospital: Its id.
            task: One of `hospital.tasks.WHAT`.
            arguments: JSON-ready. Weights, `weights` and `other_weights`, are paths of files of the
                orchestrator's machine, and reach the hospital wherever it is.

        Raises:
            IdentityRefused: It runs no such hospital.
            FedAssetsError: The worker's own error, or WorkerFailed where there is no answer.
        """

    def close(self) -> None:
        """Ends whatever it started."""


def read_answer(line: bytes | str) -> dict[str, Any] | None:
    """Returns a worker's reply; None for what is no reply."""
    try:
        answer = json.loads(line)
    except ValueError:
        return None
    if not isinstance(answer, dict) or not {"result", "error"} & answer.keys():
        return None
    parts = (answer.get("result", {}), answer.get("error", {}), answer.get("outbox", {}))
    return answer if all(isinstance(part, dict) for part in parts) else None


def result_of(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the result of a worker's reply.

    Raises:
        FedAssetsError: The error that it holds instead.
    """
    if "error" in answer:
        error = error_from_record(answer["error"])
        error.outbox = answer.get("outbox")
        raise error
    return dict(answer["result"])
