"""The hospital's broker and attester, as the process sees them that has started both."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fed_assets.errors import KeyRefused, error_from_record

PROCESSES = "fed_assets.hospital.attestation"
ANSWER_SECONDS = 60.0
END_SECONDS = 5.0


@dataclass(frozen=True)
class Beside:
    """A broker and an attester that run beside this process, each at the end of a channel."""

    process: subprocess.Popen[bytes]
    broker: Channel
    attester: Channel

    @property
    def alive(self) -> bool:
        """Returns whether both can still be asked."""
        open_still = self.broker.is_open and self.attester.is_open
        return open_still and self.process.poll() is None

    def end(self) -> None:
        """Ends both."""
        self.broker.close()
        self.attester.close()
        try:
            self.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Channel:
    """One of the two, asked a line at a time."""

    def __init__(self, ours: socket.socket, place: Mapping[str, str]) -> None:
        self._socket = ours
        self._lines = ours.makefile("rw", encoding="utf-8")
        ours.settimeout(ANSWER_SECONDS)
        self._lines.write(json.dumps(place) + "\n")

    def __call__(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Returns its answer; raises what it refuses, or KeyRefused where it is gone."""
        answer = None
        with contextlib.suppress(OSError, ValueError):
            self._lines.write(json.dumps(request) + "\n")
            self._lines.flush()
            answer = json.loads(self._lines.readline())
        if not isinstance(answer, dict):
            self.close()
            raise KeyRefused(
                "The hospital's broker or attester does not answer",
                cure="Run again; the hospital's own log may say why it ended",
            )
        if "error" in answer:
            raise error_from_record(answer["error"])
        return answer

    @property
    def is_open(self) -> bool:
        """Returns whether it can be asked."""
        return self._socket.fileno() != -1

    def close(self) -> None:
        """Closes the channel, at which the other end ends."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError, ValueError):
            self._lines.close()
        self._socket.close()


def start_beside(place: Mapping[str, str]) -> Beside:
    """Starts a hospital's broker and attester: an interpreter of their own, of the same package.

    Raises:
        KeyRefused: They cannot be started.
    """
    ours, theirs = zip(*(socket.socketpair() for _ in range(2)), strict=True)
    numbers = [each.fileno() for each in theirs]
    try:
        process = subprocess.Popen(
            # -P: nothing that lies in the folder where this process works is imported.
            [sys.executable, "-P", "-m", PROCESSES, *map(str, numbers)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=numbers,
        )
    except OSError as error:
        for each in ours:
            each.close()
        raise KeyRefused(
            "The hospital's broker cannot be started",
            where=sys.executable,
            seen=error.strerror or "",
            cure="Have the hospital's own user be able to run this interpreter",
        ) from None
    finally:
        for each in theirs:
            each.close()
    told = {name: place[name] for name in ("hospital", "approval")}  # the key is not its business
    return Beside(process, Channel(ours[0], place), Channel(ours[1], told))
