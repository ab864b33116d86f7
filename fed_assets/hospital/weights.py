"""One network's weights as named arrays: taken out, put in, written and read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fed_assets.errors import RunConfigError, StorageError

if TYPE_CHECKING:
    import torch

Weights = dict[str, np.ndarray[Any, Any]]


def weights_of(network: torch.nn.Module) -> Weights:
    """Returns a copy of the network's weights and buffers under their own names."""
    return {name: value.cpu().numpy().copy() for name, value in network.state_dict().items()}


def load_weights(network: torch.nn.Module, weights: Mapping[str, np.ndarray[Any, Any]]) -> None:
    """Puts named arrays into the network, cast to its own dtypes; all of them or none.

    Raises:
        RunConfigError: names or shapes are not the network's, or a value is not finite.
    """
    import torch

    own = network.state_dict()
    missing, unknown = own.keys() - weights.keys(), weights.keys() - own.keys()
    shared = [(name, np.asarray(weights[name])) for name in own if name in weights]
    misshapen = [name for name, array in shared if array.shape != tuple(own[name].shape)]
    unfinished = [name for name, array in shared if not np.isfinite(array).all()]
    if missing or unknown or misshapen or unfinished:
        raise RunConfigError(
            "The weights do not fit the network",
            where="weights",
            seen=f"{len(missing)} missing, {len(unknown)} unknown, {len(misshapen)} of another "
            f"shape, {len(unfinished)} with values that are not finite, of {len(own)}",
            cure="Use weights of a federation with this very network, or start afresh.",
        )
    network.load_state_dict(
        {name: torch.from_numpy(array).to(own[name].dtype) for name, array in shared}
    )


def read_weights(path: Path) -> Weights:
    """Returns the named arrays of a safetensors file.

    Raises:
        RunConfigError: it is not there, or no safetensors file.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return dict(load_file(path))
    except (OSError, SafetensorError) as error:
        raise RunConfigError(
            "The weights cannot be read",
            where=str(path),
            seen=" ".join(str(error).split())[:200],
            cure="Materialize global_model again.",
        ) from error


def write_weights(weights: Mapping[str, np.ndarray[Any, Any]], path: Path) -> None:
    """Writes named arrays as safetensors, whole or not at all.

    Raises:
        StorageError: the file cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save

    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        ordered = {name: np.asarray(array, order="C") for name, array in weights.items()}
        unfinished.write_bytes(save(ordered))
        os.replace(unfinished, path)
    except (OSError, SafetensorError) as error:
        raise StorageError(
            "The weights could not be written", where=str(path), seen=str(error)
        ) from error
    finally:
        unfinished.unlink(missing_ok=True)
