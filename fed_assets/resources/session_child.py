"""The process of one federation's session: reports each event to Dagster through Pipes."""

from __future__ import annotations

import os
import sys

from dagster_pipes import open_dagster_pipes

from fed_assets.errors import FedAssetsError, JobFailed
from fed_assets.federation.origin import lent_origin
from fed_assets.federation.plan import FederationPlan
from fed_assets.federation.session import Interrupted, run_federation, stopped_by_signals


def main() -> int:
    """Runs the plan in the Pipes context; returns 0, or 1 after reporting what went wrong."""
    with open_dagster_pipes() as pipes:
        try:
            with stopped_by_signals():
                plan = FederationPlan.from_json(pipes.get_extra("plan"))
                run_federation(plan, pipes.report_custom_message, origin=lent_origin())
        except FedAssetsError as error:
            pipes.report_custom_message({"event": "failed", "error": error.as_record()})
            return 1
        except Interrupted as signal_name:
            stopped = JobFailed(f"The federation was stopped by {signal_name}")
            pipes.report_custom_message({"event": "failed", "error": stopped.as_record()})
            return 1
    return 0


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)  # threads of NVFlare's session that did not end would hold the process for ever
