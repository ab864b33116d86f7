"""Separate hosts on one machine: a network namespace for each, and wires between them.

The orchestrator's is `hub`; every hospital's has one wire, to the hub, and nothing else. Hospitals
reach the hub at `HUB`, whatever wire they have; nobody reaches them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parent.parent.parent
HUB = "10.77.0.1"


def why_not() -> str:
    """Returns why namespaces cannot be made here; empty where they can."""
    if os.geteuid() != 0:
        return "only root can make network namespaces"
    if not Path("/dev/net/tun").exists():
        return "this machine has no /dev/net/tun, of which wires are made"
    name = f"fa{os.getpid()}p"
    try:
        _ip("netns", "add", name)
    except (OSError, subprocess.CalledProcessError) as error:
        return f"network namespaces cannot be made here ({type(error).__name__})"
    _ip("netns", "del", name)
    return ""


@dataclass
class Network:
    """Hosts, each a namespace, by what they are called in the tests."""

    names: Mapping[str, str]
    wires: dict[str, subprocess.Popen[str]] = field(default_factory=dict)

    def start(self, host: str, command: Sequence[str], **options: Any) -> subprocess.Popen[str]:
        """Starts a command on a host."""
        inside = ["ip", "netns", "exec", self.names[host], *command]
        return subprocess.Popen(inside, cwd=PROJECT, text=True, **options)

    def tell(self, hospital: str, command: str) -> dict[str, int]:
        """Tells a hospital's wire something, and returns what it has counted."""
        wire = self.wires[hospital]
        assert wire.stdin and wire.stdout
        wire.stdin.write(f"{command}\n")
        wire.stdin.flush()
        counted: dict[str, int] = json.loads(wire.stdout.readline())
        return counted


@contextmanager
def network(hospitals: Sequence[str]) -> Iterator[Network]:
    """Yields a network of the hub and some hospitals; all of it is gone after."""
    mine = f"fa{os.getpid()}"
    made = Network({name: f"{mine}{name}" for name in ("hub", *hospitals)})
    with ExitStack() as stack:
        for name in made.names.values():
            _ip("netns", "add", name)
            stack.callback(_remove, name)
            _ip("-n", name, "link", "set", "lo", "up")
        hub = made.names["hub"]
        _ip("-n", hub, "addr", "add", f"{HUB}/32", "dev", "lo")
        for number, hospital in enumerate(hospitals, start=1):
            own = made.names[hospital]
            wire = subprocess.Popen(
                [sys.executable, "-m", "fed_assets_tests.hosts.wire", hub, own],
                cwd=PROJECT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            stack.callback(_end, wire)
            assert wire.stdout
            assert json.loads(wire.stdout.readline())["ready"]
            made.wires[hospital] = wire
            here, there = f"10.77.{number}.1", f"10.77.{number}.2"
            for name, device, address, peer in (
                (hub, f"wire-{own}"[:15], here, there),
                (own, "wire", there, here),
            ):
                _ip("-n", name, "addr", "add", address, "peer", f"{peer}/32", "dev", device)
                _ip("-n", name, "link", "set", device, "up")
            _ip("-n", own, "route", "add", "default", "via", here, "dev", "wire")
        yield made


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def _remove(name: str) -> None:
    with suppress(subprocess.CalledProcessError):
        _ip("netns", "del", name)


def _end(wire: subprocess.Popen[str]) -> None:
    with wire:
        if wire.stdin:
            wire.stdin.close()
