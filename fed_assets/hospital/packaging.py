"""A registered model in every form in which it is handed on, each compared with torch first."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fed_assets.errors import ExportDiffers, RunConfigError, StorageError, system_reason
from fed_assets.hospital.coordinator import open_test, probabilities_on_cpu, require_coordinator
from fed_assets.hospital.exports import INPUT, OUTPUT, as_onnx, bundle_configs
from fed_assets.hospital.files import HALF_WRITTEN, Store
from fed_assets.hospital.network import build_network, scores
from fed_assets.hospital.weights import load_weights, read_weights

if TYPE_CHECKING:
    import torch

WEIGHTS, ONNX, BUNDLE = "weights.safetensors", "model.onnx", "bundle"
TOLERANCE = 1e-5
MOST_IMAGES = 64


def package_model(arguments: Mapping[str, Any], store: Store) -> dict[str, Any]:
    """Writes a model as safetensors, ONNX and a MONAI bundle; the worker's task of the same name.

    Both exports are run as their reader would run them, by onnxruntime and by MONAI's own parser
    from the bundle's files, on images of the common test set. Without one, on pictures of noise.

    Args:
        arguments: `weights` (path of a safetensors file), `network` (config), `channels`, `classes`
            (names), `image_size`, `about` (a sentence), and `folder`, the absolute path of the
            folder to write, which is not there yet.
        store: the coordinator's.

    Returns:
        `differences`, by export the largest one to torch's probabilities; how many `images` were
        compared, `checked_on` "common test" or "noise"; and `sizes`, the bytes of each file.

    Raises:
        DisclosureRefused: the process is a hospital's.
        ExportDiffers: a difference is more than 1e-5; nothing is left.
        RunConfigError: the weights do not fit the network.
        StorageError: the folder cannot be written; nothing is left.
    """
    require_coordinator(store, "package_model")
    channels, size = int(arguments["channels"]), int(arguments["image_size"])
    classes = [str(name) for name in arguments["classes"]]
    weights = Path(arguments["weights"])
    network = build_network(arguments["network"], channels=channels, classes=len(classes))
    load_weights(network, read_weights(weights))
    network.eval()
    pixels, checked_on = _pixels(store, channels, size)
    _require_scores(network, pixels, len(classes))
    configs = bundle_configs(
        arguments["network"],
        channels=channels,
        classes=classes,
        image_size=size,
        about=str(arguments["about"]),
    )
    with _written_whole(Path(arguments["folder"])) as folder:
        content = weights.read_bytes()
        (folder / WEIGHTS).write_bytes(content)
        (folder / ONNX).write_bytes(as_onnx(network, channels=channels, image_size=size))
        for place in ("configs", "models"):
            (folder / BUNDLE / place).mkdir(parents=True)
        for name, text in configs.items():
            (folder / BUNDLE / "configs" / name).write_bytes(text)
        (folder / BUNDLE / "models" / "model.safetensors").write_bytes(content)
        differences = _differences(network, folder, pixels)
        sizes = {
            path.relative_to(folder).as_posix(): path.stat().st_size
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
    return {
        "differences": differences,
        "images": len(pixels),
        "checked_on": checked_on,
        "sizes": sizes,
    }


def _pixels(store: Store, channels: int, size: int) -> tuple[NDArray[np.uint8], str]:
    """Returns uint8 images [n, C, H, W] to compare on, and what they are."""
    if (found := open_test(store, most=MOST_IMAGES)) is not None:
        dataset, rows = found
        if (dataset.channels, dataset.image_size) == (channels, size):
            return np.asarray(dataset.images[rows]), "common test"
    noise = np.random.default_rng(0).integers(0, 256, (MOST_IMAGES, channels, size, size))
    return noise.astype(np.uint8), "noise"


def _require_scores(network: torch.nn.Module, pixels: NDArray[np.uint8], classes: int) -> None:
    import torch

    from fed_assets.hospital.training import to_pixels

    with torch.inference_mode():
        scores(network, to_pixels(pixels[:2], torch.device("cpu")), classes=classes)


def _differences(
    network: torch.nn.Module, folder: Path, pixels: NDArray[np.uint8]
) -> dict[str, float]:
    """Returns by export the largest difference to torch.

    Raises:
        ExportDiffers: one is too large, or no number.
    """
    expected = probabilities_on_cpu(network, pixels)
    found = {"onnx": _of_onnx(folder, pixels), "bundle": _of_bundle(folder / BUNDLE, pixels)}
    differences = {}
    for name, probabilities in found.items():
        difference = float(np.abs(probabilities - expected).max())
        if not difference <= TOLERANCE:  # NaN is no difference that can be borne either
            raise ExportDiffers(
                f"The model's {name} export says something else than torch does",
                where="package_model",
                seen=f"a probability differs by {difference:.2g}, and {TOLERANCE:.0e} is the most",
            )
        differences[name] = difference
    return differences


def _of_onnx(folder: Path, pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        (folder / ONNX).read_bytes(), options, providers=["CPUExecutionProvider"]
    )
    (answer,) = session.run([OUTPUT], {INPUT: pixels.astype(np.float32)})
    return np.asarray(answer, np.float64)


def _of_bundle(bundle: Path, pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    import torch
    from monai.bundle.config_parser import ConfigParser

    parser = ConfigParser()
    parser.read_config(str(bundle / "configs" / "inference.json"))
    parser.read_meta(str(bundle / "configs" / "metadata.json"))
    parser["bundle_root"] = str(bundle)
    parts = [
        parser.get_parsed_content(name) for name in ("preprocessing", "model", "postprocessing")
    ]
    values = torch.from_numpy(pixels.astype(np.float32))
    with torch.inference_mode():
        for part in parts:
            values = part(values)
    return np.asarray(values.numpy(), np.float64)


@contextmanager
def _written_whole(folder: Path) -> Iterator[Path]:
    """Yields a folder beside the one to write, to which it is renamed when all in it is right.

    Raises:
        StorageError: it cannot be written.
        RunConfigError: there is such a folder already.
    """
    if folder.exists():
        raise RunConfigError(
            "The model's package is there already",
            where=str(folder),
            cure="Remove it, or go on with it",
        )
    partial = folder.with_name(f"{HALF_WRITTEN}{folder.name}-{os.getpid()}")
    try:
        partial.mkdir(parents=True, mode=0o700)
        yield partial
        partial.rename(folder)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise StorageError(
            "The disk is full" if full else "The model's package cannot be written",
            where=str(folder.parent),
            seen=system_reason(error),
        ) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
