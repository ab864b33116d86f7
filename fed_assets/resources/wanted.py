"""Whether a run is still wanted, asked of Dagster by the run itself.

Dagster interrupts a run that a person aborts by an exception in whatever Python is doing; where
that is a destructor, Python drops it. What waits for long therefore asks.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from dagster import DagsterExecutionInterruptedError, DagsterInstance, DagsterRunStatus

ASK_SECONDS = 1.0


def is_over(instance: DagsterInstance, run_id: str) -> bool:
    """Returns whether a run has ended.

    `dagster job execute` sets all resources up a second time then, to show the run's outputs, of
    which it shows none.
    """
    run = instance.get_run_by_id(run_id)
    return run is not None and run.is_finished


def require_wanted(instance: DagsterInstance, run_id: str) -> Callable[[], None]:
    """Returns a function to call again and again, which ends a run that is to be canceled.

    It raises DagsterExecutionInterruptedError then. Dagster is asked once a second at most.
    """
    asked = time.monotonic()

    def require() -> None:
        nonlocal asked
        if time.monotonic() - asked < ASK_SECONDS:
            return
        run = instance.get_run_by_id(run_id)
        if run is not None and run.status in (
            DagsterRunStatus.CANCELING,
            DagsterRunStatus.CANCELED,
        ):
            raise DagsterExecutionInterruptedError
        asked = time.monotonic()

    return require
