"""A hub and its hospitals as homes on one machine, and our commands in them as processes."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import yaml

from fed_assets.federation.child import end_child
from fed_assets.resources.home import Home
from fed_assets_tests.networks import SMALL_RESNET

PROJECT = Path(__file__).parent.parent.parent
Start = Callable[..., "subprocess.Popen[str]"]


def start_here(_: str, command: Sequence[str], **options: Any) -> subprocess.Popen[str]:
    """Starts a command on this machine, whatever host it is for."""
    return subprocess.Popen(command, cwd=PROJECT, text=True, **options)


def free_address() -> str:
    """Returns an address on loopback at which nothing listens now."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{unused.getsockname()[1]}"


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
        if (sandbox := self.folder / "sandbox.yaml").exists():  # agreed on by all of them
            ours["FED_ASSETS_SANDBOX"] = str(sandbox)
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

    def join(self, *hospitals: str) -> None:
        """Has hospitals' machines join, and waits until they are connected."""
        for name in hospitals:
            self.serve(name, "hospital", "join", f"{self.folder / name}.kit")
        for name in hospitals:
            self.wait_for(name, "Connected with the door", seconds=600)

    @contextmanager
    def started_run(self, sandbox: str, *options: str) -> Iterator[subprocess.Popen[str]]:
        """Yields a run of the hub's; it is ended after."""
        run = self.start(
            "hub",
            [sys.executable, "-m", "fed_assets.cli", "run", sandbox, *options],
            env=self.environment("hub"),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            yield run
        finally:
            if run.poll() is None:
                end_child(run, 60)

    def run(self, sandbox: str, *options: str) -> tuple[int, str]:
        """Returns how a run ended, and all that it told, as one line."""
        with self.started_run(sandbox, *options) as run:
            told, _ = run.communicate(timeout=900)
        return run.returncode, " ".join(told.split())

    def wait_for_round(
        self, run: subprocess.Popen[str], sandbox: str, number: int, known: Sequence[Path] = ()
    ) -> Path:
        """Waits for a round of a run, and returns the folder of its federation.

        Args:
            run: It.
            sandbox: Its own.
            number: The round's.
            known: The folders of earlier federations.
        """
        end = time.monotonic() + 1200
        place = f"outbox/rounds/{number:04d}/round.json"
        while not (
            found := [
                folder / place
                for folder in self.home.federations(sandbox)
                if folder not in known and (folder / place).exists()
            ]
        ):
            assert run.poll() is None, run.communicate()[0]
            assert time.monotonic() < end
            time.sleep(0.05)
        return max(found, key=lambda path: path.stat().st_mtime).parents[3]

    def serving(self, host: str) -> psutil.Process:
        """Returns the process of a hospital's machine that serves, which another one keeps."""
        keeper = psutil.Process(self.running[host].pid)
        (found,) = [
            each
            for each in keeper.children(recursive=True)
            if "fed_assets.resources.host_process" in each.cmdline()
        ]
        return found

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
    accepts: Sequence[str],
    controls: Mapping[str, Any] | None = None,
    joined: bool = True,
    **changes: Any,
) -> Iterator[Consortium]:
    """Yields a hub whose door is open, and hospitals that have joined; all is ended after.

    Args:
        folder: Where all homes lie.
        start: Starts a command on a host.
        address: The door's.
        here: The hospitals on the hub's machine.
        elsewhere: Those on hosts of their own.
        accepts: The sandboxes that these accept.
        controls: Of the configurable sandbox; as shipped, if left out.
        joined: Whether they have joined already, or have a kit alone.
        changes: Of the roster.
    """
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
        "federation": {"door": address, "start_timeout_seconds": 300},  # where others use the cores
    }
    (folder / "roster.yaml").write_text(yaml.safe_dump(roster | changes))
    if controls is not None:
        (folder / "sandbox.yaml").write_text(yaml.safe_dump(dict(controls)))
    for path in folder.iterdir():
        path.chmod(0o644)
    made = Consortium(folder, start)
    with ExitStack() as stack:
        stack.callback(_end, made)
        for name in elsewhere:
            (folder / name).mkdir()
            (folder / name / "hospital.yaml").write_text(f"accepts: [{', '.join(accepts)}]\n")
            code, told = made.tell("hub", "federation", "kit", name, "--to", f"{folder / name}.kit")
            assert code == 0, told
        made.serve("hub", "federation", "door", "--listen", address.rpartition(":")[0])
        made.wait_for("hub", "The door is open")
        if joined:
            made.join(*elsewhere)
        yield made


def _end(made: Consortium) -> None:
    for process in made.running.values():
        end_child(process, 40)
