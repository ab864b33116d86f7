"""A consortium of two hospitals here and one whose machine is in Azure ML, at the double."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

import pytest

from fed_assets_tests.azure_ml.jobs import Job
from fed_assets_tests.azure_ml.setting import HOSPITAL, Setting, azure_setting
from fed_assets_tests.azure_storage import Azurite
from fed_assets_tests.hosts.hubs import Consortium, consortium, free_address, start_here

DEGRADED = 3


@dataclass
class Mixed:
    """A consortium, and the workspace of its hospital in Azure ML.

    Attributes:
        sandbox: In which all of it runs.
    """

    hub: Consortium
    setting: Setting
    sandbox: str

    def hosts(self) -> list[Job]:
        """Returns the jobs that were machines of a federation, in their order."""
        jobs = self.setting.double.jobs.values()
        return [job for job in jobs if "azure_host" in job.described["command"]]

    def let(self, *sandboxes: str) -> None:
        """Has the hospital write which sandboxes its machine accepts."""
        settings = self.setting.home / "hospital.yaml"
        settings.write_text(f"accepts: {json.dumps(sandboxes)}\n")

    def run_whole(self) -> Job:
        """Runs a lifecycle in which all three take part; returns the hospital's machine in it."""
        code, told = self.hub.tell("hub", "run", self.sandbox, seconds=1500)
        assert code == 0, told
        assert self.participants() == [[HOSPITAL, "south", "west"]] * 2
        assert self.setting.double.strange == []
        (host,) = self.hosts()
        assert host.status == "Completed"
        return host

    def participants(self) -> list[list[str]]:
        return [sorted(each["participants"]) for each in self.hub.rounds(self.sandbox)]

    @contextmanager
    def retraining(self, rounds: int) -> Iterator[Popen[str]]:
        """Yields a run that trains anew, with what it tells as its output."""
        more = ("--job", "retrain", "--rounds", str(rounds))
        with self.hub.started_run(self.sandbox, *more) as run:
            yield run


@contextmanager
def mixed_consortium(folder: Path, azurite: Azurite, sandbox: str) -> Iterator[Mixed]:
    """Yields it in a folder of its own, its door open; the hospital accepts the sandbox."""
    address = free_address()
    (folder / "azure").mkdir(mode=0o755)
    (folder / "hubs").mkdir(mode=0o755)
    with (
        pytest.MonkeyPatch.context() as monkeypatch,
        azure_setting(folder / "azure", azurite, monkeypatch) as setting,
    ):
        (folder / "azure" / "certificate.pem").chmod(0o644)
        north = {
            "id": HOSPITAL,
            "name": "North",
            "source": {"kind": "phantom", "images": 120, "test_images": 40, "size": 28},
            "azure_ml": setting.place.model_dump(mode="json"),
        }
        here = [{"id": name, "name": name} for name in ("south", "west")]
        keys = folder / "hubs" / "hub" / "keys" / "azure_ml"
        keys.mkdir(parents=True)
        (setting.keys / "north.json").rename(keys / "north.json")
        with consortium(
            folder / "hubs",
            start_here,
            address=address,
            here=[],
            elsewhere=[],
            accepts=[sandbox],
            hospitals=[*here, north],
            # A machine that has much else to do is slow to have all of them ready.
            federation={"door": address, "start_timeout_seconds": 500},
            quorum=2,
            rounds=2,
        ) as hub:
            made = Mixed(hub, setting, sandbox)
            made.let(sandbox)
            yield made
