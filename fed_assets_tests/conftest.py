"""Nouns that several test modules share."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from fed_assets_tests.networks import SMALL_RESNET

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

    from fed_assets_tests.azure_storage import Azurite

PROJECT = Path(__file__).parent.parent
# To be imported is to wait for a test, which is not the one that looks for doctests.
collect_ignore = ["federation/gates"]
# Importing the definitions prepares a home, and it shall not be the developer's own, nor be
# prepared by two processes at once.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # as in every process of ours that loads onnxruntime
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "alone")
os.environ["FED_ASSETS_HOME"] = str(PROJECT / ".pytest_cache" / f"home-{WORKER}")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Returns the folder of real images: FED_ASSETS_DATA, else `../shared/data`.

    Skips where it is missing, and fails instead where `CI=true`: there the real data is required.
    """
    folder = Path(os.environ.get("FED_ASSETS_DATA") or PROJECT.parent / "shared" / "data")
    if not (folder / "pneumoniamnist.npz").is_file():
        reason = "real images are missing: set FED_ASSETS_DATA to the folder that holds them"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return folder


@pytest.fixture(scope="module")
def places() -> Iterator[Path]:
    """Yields a folder that every user can pass, which pytest's own is not."""
    with tempfile.TemporaryDirectory(prefix="fed_assets_") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture(scope="session")
def mlflow_tables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Yields MLflow's folder of a home in which one run was logged: its tables take ten seconds."""
    from fed_assets.resources.home import Home
    from fed_assets_tests.registered import Bench

    before = dict(os.environ)
    home = Home(tmp_path_factory.mktemp("tables")).prepare()
    Bench(home).logged("first", 0)
    yield home.tracking
    for name in os.environ.keys() - before.keys():
        del os.environ[name]


@dataclass(frozen=True)
class FinishedLifecycle:
    """A home in which three hospitals with phantoms ran the whole lifecycle once.

    Attributes:
        home: FED_ASSETS_HOME.
        roster: The roster's YAML.
        sandbox: The partition that was run.
        hospitals: The roster's ids.
        environment: What a process needs to see this home, DAGSTER_HOME included.
        output: What `fed-assets run` printed.
    """

    home: Path
    roster: Path
    sandbox: str
    hospitals: tuple[str, ...]
    environment: dict[str, str]
    output: str


@pytest.fixture(scope="session")
def finished_lifecycle(tmp_path_factory: pytest.TempPathFactory) -> FinishedLifecycle:
    """Returns what `fed-assets run minimal` leaves behind: three hospitals, two rounds.

    Tests share it, so they read and change nothing in it.
    """
    folder = tmp_path_factory.mktemp("finished")
    hospitals = ("north", "east", "south")
    roster = folder / "roster.yaml"
    roster.write_text(yaml.safe_dump(_small_roster(hospitals)), encoding="utf-8")
    home = folder / "home"
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("FED_ASSETS_")
    } | {
        "FED_ASSETS_HOME": str(home),
        "FED_ASSETS_ROSTER": str(roster),
        "DAGSTER_HOME": str(home / "dagster"),
    }
    finished = subprocess.run(
        [sys.executable, "-m", "fed_assets.cli", "run", "minimal"],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return FinishedLifecycle(home, roster, "minimal", hospitals, environment, finished.stdout)


def _small_roster(hospitals: tuple[str, ...]) -> dict[str, object]:
    return {
        "title": "Three small hospitals",
        "data": {
            "source": {"kind": "phantom", "images": 240, "test_images": 40, "size": 28},
            "share": {"how": "iid"},
            "split_fractions": {"train": 0.6, "validation": 0.2, "test": 0.2},
        },
        "hospitals": [
            {"id": name, "name": f"The {name} hospital", "region": name, "owner": f"team:{name}"}
            for name in hospitals
        ],
        "network": SMALL_RESNET,
        "rounds": 2,
    }


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Chrome]:
    """Yields a headless Chromium; it is gone after the test.

    Skips where it is not installed, and fails instead where `CI=true`.
    """
    from fed_assets_tests.browser import missing_browser, open_browser

    reason = missing_browser()
    if reason and os.environ.get("CI") == "true":
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)
    with open_browser(tmp_path / "chromium") as chromium:
        yield chromium


@pytest.fixture(scope="session")
def azurite() -> Iterator[Azurite]:
    """Yields a running emulator of Azure's storage; it is gone after the session.

    Skips where it is not installed, and fails instead where `CI=true`.
    """
    from fed_assets_tests.azure_storage import missing_azurite, running_azurite

    reason = missing_azurite()
    if reason and os.environ.get("CI") == "true":
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)
    with running_azurite() as running:
        yield running
