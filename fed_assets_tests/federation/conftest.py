"""Plans, and sessions as processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from fed_assets.errors import FedAssetsError, error_from_record
from fed_assets.federation.plan import FederationPlan
from fed_assets.federation.weights import write_weights

PROJECT = Path(__file__).parent.parent.parent
EXECUTOR = "fed_assets_tests.federation.tiny_executor.TinyExecutor"
MASKING = "fed_assets_tests.federation.masking_executor.MaskingExecutor"
# More than what a tiny executor changes.
BOUNDS = {"max_norm": 100.0, "max_statistics_norm": 100.0}


class Session:
    """A federation session that runs in a process of its own."""

    def __init__(self, plan: FederationPlan, module: str, *arguments: str) -> None:
        root = Path(plan.folder).parent
        self.plan = plan
        self.temporary = root / "temporary"
        self.temporary.mkdir()
        plan.write(root / "plan.json")
        self.events: list[dict[str, Any]] = []
        self._errors = (root / "session.log").open("w")
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, str(root / "plan.json"), *arguments],
            cwd=PROJECT,
            env={**os.environ, "TMPDIR": str(self.temporary), "A_SECRET": "orchestrator-only"},
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )

    def until(self, name: str) -> dict[str, Any]:
        """Returns the next event of a name; fails if the session ends before."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.events.append(json.loads(line))
            if self.events[-1]["event"] == name:
                return self.events[-1]
        raise AssertionError(f"no event {name!r}: {self.events}")

    def finish(self) -> int:
        """Waits for the end and returns the exit code."""
        assert self.process.stdout is not None
        self.events += [json.loads(line) for line in self.process.stdout]
        return self.process.wait(timeout=20)

    def family(self) -> list[psutil.Process]:
        """Returns the session's descendants."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def working_family(self, count: int) -> list[psutil.Process]:
        """Returns the descendants as soon as there are `count`: every job process runs."""
        deadline = time.monotonic() + 30
        while len(family := self.family()) < count:
            assert time.monotonic() < deadline, "the job processes did not start"
            time.sleep(0.05)
        return family

    def named(self, title: str) -> psutil.Process:
        """Returns a forked process by its title, such as `worker_process hospital_02`."""
        deadline = time.monotonic() + 30
        while True:
            for member in self.family():
                with suppress(psutil.NoSuchProcess, IndexError):
                    module, site, *_ = member.cmdline()
                    if f"{module.rpartition('.')[2]} {site.removeprefix('uid=')}" == title:
                        return member
            assert time.monotonic() < deadline, f"no process {title!r}"
            time.sleep(0.02)

    @property
    def failure(self) -> FedAssetsError:
        """The error that the session told of."""
        assert self.events[-1]["event"] == "failed", self.events
        return error_from_record(self.events[-1]["error"])

    @property
    def result(self) -> dict[str, Any]:
        """The result that the session told of."""
        assert self.events[-1]["event"] == "finished", self.events
        return self.events[-1]["result"]

    def kill(self) -> None:
        """Ends what a failed test left."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        self._errors.close()


@pytest.fixture(scope="session")
def write_plan() -> Callable[..., FederationPlan]:
    """Returns a function that makes stores and initial weights in a folder, and their plan."""

    def write(
        root: Path, *, hospitals: int = 2, shape: tuple[int, int] = (8, 16), **changes: Any
    ) -> FederationPlan:
        names = tuple(f"hospital_{number:02d}" for number in range(1, hospitals + 1))
        stores = {name: str(root / "stores" / name) for name in names}
        for store in stores.values():
            Path(store).mkdir(parents=True)
        noise = np.random.default_rng(0)
        weights = {
            "canary_layer.weight": noise.normal(size=shape).astype(np.float32),
            "canary_layer.steps": np.array([3], dtype=np.int64),
        }
        write_weights(root / "initial.safetensors", weights)
        plan = {
            "sandbox": "eyes_on",
            "transport": "mtls",
            "job_code": "preinstalled",
            "hospitals": names,
            "stores": stores,
            "folder": str(root / "federation"),
            "outbox": str(root / "outbox"),
            "initial_weights": str(root / "initial.safetensors"),
            "rounds": 2,
            "seed": 7,
            "recipe": {"learning_rate": 0.1},
            "network": {"_target_": "none", "name": "{braces}", "path": "a.b.C"},
            "classes": 2,
            "channels": 1,
            "quorum": hospitals,
            "start_timeout_seconds": 60,
            "round_timeout_seconds": 60,
            "total_timeout_seconds": 150,
            "executor": EXECUTOR,
        }
        return FederationPlan.from_json({**plan, **changes})

    return write


@pytest.fixture(scope="session")
def write_masked_plan(write_plan: Callable[..., FederationPlan]) -> Callable[..., FederationPlan]:
    """Returns `write_plan` for three hospitals that mask their updates."""

    def write(root: Path, **changes: Any) -> FederationPlan:
        protection = {"kind": "secure_aggregation", **BOUNDS}
        told = {"hospitals": 3, "executor": MASKING, "update_protection": protection}
        return write_plan(root, **{**told, **changes})

    return write


@pytest.fixture(scope="session")
def write_encrypted_plan(
    write_masked_plan: Callable[..., FederationPlan],
) -> Callable[..., FederationPlan]:
    """Returns `write_plan` for three hospitals that encrypt their updates."""

    def write(root: Path, **changes: Any) -> FederationPlan:
        protection = {"kind": "homomorphic_encryption", **BOUNDS}
        return write_masked_plan(root, **{"update_protection": protection, **changes})

    return write


@pytest.fixture(scope="session")
def start_session() -> Iterator[Callable[..., Session]]:
    """Returns a function that starts a session, and ends all that still run at the end."""
    sessions: list[Session] = []

    def start(
        plan: FederationPlan, *arguments: str, module: str = "fed_assets.federation.session"
    ) -> Session:
        sessions.append(Session(plan, module, *arguments))
        return sessions[-1]

    yield start
    for session in sessions:
        session.kill()


@pytest.fixture(scope="session")
def behave() -> Callable[[FederationPlan, str, dict[int, str]], None]:
    """Returns a function that has a hospital misbehave in the given rounds."""

    def write(plan: FederationPlan, hospital: str, behaviours: dict[int, str]) -> None:
        (Path(plan.stores[hospital]) / "behaviour.json").write_text(json.dumps(behaviours))

    return write


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Returns a function that mounts a file system of a size as `mount` takes it."""
    folder = tmp_path / "small_disk"

    def mount(size: str) -> Path:
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode != 0:
            pytest.skip("only root can mount a small file system")
        return folder

    yield mount
    if folder.is_mount():
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
