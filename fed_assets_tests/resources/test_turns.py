from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fed_assets.resources.home import Home
from fed_assets.resources.turns import take_turn
from fed_assets_tests.places import PROJECT

HOLDER = """
import sys, time
from pathlib import Path
from fed_assets.resources.home import Home
from fed_assets.resources.turns import take_turn
turn = take_turn(Home(Path(sys.argv[1])), "minimal", lambda: None)
print("mine", flush=True)
time.sleep(60)
"""


class Enough(Exception):
    pass


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def refuse() -> None:
    raise Enough


def test_a_run_waits_for_the_turn_of_another_process_to_its_end(home: Home) -> None:
    command = [sys.executable, "-c", HOLDER, str(home.root)]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "mine\n"
        with pytest.raises(Enough):
            take_turn(home, "minimal", refuse)
        waits = []

        def wait() -> None:
            waits.append(1)
            holder.kill()  # without a word: the turn is free all the same

        take_turn(home, "minimal", wait).close()
    assert waits


def test_sandboxes_have_turns_of_their_own(home: Home) -> None:
    one, other = (take_turn(home, sandbox, refuse) for sandbox in ("minimal", "eyes_on"))
    with one, other, pytest.raises(Enough):
        take_turn(home, "minimal", refuse)


def test_a_turn_that_has_ended_is_free(home: Home) -> None:
    for _ in range(2):
        take_turn(home, "minimal", refuse).close()
