"""Hospitals of a home that try to reach each other's; each process tells what it could.

`python -m fed_assets_tests.resources.confined_home HOME walls` builds walls first; with `open` in
their place there are none.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from fed_assets.federation.origin import Origin, open_origin
from fed_assets.federation.program import Program
from fed_assets.federation.walls import Walls
from fed_assets.resources.confinement import build_walls, confine_orchestrator
from fed_assets.resources.home import Home
from fed_assets_tests.federation.attempts import attempts

ATTEMPTS = "fed_assets_tests.federation.attempts"
HOSPITALS = {"north": [], "east": []}


def start(origin: Origin, home: Home, site: str, *arguments: str) -> tuple[Any, socket.socket]:
    """Returns what a site's process told first, and the channel to it."""
    folder = str(home.hospital(site if site in HOSPITALS else "coordinator") / "eyes_off")
    program = Program(
        title=ATTEMPTS,
        module=ATTEMPTS,
        arguments=arguments,
        folder=folder,
        temporary=f"{folder}/tmp",
        console=f"{folder}/console.log",
        answers=True,
    )
    ours, theirs = socket.socketpair()
    with theirs:
        process = origin.start(site, program, theirs)
    ours.settimeout(60)
    told = json.loads(ours.makefile().readline())
    if arguments[0] == "try":
        process.gone(10)  # or else it may still trace what it tried
    return told, ours


def any_program(walls: Walls) -> Walls:
    """Returns walls behind which the attempts may be run."""
    return replace(walls, sites={k: replace(w, modules=None) for k, w in walls.sites.items()})


def main() -> None:
    home, kind = sys.argv[1:]
    os.umask(0o077)
    place = Home(Path(home)).prepare()
    walls = any_program(build_walls(place, "eyes_off", HOSPITALS)) if kind == "walls" else None
    place.temporary.mkdir(exist_ok=True)
    origin = open_origin([ATTEMPTS], place.temporary, walls=walls)
    try:
        folder = place.hospital("north") / "eyes_off"
        victim, channel = start(origin, place, "north", "guard", str(folder))
        told: dict[str, Any] = {"victim": victim}
        for site in ("east", "server", "coordinator"):
            told[site], _ = start(origin, place, site, "try", json.dumps(victim))
        if walls is not None:
            told["confinement"] = asdict(confine_orchestrator(walls, place, place.instance, ""))
        told["orchestrator"] = {"user": os.geteuid(), "on the victim": attempts(victim)}
        told["command lines"] = [
            path.read_bytes().decode(errors="replace") for path in Path("/proc").glob("*/cmdline")
        ]
        channel.close()
        print(json.dumps(told))
    finally:
        origin.close()


if __name__ == "__main__":
    main()
