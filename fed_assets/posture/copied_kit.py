"""A hospital's kit is copied, and somebody logs in with it from another place."""

from __future__ import annotations

import json
import shutil
import signal
import time
from enum import StrEnum
from pathlib import Path

from fed_assets.federation.processes import Federation
from fed_assets.federation.site import TEMPORARY, Site

LOOK_SECONDS = 0.05


class Login(StrEnum):
    """What came of a log-in."""

    LOGGED_IN = "logged in"
    REFUSED = "refused"
    NEITHER = "neither"


# What NVFlare's client says once it knows.
_SAID = {
    "Verified received token and signature successfully": Login.LOGGED_IN,
    "registration rejected": Login.REFUSED,
}


def take_guard_away(server: Path) -> None:
    """Leaves a server that has not started yet with NVFlare's own ways."""
    file = server / "local" / "resources.json"
    resources = json.loads(file.read_text())
    (guard,) = [each for each in resources["components"] if each["id"] == "login_guard"]
    resources["components"].remove(guard)
    file.write_text(json.dumps(resources))


def copied(workspace: Path, place: Path) -> Path:
    """Copies a kit byte by byte, but for how much its client says of itself."""
    for name in ("startup", "local"):
        shutil.copytree(workspace / name, place / name)
    log_config = place / "local" / "log_config.json"
    config = json.loads(log_config.read_text())
    config["loggers"]["root"]["level"] = "INFO"
    log_config.write_text(json.dumps(config))
    return place


def outcome(place: Path, seconds: float = 30.0) -> Login:
    """Waits until a copy's client is logged in or refused, and returns which."""
    log, deadline = place / "log.txt", time.monotonic() + seconds
    while time.monotonic() < deadline:
        said = log.read_text() if log.exists() else ""
        for sign, came in _SAID.items():
            if sign in said:
                return came
        time.sleep(LOOK_SECONDS)
    return Login.NEITHER


def freeze(federation: Federation, hospital: str) -> None:
    """Stops a hospital's client: it and its copy would take the connection from each other."""
    federation.processes[hospital].signal(signal.SIGSTOP)


def log_in_with_copy(federation: Federation, hospital: str, root: Path) -> Login:
    """Copies a frozen hospital's kit under a folder, logs in with it, and says what came of it."""
    place = root / "sites" / hospital
    (root / TEMPORARY).mkdir(parents=True)
    copied(federation.kits.hospitals[hospital], place)
    copy = federation.origin.start(hospital, Site(hospital, str(place)).main_program())
    try:
        return outcome(place)
    finally:
        copy.end()
        copy.gone(seconds=5.0)
