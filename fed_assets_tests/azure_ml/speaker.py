"""A job that says what none of ours does: `…speaker WHAT -m MODULE HOSPITAL MESSAGES HOME`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from dagster_pipes import (
    PipesAzureBlobStorageContextLoader,
    PipesAzureBlobStorageMessageWriter,
    open_dagster_pipes,
)

from fed_assets.containers.job_messages import open_account

SECRET = "patient_0042"


def main() -> None:
    """Says it."""
    what, messages, home = sys.argv[1], sys.argv[5], Path(sys.argv[6])
    account = open_account(messages, home)
    with open_dagster_pipes(
        context_loader=PipesAzureBlobStorageContextLoader(account),
        message_writer=PipesAzureBlobStorageMessageWriter(account, interval=0),
    ) as pipes:
        pipes.log.warning(SECRET)
        if what == "rows":
            pipes.report_custom_message([{"patient": SECRET}])
            pipes.report_custom_message({"answer": {"patient": SECRET}})
        elif what == "nonsense":
            pipes.report_custom_message({"answer": json.dumps({"result": [SECRET]})})
        elif what == "twice":
            for _ in range(2):
                pipes.report_custom_message({"answer": json.dumps({"result": {}})})
        elif what == "much":
            pipes.report_custom_message({"answer": json.dumps({"result": {"x": "x" * (9 << 20)}})})
        elif what == "raises":
            raise ValueError(SECRET)


if __name__ == "__main__":
    main()
