"""A home of three small hospitals, and our programs as processes in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml
from dagster import DagsterInstance

from fed_assets.resources.home import Home
from fed_assets_tests.leftovers import seconds_until_clean
from fed_assets_tests.networks import SMALL_RESNET

PROJECT = Path(__file__).parent.parent
LIFECYCLE = ("fed_assets.cli", "run", "minimal")
RETRAIN = (*LIFECYCLE, "--job", "retrain")


@dataclass(frozen=True)
class Place:
    """A home, and how to run our programs in it."""

    home: Home
    environment: dict[str, str]
    sandbox: str = "minimal"

    def start(self, *command: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=PROJECT,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *command: str) -> str:
        process = self.start(*command)
        told, errors = process.communicate(timeout=200)
        assert process.returncode == 0, told + errors
        return told + errors

    def tell(self, *command: str, cwd: Path = PROJECT) -> tuple[int, str]:
        """Returns the exit code of a command that leaves nothing, and all that it told."""
        ran = subprocess.run(
            [sys.executable, "-m", "fed_assets.cli", *command],
            cwd=cwd,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=250,
        )
        _, left = seconds_until_clean(self.home, within_seconds=10)
        assert left == []
        return ran.returncode, ran.stdout

    def start_until_round(self, number: int, *command: str) -> tuple[subprocess.Popen[str], Path]:
        """Starts a program, and returns it with its run's folder when a round is published."""
        before = set(self.home.federations(self.sandbox))
        process = self.start(*command)
        end = time.monotonic() + 120
        while not (published := self._new_rounds(before, number)):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < end
            time.sleep(0.02)
        return process, published[0].parents[2]

    def kill_after_round(self, number: int, *command: str) -> Path:
        """Kills a program when a round is published, and returns its run's folder."""
        process, folder = self.start_until_round(number, *command)
        family = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.communicate()
        _, alive = psutil.wait_procs(family, timeout=20)
        assert [each for each in alive if each.status() != psutil.STATUS_ZOMBIE] == []
        return folder

    def _new_rounds(self, before: set[Path], number: int) -> list[Path]:
        found = self.home.root.glob(f"federations/{self.sandbox}/*/outbox/rounds/{number:04d}")
        return [path for path in found if path.parents[2] not in before]

    def run_id(self, folder: Path) -> str:
        with DagsterInstance.from_config(str(self.home.instance)) as instance:
            (run,) = [each for each in instance.get_runs() if each.run_id.startswith(folder.name)]
        return run.run_id

    def artifact(self, name: str) -> Any:
        return json.loads((self.home.artifacts / name / f"{self.sandbox}.json").read_text())


def make_place(folder: Path, **changes: Any) -> Place:
    """Returns a place with a roster of its own, after writing that."""
    roster = {
        "title": "Three small hospitals",
        "data": {"source": {"kind": "phantom", "images": 240, "test_images": 40, "size": 28}},
        "hospitals": [{"id": name, "name": name} for name in ("north", "east", "south")],
        "network": SMALL_RESNET,
    }
    folder.mkdir()
    (folder / "roster.yaml").write_text(yaml.safe_dump(roster | changes))
    home = folder / "home"
    known = {name: value for name, value in os.environ.items() if "FED_ASSETS" not in name}
    ours = {"FED_ASSETS_HOME": home, "FED_ASSETS_ROSTER": folder / "roster.yaml"}
    ours |= {"DAGSTER_HOME": home / "dagster"}
    return Place(Home(home), known | {name: str(value) for name, value in ours.items()})
