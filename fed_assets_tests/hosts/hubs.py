"""A hub and its hospitals as homes on one machine, and our commands in them as processes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from fed_assets.federation.child import end_child
from fed_assets.resources.home import Home
from fed_assets_tests.networks import SMALL_RESNET

PROJECT = Path(__file__).parent.parent.parent
Start = Callable[..., "subprocess.Popen[str]"]


def start_here(_: str, command: Sequence[str], **options: Any) -> subprocess.Popen[str]:
    """Starts a command on this machine, whatever host it is for."""
    return subprocess.Popen(command, cwd=PROJECT, text=True, **options)


@dataclass
class Consortium:
    """A hub, and hospitals on hosts of their own.

    Attributes:
        folder: Where all homes lie.
        start: Starts a command on a host.
    """

    folder: Path
    start: Start
    running: dict[str, subprocess.Popen[str]] = field(default_factory=dict)

    @property
    def home(self) -> Home:
        return Home(self.folder / "hub")

    def environment(self, host: str) -> dict[str, str]:
        known = {name: value for name, value in os.environ.items() if "FED_ASSETS" not in name}
        home = self.folder / host
        ours = {"FED_ASSETS_HOME": str(home), "DAGSTER_HOME": str(home / "dagster")}
        ours["COLUMNS"] = "300"  # tables on one line a row
        if host == "hub":
            ours["FED_ASSETS_ROSTER"] = str(self.folder / "roster.yaml")
        return known | ours

    def tell(self, host: str, *command: str, seconds: float = 120) -> tuple[int, str]:
        """Returns how a command ended, and all that it told."""
        process = self.start(
            host,
            [sys.executable, "-m", "fed_assets.cli", *command],
            env=self.environment(host),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        told, _ = process.communicate(timeout=seconds)
        return process.returncode, told

    def serve(self, host: str, *command: str) -> None:
        """Starts a command that stays, whose words go into a log."""
        with (self.folder / f"{host}.log").open("a") as log:
            self.running[host] = self.start(
                host,
                [sys.executable, "-m", "fed_assets.cli", *command],
                env=self.environment(host),
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def log(self, host: str) -> str:
        return (self.folder / f"{host}.log").read_text()

    def wait_for(self, host: str, words: str, *, times: int = 1, seconds: float = 120) -> None:
        """Waits until a host has said something so often."""
        end = time.monotonic() + seconds
        while len(re.findall(words, self.log(host))) < times:
            process = self.running[host]
            assert process.poll() is None, self.log(host)
            assert time.monotonic() < end, self.log(host)
            time.sleep(0.1)

    def rounds(self, sandbox: str) -> list[dict[str, Any]]:
        newest = self.home.federations(sandbox)[0]
        found = sorted(newest.glob("outbox/rounds/*/round.json"))
        return [json.loads(path.read_text()) for path in found]


@contextmanager
def consortium(
    folder: Path,
    start: Start,
    *,
    address: str,
    here: Sequence[str],
    elsewhere: Sequence[str],
    sandbox: str,
    **changes: Any,
) -> Iterator[Consortium]:
    """Yields a hub whose door is open, and hospitals that have joined; all is ended after."""
    hospitals: list[dict[str, Any]] = [{"id": name, "name": name} for name in here]
    hospitals += [{"id": name, "name": name, "remote": "share"} for name in elsewhere]
    roster = {
        "title": "Hospitals here and elsewhere",
        "data": {
            "source": {"kind": "phantom", "images": 240, "test_images": 40, "size": 28},
            "share": {"how": "iid"},
            "split_fractions": {"train": 0.6, "validation": 0.2, "test": 0.2},
        },
        "hospitals": hospitals,
        "network": SMALL_RESNET,
        "federation": {"door": address},
    }
    (folder / "roster.yaml").write_text(yaml.safe_dump(roster | changes))
    made = Consortium(folder, start)
    with ExitStack() as stack:
        stack.callback(_end, made)
        for name in elsewhere:
            (folder / name).mkdir()
            (folder / name / "hospital.yaml").write_text(f"accepts: [{sandbox}]\n")
            code, told = made.tell("hub", "federation", "kit", name, "--to", f"{folder / name}.kit")
            assert code == 0, told
        made.serve("hub", "federation", "door", "--listen", address.rpartition(":")[0])
        made.wait_for("hub", "The door is open")
        for name in elsewhere:
            made.serve(name, "hospital", "join", f"{folder / name}.kit")
        for name in elsewhere:
            made.wait_for(name, "Connected with the door", seconds=240)
        yield made


def _end(made: Consortium) -> None:
    for process in made.running.values():
        end_child(process, 40)


@contextmanager
def started_run(made: Consortium, sandbox: str, *more: str) -> Iterator[subprocess.Popen[str]]:
    """Yields `fed-assets run` on the hub while it runs; it is ended after."""
    run = made.start(
        "hub",
        [sys.executable, "-m", "fed_assets.cli", "run", sandbox, *more],
        env=made.environment("hub"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        yield run
    finally:
        if run.poll() is None:
            end_child(run, 60)


def wait_for_round(
    made: Consortium, run: subprocess.Popen[str], number: int, known: Sequence[Path] = ()
) -> None:
    """Waits until a federation that was not known before has published a round."""
    end = time.monotonic() + 600
    while not any(
        (folder / "outbox" / "rounds" / f"{number:04d}" / "round.json").exists()
        for folder in made.home.federations("*")
        if folder not in known
    ):
        assert run.poll() is None, run.communicate()[0]
        assert time.monotonic() < end
        time.sleep(0.05)
