"""One small network, for tests that train on two cores."""

from __future__ import annotations

from typing import Any

SMALL_RESNET: dict[str, Any] = {
    "_target_": "monai.networks.nets.ResNet",
    "block": "basic",
    "layers": [1, 1, 1, 1],
    "block_inplanes": [4, 4, 8, 8],
    "spatial_dims": 2,
    "n_input_channels": "@channels",
    "num_classes": "@classes",
    "conv1_t_size": 3,
    "conv1_t_stride": 1,
    "no_max_pool": True,
    "norm": ["group", {"num_groups": 4}],
}
