from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from fed_assets.resources.settings import SHIPPED_ROSTER

SMALL_RESNET = yaml.safe_load(SHIPPED_ROSTER.read_text())["network"]
DENSENET = {
    "_target_": "monai.networks.nets.DenseNet121",
    "spatial_dims": 2,
    "in_channels": "@channels",
    "out_channels": "@classes",
    "init_features": 8,
    "growth_rate": 4,
    "block_config": [1, 1],
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "channels", "classes", "size"),
    [
        (SMALL_RESNET, 1, 2, 28),
        (SMALL_RESNET, 3, 8, 20),
        ({**SMALL_RESNET, "norm": ["instance", {"affine": True}]}, 1, 2, 28),
        ({**SMALL_RESNET, "norm": "batch"}, 1, 2, 28),
        (DENSENET, 3, 4, 32),
    ],
    ids=["resnet", "rgb", "instance-norm", "batch-norm", "densenet"],
)
def test_the_served_model_says_what_the_hospitals_network_says(
    tmp_path: Path, network: dict[str, Any], channels: int, classes: int, size: int
) -> None:
    import torch
    from mlflow.pyfunc.model import PythonModelContext
    from safetensors.torch import save_file

    from fed_assets.hospital.evaluation import predict
    from fed_assets.hospital.network import build_network
    from fed_assets.resources.served_model import ServedModel

    torch.set_num_threads(1)
    own = build_network(network, channels=channels, classes=classes, seed=3)
    with torch.no_grad():
        for weight in own.parameters():  # so that a normalisation left out would show
            weight.add_(torch.randn_like(weight) * 0.1)
    save_file(own.state_dict(), tmp_path / "weights.safetensors")
    settings = {"network": network, "channels": channels, "classes": classes}
    (tmp_path / "network.json").write_text(json.dumps(settings))
    pixels = np.random.default_rng(0).integers(0, 256, (5, channels, size, size), dtype=np.uint8)

    served = ServedModel()
    context = PythonModelContext(
        {
            name: str(tmp_path / f"{name}.{end}")
            for name, end in (("weights", "safetensors"), ("network", "json"))
        },
        None,
    )
    served.load_context(context)
    answer = served.predict(context, pixels.astype(np.float32))

    expected = predict(own, pixels, np.arange(5), classes=classes)
    assert np.ptp(expected[:, 0]) > 1e-4  # the images make a difference
    np.testing.assert_allclose(answer, expected, atol=1e-5)
