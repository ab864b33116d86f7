"""One version's model, loaded from its package and ready to answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from numpy.typing import NDArray

from fed_assets.errors import PackageRefused
from fed_assets.serving.manifest import ModelFacts
from fed_assets.serving.package import ONNX, PACKAGE, open_package
from fed_assets.serving.reading import Refusal, as_tensor


@dataclass(frozen=True)
class Model:
    """A loaded model; every answer is wholly of one of them.

    Attributes:
        facts: What its package says.
        digest: sha256 (hex) of its package's manifest.
        session: onnxruntime's.
    """

    facts: ModelFacts
    digest: str
    session: Any = field(repr=False)

    def told(self) -> dict[str, Any]:
        """Returns what an answer says of the model that gave it."""
        facts = self.facts
        return {
            "name": facts.name,
            "version": facts.version,
            "weights_digest": facts.weights_digest,
            "package_digest": self.digest,
            "threshold": facts.threshold,
            "calibration": {"expected_calibration_error": dict(facts.calibration)},
            "synthetic": facts.synthetic,
        }

    def answer(self, raw: bytes) -> dict[str, Any]:
        """Returns a file's class and probabilities, or why there are none, with an HTTP status."""
        try:
            pixels = as_tensor(raw, channels=self.facts.channels, size=self.facts.image_size)
        except Refusal as refusal:
            return {"status": refusal.status, "reason": refusal.reason}
        (row,) = self.probabilities(pixels[None])
        return {"status": 200, **self._entry(row)}

    def probabilities(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Returns the probability of every class, float32 [images, classes]."""
        (answer,) = self.session.run(None, {"pixels": pixels.astype(np.float32)})
        return np.asarray(answer)

    def _entry(self, probabilities: NDArray[np.float32]) -> dict[str, Any]:
        facts, values = self.facts, probabilities.tolist()
        if len(values) == 2:
            named = int(values[1] >= facts.threshold)
        else:
            named = int(np.argmax(probabilities))
        return {
            "class": facts.classes[named],
            "probabilities": dict(zip(facts.classes, values, strict=True)),
        }


def load_model(versions: Path, version: int, key: Ed25519PublicKey, *, sandbox: str) -> Model:
    """Returns a version's model, after checking its package.

    Args:
        versions: The folder of all versions of the sandbox.
        version: Its number.
        key: Whose signature counts.
        sandbox: Which model's it has to be.

    Raises:
        PackageRefused: the package is not genuine, or onnxruntime cannot load it.
    """
    import onnxruntime

    folder = versions / f"v{version}" / PACKAGE
    package = open_package(folder, key, sandbox=sandbox, version=version)
    options = onnxruntime.SessionOptions()
    # As many processes answer as there are cores; more threads would get in each other's way.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    content = package.read(ONNX)
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own classes have no common parent but this
        raise PackageRefused(
            "The package's ONNX file cannot be loaded",
            where=str(folder),
            seen=type(error).__name__,
        ) from None
    return Model(package.facts, package.digest, session)
