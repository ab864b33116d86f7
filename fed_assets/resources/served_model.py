"""The logged model's own code: MLflow copies this file beside the weights, and runs it to serve.

It stands alone, on MONAI and safetensors, so that a logged model works where fed_assets is not
installed; and it is code and plain weights, so that loading one never unpickles anything.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
from mlflow.pyfunc.model import PythonModel, PythonModelContext


class ServedModel(PythonModel):
    """Class probabilities of images.

    The input is float32 [N, C, H, W] with pixels from 0 to 255; the output is float32 [N, classes].
    """

    def load_context(self, context: PythonModelContext) -> None:
        """Builds the network from its MONAI config and loads the weights."""
        import torch
        from monai.bundle.config_parser import ConfigParser
        from safetensors.torch import load_file

        torch.set_num_threads(1)
        settings = json.loads(Path(context.artifacts["network"]).read_text(encoding="utf-8"))
        network = ConfigParser(settings).get_parsed_content("network")
        if "norm" in settings["network"]:
            _normalise_everywhere(network, settings["network"]["norm"])
        network.load_state_dict(load_file(context.artifacts["weights"]))
        self.network = network.eval()

    def predict(
        self,
        context: PythonModelContext,
        model_input: np.ndarray,  # bare, because MLflow knows that name alone
        params: dict[str, Any] | None = None,
    ) -> np.ndarray[Any, Any]:
        """Returns the probabilities of each class, [N, classes]."""
        import torch

        pixels = torch.from_numpy(np.asarray(model_input, dtype=np.float32))
        with torch.inference_mode():
            logits = self.network((pixels / 255 - 0.5) / 0.25)
        return torch.softmax(logits, dim=1).numpy()


def _normalise_everywhere(network: Any, norm: Any) -> None:
    """Does what a hospital's own network builder does, which MONAI leaves undone past the stem."""
    import torch
    from monai.networks.layers.utils import get_norm_layer

    if str(norm if isinstance(norm, str) else norm[0]).lower() == "batch":
        return
    for name, module in list(network.named_modules()):
        if isinstance(module, torch.nn.BatchNorm2d):
            layer = get_norm_layer(norm, spatial_dims=2, channels=module.num_features)
            network.set_submodule(name, layer)


mlflow.models.set_model(ServedModel())
