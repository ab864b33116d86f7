"""One trained network in the forms in which others run it: one ONNX file, and a MONAI bundle."""

from __future__ import annotations

import io
import json
import platform
import warnings
from collections.abc import Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

INPUT, OUTPUT = "pixels", "probabilities"
OPSET = 18
SCHEMA = (
    "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/"
    "meta_schema_20240725.json"
)


def as_onnx(network: torch.nn.Module, *, channels: int, image_size: int) -> bytes:
    """Returns the network as an ONNX file, with the normalisation of pixels and softmax inside.

    It takes float32 pixels [N, C, H, W] from 0 to 255, and gives probabilities [N, classes].

    Args:
        network: in evaluation mode, on the CPU.
        channels: of the images.
        image_size: pixels a side.
    """
    import torch

    class Served(torch.nn.Module):
        """What training does to pixels, the network, and softmax."""

        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return torch.softmax(self.network((pixels / 255 - 0.5) / 0.25), dim=1)

    held: Any = io.BytesIO()  # torch's own types know a path alone
    example = torch.zeros(2, channels, image_size, image_size)
    with warnings.catch_warnings(), torch.no_grad():
        # The newer exporter (`dynamo=True`) gives the same probabilities for twenty times the
        # CPU-seconds, 10 instead of 0.5 a model, and needs two packages more; this one is
        # deprecated, and each file that it writes is compared with torch before anybody gets it.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Served().eval(),
            (example,),
            held,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_axes={INPUT: {0: "images"}, OUTPUT: {0: "images"}},
            opset_version=OPSET,
            dynamo=False,
        )
    content: bytes = held.getvalue()
    return content


def bundle_configs(
    network: Mapping[str, Any], *, channels: int, classes: list[str], image_size: int, about: str
) -> dict[str, bytes]:
    """Returns the config files of a MONAI bundle, by their names.

    Args:
        network: what the roster's `network` says.
        channels: of the images.
        classes: their names, in the order of the network's outputs.
        image_size: pixels a side.
        about: which model it is, in a sentence.
    """
    configs = {
        "metadata.json": _metadata(channels, classes, image_size, about),
        "inference.json": _inference(network, channels, len(classes)),
    }
    return {name: json.dumps(each, indent=1).encode() for name, each in configs.items()}


def _inference(network: Mapping[str, Any], channels: int, classes: int) -> dict[str, Any]:
    """Returns what MONAI's ConfigParser makes the network and its two neighbours of.

    `model` is the network with its weights, in evaluation mode; `preprocessing` and
    `postprocessing` are what stands before and after it. The weights are plain safetensors.
    """
    return {
        "imports": [
            "$import torch",
            "$from pathlib import Path",
            "$from safetensors.torch import load_file",
            "$from monai.networks.layers.utils import get_norm_layer",
        ],
        "bundle_root": ".",
        "device": "$torch.device('cpu')",
        "channels": channels,
        "classes": classes,
        "network_def": dict(network),
        "normalised": _normalised(network),
        "weights": "$load_file(str(Path(@bundle_root) / 'models' / 'model.safetensors'))",
        "loaded": "$(@normalised, @network_def.load_state_dict(@weights))[1]",
        "model": "$(@loaded, @network_def.to(@device).eval())[1]",
        "preprocessing": "$lambda pixels: (pixels / 255 - 0.5) / 0.25",
        "postprocessing": "$lambda scores: torch.softmax(scores, dim=1)",
        "inferer": {"_target_": "monai.inferers.SimpleInferer"},
    }


def _normalised(network: Mapping[str, Any]) -> Any:
    # MONAI hands a ResNet's `norm` to its stem alone; see `hospital.network`.
    norm = network.get("norm")
    kind = norm if isinstance(norm, str) or norm is None else norm[0]
    if kind is None or str(kind).lower() == "batch":
        return []
    return (
        f"$[@network_def.set_submodule(name, get_norm_layer({norm!r}, spatial_dims=2, "
        "channels=module.num_features)) for name, module in list(@network_def.named_modules()) "
        "if isinstance(module, torch.nn.BatchNorm2d)]"
    )


def _metadata(channels: int, classes: list[str], image_size: int, about: str) -> dict[str, Any]:
    """Returns the bundle's facts, under the headings of MONAI's schema."""
    return {
        "schema": SCHEMA,
        "version": "1.0.0",
        "changelog": {"1.0.0": "Exported after its federation."},
        "monai_version": version("monai"),
        "pytorch_version": version("torch"),
        "numpy_version": version("numpy"),
        "required_packages_version": {"safetensors": version("safetensors")},
        "supported_apps": {},
        "name": "Federated classifier",
        "task": "Classification of 2-D medical images",
        "description": about,
        "authors": "The hospitals of the federation",
        "copyright": "The hospitals of the federation",
        "intended_use": "Research. It is no medical device.",
        "python_version": platform.python_version(),
        "network_data_format": {
            "inputs": {
                "image": {
                    "type": "image",
                    "format": "magnitude",
                    "num_channels": channels,
                    "spatial_shape": [image_size, image_size],
                    "dtype": "float32",
                    "value_range": [0, 255],
                    "is_patch_data": False,
                    "channel_def": {str(index): "image" for index in range(channels)},
                }
            },
            "outputs": {
                "pred": {
                    "type": "probabilities",
                    "format": "classes",
                    "num_channels": len(classes),
                    "spatial_shape": [1],
                    "dtype": "float32",
                    "value_range": [0, 1],
                    "is_patch_data": False,
                    "channel_def": {str(index): name for index, name in enumerate(classes)},
                }
            },
        },
    }
