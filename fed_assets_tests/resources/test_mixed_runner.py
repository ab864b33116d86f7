from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fed_assets.errors import IdentityRefused
from fed_assets.resources.mixed_runner import MixedHospitalRunner
from fed_assets.sandboxes.presets import EYES_ON
from fed_assets_tests.federation.test_azure_ml import PLACE

HEAVY = """
import sys
from pathlib import Path
from fed_assets.resources.mixed_runner import MixedHospitalRunner
runner = MixedHospitalRunner(home_folder="/nowhere", hospitals=["north"], network="",
                             azure_ml={"north": %r})
runner.close()
print("fed_assets.resources.azure_runner" in sys.modules, "azure" in sys.modules,
      "dagster_azure" in sys.modules)
"""


def test_azures_packages_wait_for_the_first_job() -> None:
    finished = subprocess.run(
        [sys.executable, "-c", HEAVY % PLACE], capture_output=True, text=True, check=True
    )
    assert finished.stdout.split() == ["True", "False", "False"]


def test_a_hospital_in_azure_ml_has_no_process_here(tmp_path: Path) -> None:
    here: dict[str, Any] = {"home_folder": str(tmp_path), "hospitals": ["north"], "network": ""}
    runner = MixedHospitalRunner(**here, azure_ml={"north": PLACE})
    with pytest.raises(IdentityRefused, match="no process on this machine"):
        runner.worker(EYES_ON, "north", "plant_canary")
    assert list(tmp_path.iterdir()) == []
    runner.close()


def test_a_hospital_in_azure_ml_is_a_member_elsewhere_of_a_federation(tmp_path: Path) -> None:
    names = ["north", "east", "south"]
    here: dict[str, Any] = {"home_folder": str(tmp_path), "hospitals": names, "network": ""}
    runner = MixedHospitalRunner(**here, remote=["east"], azure_ml={"north": PLACE})
    kept = runner.kept_by_all(EYES_ON, names)
    assert kept["remote"].keys() == {"north", "east"}
    assert kept["stores"].keys() == {"south"}
    assert runner.here == ["south"]
    runner.close()
