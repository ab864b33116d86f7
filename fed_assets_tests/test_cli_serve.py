"""`fed-assets serve` as a person uses it: an address, an answer, and one line at its end."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest

from fed_assets_tests.places import PROJECT, Place, make_place

pytestmark = pytest.mark.slow  # each starts the command line, and what answers


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return make_place(tmp_path / "place")


def start(place: Place, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "fed_assets.cli", "serve", "minimal", *options],
        cwd=PROJECT,
        env=place.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def address(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("minimal listens at http://127.0.0.1:"), process.communicate()
    assert line.endswith("It has no champion: requests are refused until one is promoted.\n")
    return line.split()[3].rstrip(";")


def test_it_answers_before_the_first_model_and_ends_at_ctrl_c_in_one_line(place: Place) -> None:
    process = start(place, "--port", "0", "--workers", "1")
    url = address(process)
    ready = wait_for_answer(f"{url}/health/ready")
    assert ready.status_code == 503
    assert ready.json()["trouble"] == "the sandbox minimal has no champion"
    family = psutil.Process(process.pid).children(recursive=True)
    assert len(family) == 2

    process.send_signal(signal.SIGINT)
    told, errors = process.communicate(timeout=20)

    assert (process.returncode, told) == (0, "")
    assert errors == "Ended; what was being answered was finished.\n"
    assert [each for each in family if each.is_running()] == []


def wait_for_answer(url: str) -> httpx.Response:
    end = time.monotonic() + 60
    while True:
        try:
            answer = httpx.get(url, trust_env=False, timeout=60)
            if "not asked yet" not in answer.text:
                return answer
        except httpx.TransportError:
            assert time.monotonic() < end
        time.sleep(0.05)


def test_what_keeps_it_is_started_again_and_given_up_where_that_does_not_help(
    place: Place,
) -> None:
    process = start(place, "--port", "0", "--workers", "1")
    url = address(process)
    wait_for_answer(f"{url}/health/live")
    keeper, answering = psutil.Process(process.pid).children(recursive=True)
    keeper.kill()
    wait_for_answer(f"{url}/health/live")
    psutil.wait_procs([answering], timeout=10)
    assert not answering.is_running()
    while process.poll() is None:
        for each in psutil.Process(process.pid).children():
            with suppress(psutil.NoSuchProcess):
                each.kill()
        time.sleep(0.05)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "ended with exit code -9; it is started again" in errors
    assert errors.endswith("The service of minimal ended again and again, and is given up.\n")


def test_a_lost_key_is_not_replaced_where_packages_were_signed_with_it(place: Place) -> None:
    package = place.home.models("minimal") / "v1" / "package"
    package.mkdir(parents=True)
    (package / "manifest.sig").touch()
    code, told = place.tell("serve", "minimal", "--port", "0")
    assert code == 1
    assert told.startswith("Error: The key that models are signed with is gone.")
    assert "Put the key and its public half back from a backup" in told
    assert not place.home.models_key.parent.exists()


def test_a_taken_port_and_an_unknown_sandbox_are_refused_in_one_line(place: Place) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        code, told = place.tell("serve", "minimal", "--port", port)
    assert code == 1
    assert told.startswith(f"Error: The service cannot listen on port {port}.")
    code, told = place.tell("serve", "nowhere")
    assert code == 1
    assert told.startswith("Error: There is no sandbox named nowhere.")
