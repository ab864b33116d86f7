"""A wire between two network namespaces: it delays and loses packets, and can be cut.

`python -m fed_assets_tests.hosts.wire ONE OTHER` makes a device `wire-OTHER` in a namespace ONE and
`wire` in OTHER, and passes IP packets between them in this process, as `tc netem` would in kernels
that have it. It reads commands from stdin, a line each: `delay SECONDS` (each way), `loss SHARE`,
`cut`, `mend`, `count`; each is answered with a line of JSON. Nobody may open connections towards
OTHER: a packet that would is dropped, and counted.
"""

from __future__ import annotations

import ctypes
import fcntl
import heapq
import json
import os
import random
import select
import struct
import sys
import time
from pathlib import Path

_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
_CLONE_NEWNET = 0x40000000
_SYN, _ACK, _TCP = 0x02, 0x10, 6
MOST_WAITING = 10_000
_library = ctypes.CDLL(None, use_errno=True)


def enter(namespace: str) -> None:
    """Puts this thread into a network namespace."""
    with Path("/run/netns", namespace).open() as file:
        if _library.setns(file.fileno(), _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns to {namespace}")


def device(namespace: str, name: str) -> int:
    """Returns the descriptor of a new device in a namespace, which goes when it is closed."""
    enter(namespace)
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    asked = struct.pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI)
    fcntl.ioctl(descriptor, _TUNSETIFF, asked)
    return descriptor


def opens_a_connection(packet: bytes) -> bool:
    """Returns whether an IPv4 packet is the first of a TCP connection."""
    if len(packet) < 20 or packet[0] >> 4 != 4 or packet[9] != _TCP:
        return False
    flags = packet[(packet[0] & 0x0F) * 4 + 13]
    return bool(flags & _SYN and not flags & _ACK)


class Wire:
    """What is on its way between two devices.

    Args:
        one: The descriptor of the orchestrator's side.
        other: That of the hospital's.
    """

    def __init__(self, one: int, other: int) -> None:
        self.ends = (one, other)
        self.delay, self.loss, self.whole = 0.0, 0.0, True
        self.passed = self.lost = self.opened_from_outside = 0
        self._under_way: list[tuple[float, int, int, bytes]] = []
        self._number = 0

    def until_next(self) -> float:
        """Returns how long it is until a packet arrives."""
        due = self._under_way[0][0] - time.monotonic() if self._under_way else 1.0
        return min(max(due, 0.0), 1.0)

    def take(self, end: int) -> None:
        """Takes the packets that came in at one end."""
        target = self.ends[1] if end == self.ends[0] else self.ends[0]
        for _ in range(256):
            try:
                packet = os.read(end, 65536)
            except BlockingIOError:
                return
            if target == self.ends[1] and opens_a_connection(packet):
                self.opened_from_outside += 1
                continue
            full = len(self._under_way) >= MOST_WAITING
            if not self.whole or full or random.random() < self.loss:
                self.lost += 1
                continue
            self._number += 1
            due = time.monotonic() + self.delay
            heapq.heappush(self._under_way, (due, self._number, target, packet))

    def hand_over(self) -> None:
        """Hands over the packets that have arrived."""
        while self._under_way and self._under_way[0][0] <= time.monotonic():
            _, _, target, packet = heapq.heappop(self._under_way)
            if self.whole:
                try:
                    os.write(target, packet)
                    self.passed += 1
                except OSError:  # the device is down, or full
                    self.lost += 1

    def heed(self, line: str) -> None:
        """Does what a command says."""
        match line.split():
            case ["delay", seconds]:
                self.delay = float(seconds)
            case ["loss", share]:
                self.loss = float(share)
            case ["cut"]:
                self.whole = False
                self._under_way.clear()
            case ["mend"]:
                self.whole = True


def main() -> None:
    """Passes packets on until stdin ends."""
    one, other = sys.argv[1:]
    wire = Wire(device(one, f"wire-{other}"[:15]), device(other, "wire"))
    print(json.dumps({"ready": True}), flush=True)
    while True:
        readable, _, _ = select.select([sys.stdin, *wire.ends], [], [], wire.until_next())
        for end in wire.ends:
            if end in readable:
                wire.take(end)
        wire.hand_over()
        if sys.stdin in readable:
            line = sys.stdin.readline()
            if not line:
                return
            wire.heed(line)
            counts = ("passed", "lost", "opened_from_outside")
            print(json.dumps({name: getattr(wire, name) for name in counts}), flush=True)


if __name__ == "__main__":
    main()
