"""A session whose processes are spawned, as on systems that cannot fork safely.

`python -m fed_assets_tests.federation.spawning_session PLAN.json`
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from fed_assets.federation.plan import FederationPlan
from fed_assets.federation.session import events_to_stdout, run_federation
from fed_assets.federation.spawned import Spawned

if __name__ == "__main__":
    plan = FederationPlan.read(Path(sys.argv[1]))
    run_federation(plan, events_to_stdout(), origin=Spawned())
    os._exit(0)
