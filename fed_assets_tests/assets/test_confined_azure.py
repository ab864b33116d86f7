"""A confined run of root's with a hospital in Azure ML: it asks for jobs as another user."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from fed_assets.resources.home import Home
from fed_assets_tests.azure_ml.setting import HOSPITAL, azure_setting
from fed_assets_tests.azure_storage import Azurite
from fed_assets_tests.confining import require_root
from fed_assets_tests.places import PROJECT

pytestmark = pytest.mark.long


def test_a_confined_run_asks_azure_ml_as_another_user(
    places: Path, azurite: Azurite, entries: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    require_root()
    folder = places / "azure"
    folder.mkdir(mode=0o755)
    with azure_setting(folder, azurite, monkeypatch) as setting:
        (folder / "certificate.pem").chmod(0o644)
        north = {
            "id": HOSPITAL,
            "name": "North",
            "source": {"kind": "phantom", "images": 240, "test_images": 40},
            "azure_ml": setting.place.model_dump(mode="json"),
        }
        roster = folder / "roster.yaml"
        roster.write_text(
            yaml.safe_dump(entries | {"hospitals": [north, {"id": "south", "name": "South"}]})
        )
        roster.chmod(0o644)
        home = folder / "home"
        keys = home / "keys" / "azure_ml"
        keys.mkdir(parents=True)
        shutil.move(setting.keys / "north.json", keys / "north.json")
        environment = {
            **os.environ,
            "FED_ASSETS_HOME": str(home),
            "FED_ASSETS_ROSTER": str(roster),
            "DAGSTER_HOME": str(home / "dagster"),
        }
        Home(home).prepare()
        finished = subprocess.run(
            [
                *(sys.executable, "-m", "dagster", "asset", "materialize", "-m", "fed_assets"),
                *("--partition", "eyes_off"),
                *("--select", "sandbox_controls,north/images,north/validated_images"),
            ],
            cwd=PROJECT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=280,
        )
        assert finished.returncode == 0, finished.stdout[-3000:] + finished.stderr[-6000:]
        assert finished.stderr.count("Azure ML took the job") == 2
        assert setting.double.strange == []
    assert (setting.home / "hospitals" / HOSPITAL / "eyes_off" / "current.json").is_file()
    here = (home / "hospitals" / HOSPITAL).rglob("*")
    assert [path for path in here if path.is_file()] == []
