"""onnxruntime tells its maker nothing from any process of ours that loads it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from fed_assets.federation.program import BARE_ENVIRONMENT
from fed_assets.serving.server import ENVIRONMENT
from fed_assets_tests.serving.packages import Exported

SWITCH = "ORT_DISABLE_TELEMETRY"
LOAD = """
import sys, time, onnxruntime
onnxruntime.InferenceSession(sys.argv[1])
time.sleep(0.5)
"""


def written(environment: Mapping[str, str], model: Path, home: Path) -> list[str]:
    """Returns the files that loading a model leaves in its user's folder."""
    home.mkdir()
    places = {"HOME": str(home), "TMPDIR": str(home)}
    subprocess.run([sys.executable, "-c", LOAD, str(model)], env=environment | places, check=True)
    return [name for _, _, names in os.walk(home) for name in names]


@pytest.mark.parametrize("environment", [ENVIRONMENT, BARE_ENVIRONMENT], ids=["serving", "worker"])
def test_loading_a_model_leaves_no_id_of_the_machine(
    environment: dict[str, str], exported: tuple[Exported, Exported], tmp_path: Path
) -> None:
    model = tmp_path / "model.onnx"
    model.write_bytes(exported[0].onnx)
    assert written(environment, model, tmp_path / "ours") == []
    without = {name: value for name, value in environment.items() if name != SWITCH}
    assert "deviceid" in written(without, model, tmp_path / "control")
