"""What Dagster's event log says of a run while it goes on: steps, rounds, and what failed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fed_assets.errors import FedAssetsError
from fed_assets.resources.dead_runs import LAUNCH_TAG

if TYPE_CHECKING:
    from dagster import DagsterInstance


@dataclass(frozen=True)
class Progress:
    """What is new in a running job: a step that starts, or a round that is done."""

    step: str
    round_number: int | None = None


class RunEvents:
    """Reads a run's event log from where it stopped last."""

    def __init__(
        self, instance: DagsterInstance, launch: str, on_progress: Callable[[Progress], None]
    ) -> None:
        self._instance = instance
        self._launch = launch
        self._on_progress = on_progress
        self._cursor: str | None = None
        self.run_id = ""
        self.failures: list[str] = []
        self.reported = False

    def follow(self) -> None:
        """Passes on what is new."""
        from dagster import RunsFilter

        if not self.run_id:
            runs = self._instance.get_run_records(RunsFilter(tags={LAUNCH_TAG: self._launch}))
            if not runs:
                return
            self.run_id = runs[0].dagster_run.run_id
        connection = self._instance.get_records_for_run(self.run_id, cursor=self._cursor)
        self._cursor = connection.cursor
        for record in connection.records:
            event = record.event_log_entry.dagster_event
            if event is not None:
                self._take(event)

    def _take(self, event: Any) -> None:
        if event.is_step_start:
            self._on_progress(Progress(event.step_key))
        elif event.is_step_failure:
            line = _failure_line(event)
            if line is not None:
                self.failures.append(line)
        elif event.is_step_materialization:
            self.reported |= event.asset_key.path == ["evaluation_report"]
        elif event.event_type_value == "ASSET_OBSERVATION":
            observation = event.asset_observation_data.asset_observation
            number = observation.metadata.get("round")
            if observation.asset_key.path == ["global_model"] and number is not None:
                self._on_progress(Progress(event.step_key, number.value))
        elif event.event_type_value == "ASSET_CHECK_EVALUATION":
            check = event.asset_check_evaluation_data
            if check.blocking and not check.passed:
                self.failures.append(f"{check.check_name}: {check.description or 'failed'}")


def _failure_line(event: Any) -> str | None:
    """Returns why a step failed; None where a blocking check did it, which says so itself."""
    user = event.step_failure_data.user_failure_data
    if user is not None and user.description:
        return str(user.description)
    error = event.step_failure_data.error
    while error is not None and error.cause is not None:
        error = error.cause  # Dagster wraps what an input's or an output's store raised
    if error is not None and error.cls_name == "DagsterAssetCheckFailedError":
        return None
    if error is None:
        return f"{event.step_key} failed: no reason given"
    message = error.message.strip()
    ours = f"{FedAssetsError.__module__}.{error.cls_name}: "
    return message.removeprefix(ours) if ours in message else f"{event.step_key} failed: {message}"
