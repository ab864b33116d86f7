"""Signed packages of small networks, made as the platform makes them."""

from __future__ import annotations

import hashlib
import io
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from numpy.typing import NDArray
from PIL import Image

from fed_assets.serving.keys import signing_key
from fed_assets.serving.manifest import ModelFacts
from fed_assets.serving.package import Package, sign_package

SANDBOX = "minimal"
CLASSES = ("normal", "pneumonia")


@dataclass(frozen=True)
class Exported:
    """A network's ONNX file, its weights, and what torch says with them."""

    onnx: bytes
    weights: bytes
    network: Any

    def probabilities(self, pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Returns torch's, of uint8 images [n, C, H, W]."""
        from fed_assets.hospital.coordinator import probabilities_on_cpu

        return probabilities_on_cpu(self.network, pixels)


def export(seed: int, *, channels: int = 1) -> Exported:
    """Returns a network whose answers depend on the image, and on the seed."""
    import torch
    from safetensors.torch import save

    from fed_assets.hospital.exports import as_onnx
    from fed_assets.hospital.network import build_network
    from fed_assets_tests.networks import SMALL_RESNET

    torch.set_num_threads(1)
    network = build_network(SMALL_RESNET, channels=channels, classes=2, seed=seed).eval()
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(torch.randn_like(weight) * 0.3)
    return Exported(
        as_onnx(network, channels=channels, image_size=28), save(network.state_dict()), network
    )


@dataclass(frozen=True)
class Models:
    """A home's versions and the key that signs them."""

    root: Path

    @property
    def versions(self) -> Path:
        return self.root / "models" / SANDBOX

    @property
    def key_file(self) -> Path:
        return self.root / "keys" / "models.key"

    @property
    def public(self) -> Path:
        return self.root / "keys" / "models.pub"

    def folder(self, version: int) -> Path:
        return self.versions / f"v{version}" / "package"

    def package(
        self,
        place: int,
        exported: Exported,
        *,
        key: Ed25519PrivateKey | None = None,
        **changes: Any,
    ) -> Package:
        """Writes and signs the package of the version that a place is for."""
        folder = self.folder(place)
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "bundle").mkdir(parents=True)
        (folder / "model.onnx").write_bytes(exported.onnx)
        (folder / "weights.safetensors").write_bytes(exported.weights)
        (folder / "bundle" / "inference.json").write_text("{}")
        facts = facts_of(exported.weights, **{"version": place, **changes})
        return sign_package(folder, facts, key or signing_key(self.key_file))


def facts_of(weights: bytes, **changes: Any) -> ModelFacts:
    facts: dict[str, Any] = {
        "sandbox": SANDBOX,
        "version": 1,
        "run_id": "0a1b",
        "participants": {"north": ("a" * 64,), "east": ()},
        "record_digest": "b" * 64,
        "lineage_digest": "c" * 64,
        "classes": CLASSES,
        "channels": 1,
        "image_size": 28,
        "threshold": 0.5,
        "calibration": {"value": 0.04, "low": 0.03, "high": 0.06},
        "weights_digest": hashlib.sha256(weights).hexdigest(),
        "synthetic": False,
        "created": "2026-01-01T00:00:00+00:00",
        "versions": {"torch": "2"},
    }
    return ModelFacts(**facts | changes)


def encoded(pixels: NDArray[Any], kind: str = "PNG", **options: Any) -> bytes:
    held = io.BytesIO()
    Image.fromarray(pixels).save(held, kind, **options)
    return held.getvalue()
