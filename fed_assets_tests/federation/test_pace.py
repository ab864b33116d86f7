"""How often a hospital asks: seen in the log of one that waits for another."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fed_assets.federation.pace import LONGEST_SECONDS, pause_after

ASKED = re.compile(r"Waited ([\d.]+) s for this task, and asked (\d+) times")


@pytest.mark.parametrize(("waited", "pause"), [(0.0, 0.0), (0.4, 0.1), (4.0, 1.0), (3600.0, 2.0)])
def test_the_pause_grows_with_the_wait_up_to_a_limit(waited, pause):
    assert pause_after(waited) == pause <= LONGEST_SECONDS


@pytest.mark.slow
def test_a_hospital_that_waits_for_another_asks_more_and_more_seldom(
    tmp_path, write_plan, start_session, behave
):
    plan = write_plan(tmp_path, hospitals=2, rounds=3)
    behave(plan, "hospital_01", {2: "slow"})
    session = start_session(plan)
    assert session.finish() == 0, session.events
    (log,) = Path(plan.folder, "sites", "hospital_02").glob("*/log.txt")
    waits = [(float(wait), int(asked)) for wait, asked in ASKED.findall(log.read_text())]
    assert len(waits) == 3
    seconds, asked = waits[-1]
    assert seconds > 2  # it waited for the slow one, however busy the machine was before
    # Each time it waits a quarter longer, 20 times from 20 ms to 2 s; by turns alike it would have
    # asked 100 times. Where each answer takes long, it asks less often still.
    assert asked < 25
