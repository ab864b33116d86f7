"""A hospital's machine of one federation, as a job of Azure ML: it joins, serves, and answers so.

`python -m fed_assets.resources.azure_host HOSPITAL MESSAGES HOME [IMAGES]` runs on a compute of the
hospital's own workspace, as `hospital.azure_job` does. With its kit, which came through the
hospital's own container, it joins like any hospital on a host of its own, and from then on is one:
it opens all connections itself, and does what `hospital.yaml` in its home lets it do.

    <here>/host       who it is: made for this job, and gone with its compute
    <here>/hospitals  the hospital's own folder in its home, where its stores and keys lie
"""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from fed_assets.containers.job_messages import Brought, Machine, answer_job, read_command_line
from fed_assets.errors import DoorUnreachable, KitRefused, WorkerFailed
from fed_assets.hosts.identity import Identity, take_up
from fed_assets.hosts.kit import read_kit
from fed_assets.hosts.steps import Step
from fed_assets.resources.home import Home
from fed_assets.resources.host_preflight import preflight_way
from fed_assets.resources.host_process import place_of
from fed_assets.resources.host_settings import HostSettings, read_host_settings
from fed_assets.resources.kept_process import keep
from fed_assets.resources.settings import Settings
from fed_assets.sandboxes.presets import SHIPPED_CONFIGURABLE

PROGRAM = "fed_assets.resources.azure_host"
KIT = "kit"  # the file that comes with the request
# What the hospital itself puts into its home.
SETTINGS_FILE, CONFIGURABLE_FILE = "hospital.yaml", "configurable.yaml"


def serve(brought: Brought, machine: Machine) -> str:
    """Serves until the federation is over; returns the reply.

    Raises:
        FedAssetsError: It cannot join, or gave up.
    """
    machine.require_own()
    settings = machine.home / SETTINGS_FILE
    allowed = read_host_settings(settings)
    configurable = machine.home / CONFIGURABLE_FILE
    chosen = Settings(
        _home(machine, Path.cwd() / "machine"),
        data=machine.images,
        configurable=configurable if configurable.exists() else SHIPPED_CONFIGURABLE,
    )
    _require_ready(preflight_way(chosen, _identity(brought, machine, chosen, allowed))[0])
    place = place_of(chosen, settings, one_federation=True)
    command = [sys.executable, "-m", "fed_assets.resources.host_process", place]
    code = keep(
        lambda: subprocess.Popen(command, start_new_session=True),
        lambda line: print(line, flush=True),
        signal.SIGTERM,
    )
    if code:
        raise WorkerFailed(
            f"The machine of {machine.hospital} gave up serving",
            seen=f"exit code {code}",
            cure="Read the job's log in the hospital's workspace, which says why",
        )
    return json.dumps({"result": {}})


def _home(machine: Machine, root: Path) -> Home:
    """Returns the home of this job: on the compute's own disk, but for what is to stay."""
    home = Home(root).prepare()
    own = machine.store
    own.mkdir(parents=True, exist_ok=True, mode=0o700)
    for folder in (machine.home, own.parent):
        with suppress(OSError):  # a mount may know no modes
            # Where it is confined, the hospital's own user passes.
            folder.chmod(stat.S_IMODE(folder.stat().st_mode) | 0o001)
    home.hospitals.mkdir(exist_ok=True, mode=0o700)
    link = home.hospital(machine.hospital)
    link.unlink(missing_ok=True)  # of a try before, where Azure ML starts a job once more
    link.symlink_to(own.resolve(), target_is_directory=True)
    return home


def _identity(
    brought: Brought, machine: Machine, chosen: Settings, allowed: HostSettings
) -> Identity:
    """Returns who the machine is from now on.

    Raises:
        KitRefused: There is no kit, or it is another hospital's, or cannot be used.
    """
    if KIT not in brought.files:
        raise KitRefused("The job of a hospital's machine was sent no start-up kit")
    path = chosen.home.root / KIT
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(brought.files[KIT])
    kit = read_kit(path, expected=allowed.fingerprint)
    path.unlink()
    if kit.hospital != machine.hospital:
        raise KitRefused(
            f"The job of {machine.hospital} was sent the start-up kit of another hospital",
            seen=kit.hospital,
            cure="Find out who can write into the hospital's container",
        )
    return take_up(kit, chosen.home.host)


def _require_ready(found: Sequence[Step]) -> None:
    failed = [step for step in found if step.state == "failed"]
    if failed:
        raise DoorUnreachable(
            f"The hospital's machine is not ready: {', '.join(step.name for step in failed)}",
            seen="; ".join(step.seen for step in failed),
            cure="; ".join(step.cure for step in failed),
        )


def main() -> None:
    """Runs the job that the command line describes."""
    machine, messages = read_command_line(sys.argv[1:], PROGRAM)
    os.umask(0o077)
    answer_job(machine, messages, lambda brought: serve(brought, machine))


if __name__ == "__main__":
    main()
