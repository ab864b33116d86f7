"""Hosts of their own, made of network namespaces: the way to the door, slow, lossy and cut."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from fed_assets_tests.hosts.network import HUB, Network, network, why_not

LISTEN = """
import socket, sys
with socket.create_server(("0.0.0.0", 7001)) as listener:
    print("ready", flush=True)
    while True:
        link, _ = listener.accept()
        while piece := link.recv(65536):
            link.sendall(piece)
        link.close()
"""
CALL = """
import socket, sys, time
began = time.monotonic()
with socket.create_connection((sys.argv[1], 7001), timeout=float(sys.argv[2])) as link:
    link.settimeout(60)
    link.sendall(b"x" * 200_000)
    link.shutdown(socket.SHUT_WR)
    got = 0
    while piece := link.recv(65536):
        got += len(piece)
print(got, time.monotonic() - began)
"""


@pytest.fixture(scope="module")
def hosts_apart() -> Iterator[Network]:
    if reason := why_not():
        pytest.skip(reason)
    with network(["east", "south"]) as made:
        yield made


def call(made: Network, host: str, address: str, seconds: float = 20) -> tuple[int, float]:
    """Returns how many bytes came back, and within which time."""
    process = made.start(
        host,
        [sys.executable, "-c", CALL, address, str(seconds)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    told, errors = process.communicate(timeout=90)
    if process.returncode:
        raise ConnectionError(errors.strip().splitlines()[-1])
    got, took = told.split()
    return int(got), float(took)


@pytest.fixture
def listening(hosts_apart: Network) -> Iterator[Callable[[str], None]]:
    started: list[subprocess.Popen[str]] = []

    def listen(host: str) -> None:
        process = hosts_apart.start(host, [sys.executable, "-c", LISTEN], stdout=subprocess.PIPE)
        started.append(process)
        assert process.stdout
        assert process.stdout.readline() == "ready\n"

    yield listen
    for each in started:
        each.kill()
        each.wait()
        if each.stdout:
            each.stdout.close()


def test_hospitals_reach_the_hub_and_nobody_reaches_them(
    hosts_apart: Network, listening: Callable[[str], None]
) -> None:
    for host in ("hub", "east"):
        listening(host)
    assert call(hosts_apart, "east", HUB)[0] == 200_000
    assert call(hosts_apart, "south", HUB)[0] == 200_000
    before = hosts_apart.tell("east", "count")["opened_from_outside"]
    with pytest.raises(ConnectionError):
        call(hosts_apart, "hub", "10.77.1.2", seconds=1)
    with pytest.raises(ConnectionError):
        call(hosts_apart, "south", "10.77.1.2", seconds=1)
    assert hosts_apart.tell("east", "count")["opened_from_outside"] > before


def test_a_wire_is_as_slow_and_as_lossy_as_it_is_told(
    hosts_apart: Network, listening: Callable[[str], None]
) -> None:
    listening("hub")
    hosts_apart.tell("south", "delay 0.025")
    took = call(hosts_apart, "south", HUB)[1]
    assert took > 0.1  # to connect and to hear the first byte: two times there and back
    hosts_apart.tell("south", "loss 0.05")
    before = hosts_apart.tell("south", "count")["lost"]
    assert call(hosts_apart, "south", HUB)[0] == 200_000
    assert hosts_apart.tell("south", "count")["lost"] > before
    for command in ("loss 0", "delay 0"):
        hosts_apart.tell("south", command)


def test_a_wire_that_is_cut_says_nothing(
    hosts_apart: Network, listening: Callable[[str], None]
) -> None:
    listening("hub")
    hosts_apart.tell("south", "cut")
    began = time.monotonic()
    with pytest.raises(ConnectionError, match="timed out"):
        call(hosts_apart, "south", HUB, seconds=1)
    assert time.monotonic() - began >= 1
    hosts_apart.tell("south", "mend")
    assert call(hosts_apart, "south", HUB)[0] == 200_000
