"""What the desk knows of hospitals' machines, of what they were asked, and of sites there."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fed_assets.hosts.desk_socket import Caller
from fed_assets.hosts.post import Post


def event_of(said: object) -> dict[str, Any] | None:
    """Returns what a machine says became of a site, in numbers alone; None where it is nonsense.

    >>> event_of({"ended": 1, "why": "words of its own"})
    {'ended': 1}
    """
    match said:
        case {"ended": int(code)}:
            return {"ended": code}
        case {"job": str(job), "code": (int() | None) as code}:
            return {"job": job, "code": code}
    return None


@dataclass
class Host:
    """A hospital's machine: its messages, how many connections it has, and since when none."""

    post: Post
    connections: int = 0
    away_since: float = field(default_factory=time.monotonic)


@dataclass
class Request:
    """What a run asked of a hospital, under the run's own number, and the letter that says so."""

    caller: Caller
    number: int
    hospital: str
    header: Mapping[str, Any]
    attachments: list[bytes]
    letter: int = 0


@dataclass(frozen=True)
class Site:
    """A site that a run opened at a hospital, and the port of its federation's server."""

    caller: Caller
    hospital: str
    port: int
