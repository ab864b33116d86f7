"""What a template of its own forks for one process: for many threads, and while it still loads."""

from __future__ import annotations

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from fed_assets.errors import ProcessNotStarted
from fed_assets.federation.forked import start_template
from fed_assets.federation.program import Program

pytestmark = pytest.mark.slow

BRIEF = "fed_assets_tests.federation.brief_program"
LASTING = "fed_assets_tests.federation.lasting_program"
GATES = "fed_assets_tests.federation.gates"
THREADS, STARTS = 8, 40


@pytest.fixture
def brief(tmp_path):
    place = str(tmp_path)
    return Program(BRIEF, BRIEF, (), place, place, str(tmp_path / "console"))


@pytest.fixture
def start(tmp_path):
    """Returns a function that starts a template that has loaded BRIEF, and what it loads then."""
    opened = []

    def start(*then, preload=(BRIEF,), at_once=True):
        gates = [f"{GATES}.{name}" for name in then]
        opened.append(start_template(preload, tmp_path, then=gates, at_once=at_once))
        return opened[-1]

    yield start
    for origin in opened:
        origin.close()


def test_threads_that_start_and_await_processes_do_not_meet(start, brief):
    origin = start()

    def start_and_await(number):
        codes = set()
        for _ in range(STARTS):
            process = origin.start(f"site_{number}", brief)
            assert process.gone(20)
            codes.add(process.ended())
        return codes

    with ThreadPoolExecutor(THREADS) as pool:
        assert list(pool.map(start_and_await, range(THREADS))) == [{7}] * THREADS


@pytest.mark.parametrize("at_once", [False, True])
def test_a_template_loads_nothing_before_it_is_told_to(start, tmp_path, at_once):
    origin = start(preload=[f"{GATES}.fatal"], at_once=at_once)
    (tmp_path / "fatal").touch()
    if not at_once:
        time.sleep(2)
        assert origin.broken() is None
        origin.load()
    deadline = time.monotonic() + 20
    while origin.broken() is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert origin.broken() == "exit code 3"
    origin.load()  # to one that has ended, and was told


def test_the_first_program_has_its_template_load(start, brief):
    process = start(at_once=False).start("site", brief)
    assert process.gone(20)
    assert process.ended() == 7


def test_an_early_program_runs_between_two_modules_and_others_after_the_last(
    start, brief, tmp_path
):
    origin = start("first", "second")
    early = origin.start("early", replace(brief, early=True))
    late = origin.start("late", brief)
    after_it = origin.start("early", replace(brief, early=True))
    (tmp_path / "first").touch()
    assert early.pid(20) > 0
    assert early.gone(20)
    assert early.ended() == 7
    for waiting in (late, after_it):
        with pytest.raises(ProcessNotStarted, match="could not be started"):
            waiting.pid(0.5)
    (tmp_path / "second").touch()
    assert late.pid(20) > 0
    assert after_it.pid(20) > 0


def test_an_early_process_that_is_killed_while_modules_load_is_noticed_and_started_again(
    start, brief, tmp_path
):
    origin = start("first", "second")
    lasting = replace(brief, title=LASTING, module=LASTING, early=True)
    early = origin.start("early", lasting)
    (tmp_path / "first").touch()
    early.pid(20)
    early.kill()
    assert early.gone(5)
    assert early.ended() == -signal.SIGKILL
    (tmp_path / "second").touch()
    again = origin.start("early", lasting)
    again.pid(20)
    assert again.ended() is None


def test_whoever_waits_for_modules_hears_of_the_templates_end(start, brief, tmp_path):
    origin = start("first", "fatal")
    early = origin.start("early", replace(brief, module=LASTING, early=True))
    late = origin.start("late", brief)
    (tmp_path / "first").touch()
    early.pid(20)
    assert origin.broken() is None
    (tmp_path / "fatal").touch()
    with pytest.raises(ProcessNotStarted) as caught:
        late.pid(20)
    assert caught.value.seen == "its template or supervisor has ended"
    assert early.gone(5)
    assert early.ended() == -signal.SIGKILL
    assert origin.broken() == "exit code 3"
