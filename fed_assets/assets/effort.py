"""What a sandbox asks of people and machines before a run reads an image or learns from one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from fed_assets.federation.roster import Roster
from fed_assets.resources.home import COORDINATOR
from fed_assets.sandboxes.manual_steps import Step, manual_steps, number_of
from fed_assets.sandboxes.sandbox import Sandbox

# Of a federation: its keys, certificates and kits; its processes; until its hospitals are ready.
SET_UP = ("provision", "processes", "start")


def effort_of(
    sandbox: Sandbox, roster: Roster, *, walls_seconds: float, timings: Mapping[str, float]
) -> dict[str, Any]:
    """Returns the part `effort` of a measurement record.

    Args:
        sandbox: the sandbox.
        roster: who takes part, on which images.
        walls_seconds: how long it took to build the run's walls.
        timings: seconds per step of the federation; those of one that was up before have none of
            setting it up.

    Returns:
        `setup_seconds`: walls, then keys, certificates and kits, then processes until all
        hospitals are ready for a job; null where the federation was not set up by this run.
        `manual_steps`: how many. `steps`: which, see `sandboxes.manual_steps`.
    """
    steps = steps_of(sandbox, roster)
    known = [timings[name] for name in SET_UP if name in timings]
    return {
        "setup_seconds": round(walls_seconds + math.fsum(known), 3)
        if len(known) == len(SET_UP)
        else None,
        "manual_steps": number_of(steps),
        "steps": [step.as_record() for step in steps],
    }


def steps_of(sandbox: Sandbox, roster: Roster) -> tuple[Step, ...]:
    """Returns what a sandbox asks of people by its definition, with this roster."""
    sources = {(each.source or roster.data.source).kind for each in roster.hospitals}
    return manual_steps(sandbox, roster.hospital_ids, coordinator=COORDINATOR, sources=sources)
