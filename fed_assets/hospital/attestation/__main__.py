"""The hospital's broker and its attester, two processes that start as one.

`python -m fed_assets.hospital.attestation BROKER ATTESTER` inherits a socket for each. The first
line over one says whose it is, and where that one's files lie; a process ends when its socket
closes, which it does with the process at the other end. Nothing else can reach them.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fed_assets.errors import FedAssetsError, KeyRefused
from fed_assets.hospital.attestation.attester import SimulatedAttester
from fed_assets.hospital.attestation.broker import Broker
from fed_assets.hospital.custody import HospitalKey

Answer = Callable[[Mapping[str, Any]], dict[str, Any]]


def broker(place: Mapping[str, str]) -> Answer:
    """Returns what answers for the broker of a hospital."""
    keys = HospitalKey(Path(place["key_file"]), place["hospital"])
    return Broker(keys, Path(place["approval"])).answer


def attester(place: Mapping[str, str]) -> Answer:
    """Returns what answers for the attester of a hospital."""
    return SimulatedAttester(place["hospital"], Path(place["approval"])).answer


def serve(channel: socket.socket, role: Callable[[Mapping[str, str]], Answer]) -> None:
    """Answers one line of JSON by another, until the channel is closed."""
    with channel, channel.makefile("rw", encoding="utf-8") as lines:
        first = lines.readline()
        if not first:
            return
        answer = role(json.loads(first))
        for line in lines:
            lines.write(json.dumps(_answered(answer, line)) + "\n")
            lines.flush()


def _answered(answer: Answer, line: str) -> dict[str, Any]:
    try:
        return answer(json.loads(line))
    except FedAssetsError as error:
        return {"error": error.as_record()}
    except Exception as error:
        # Its text may hold what a hostile request brought along.
        unforeseen = KeyRefused(
            "The hospital's broker or attester could not answer", seen=type(error).__name__
        )
        return {"error": unforeseen.as_record()}


def main() -> None:
    """Becomes the broker; the attester is forked before either has opened anything."""
    os.umask(0o077)
    ours, theirs = (socket.socket(fileno=int(number)) for number in sys.argv[1:])
    child = os.fork()
    if child == 0:
        ours.close()
        serve(theirs, attester)
        os._exit(0)
    theirs.close()
    serve(ours, broker)
    os.waitpid(child, 0)  # its socket has closed too


if __name__ == "__main__":
    main()
