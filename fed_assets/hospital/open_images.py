"""Some open test images with what torch says of each: what a deployed model is checked by."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fed_assets.hospital.coordinator import open_test, probabilities_on_cpu, require_coordinator
from fed_assets.hospital.files import Store
from fed_assets.hospital.network import build_network
from fed_assets.hospital.weights import load_weights, read_weights


def open_test_images(arguments: Mapping[str, Any], store: Store) -> dict[str, Any]:
    """Returns images of the common test set; the worker's task of the same name.

    They are open, and the coordinator's: no hospital's process answers this.

    Args:
        arguments: `weights` (path of a safetensors file), `network` (config), and `most`, how many
            images at the most, evenly spread over the set.
        store: the coordinator's.

    Returns:
        `pictures`, PNG files in base64; the `labels` and torch's `probabilities` of each; `of`, how
        many images the whole set has. All are empty where there is no common test set.

    Raises:
        DisclosureRefused: the process is a hospital's.
        NotValidated: no validation let the images through.
        RunConfigError: the weights cannot be used.
    """
    require_coordinator(store, "open_test_images")
    found = open_test(store, most=int(arguments["most"]))
    if found is None:
        return {"pictures": [], "labels": [], "probabilities": [], "of": 0}
    dataset, rows = found
    network = build_network(
        arguments["network"], channels=dataset.channels, classes=len(dataset.classes)
    )
    load_weights(network, read_weights(Path(arguments["weights"])))
    pixels = np.asarray(dataset.images[rows])
    return {
        "pictures": [base64.b64encode(_png(each)).decode() for each in pixels],
        "labels": dataset.labels[rows].tolist(),
        "probabilities": probabilities_on_cpu(network.eval(), pixels).tolist(),
        "of": len(dataset.split("test")),
    }


def _png(image: NDArray[np.uint8]) -> bytes:
    planes = image[0] if len(image) == 1 else image.transpose(1, 2, 0)
    held = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(planes)).save(held, "PNG")
    return held.getvalue()
