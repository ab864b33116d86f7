"""Executes a failed run again from its failure, as Dagster's pages do: `python -m … RUN_ID`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from dagster import (
    DagsterInstance,
    JobDefinition,
    ReexecutionOptions,
    execute_job,
    reconstructable,
)


def federated_lifecycle() -> JobDefinition:
    """Returns the job; Dagster finds it by this function's name."""
    from fed_assets import defs

    return defs.resolve_job_def("federated_lifecycle")


def main() -> int:
    """Returns 0 where the run succeeded."""
    from fed_assets.resources.dead_runs import bury_dead_runs
    from fed_assets.resources.settings import settings_from
    from fed_assets_tests.assets import reexecution

    settings = settings_from(os.environ, working_directory=Path.cwd())
    with DagsterInstance.get() as instance:
        bury_dead_runs(instance, settings.home)  # Dagster executes only ended runs again
        failed = instance.get_run_by_id(sys.argv[1])
        assert failed is not None
        again = ReexecutionOptions.from_failure(failed.run_id, instance)
        with execute_job(
            reconstructable(reexecution.federated_lifecycle),
            instance=instance,
            tags={"dagster/partition": failed.tags["dagster/partition"]},
            reexecution_options=again,
        ) as result:
            return 0 if result.success else 1


if __name__ == "__main__":
    sys.exit(main())
