"""Hospitals' and the coordinator's tasks in the test's own process."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from dagster import InitResourceContext

from fed_assets.hospital.files import Store
from fed_assets.hospital.tasks import find_task
from fed_assets.resources.hospital_runner import LocalHospitalRunner
from fed_assets.sandboxes.sandbox import Sandbox


class HereAlone(LocalHospitalRunner):
    """Runs tasks in this process: what they do is the same, and no fork waits."""

    def setup_for_execution(self, context: InitResourceContext) -> None:
        """Opens no templates."""

    def ask(
        self, sandbox: Sandbox, hospital: str, task: str, arguments: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Returns the task's answer, as it would cross from one process to another."""
        store = Store(self.store(hospital, sandbox), hospital)
        answer = find_task(task, previews=False)(arguments, store)
        crossed: dict[str, Any] = json.loads(json.dumps(answer, allow_nan=False))
        return crossed
