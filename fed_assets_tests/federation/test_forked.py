"""Several threads of one process that have the same template fork for them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from fed_assets.federation.forked import start_template
from fed_assets.federation.program import Program

pytestmark = pytest.mark.slow

BRIEF = "fed_assets_tests.federation.brief_program"
THREADS, STARTS = 8, 40


def test_threads_that_start_and_await_processes_do_not_meet(tmp_path):
    origin = start_template([BRIEF], tmp_path)
    place = str(tmp_path)
    program = Program(BRIEF, BRIEF, (), place, place, str(tmp_path / "console"))

    def start_and_await(number):
        codes = set()
        for _ in range(STARTS):
            process = origin.start(f"site_{number}", program)
            assert process.gone(20)
            codes.add(process.ended())
        return codes

    try:
        with ThreadPoolExecutor(THREADS) as pool:
            assert list(pool.map(start_and_await, range(THREADS))) == [{7}] * THREADS
    finally:
        origin.close()
