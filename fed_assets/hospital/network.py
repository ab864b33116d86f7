"""One network per config: built, seeded, and refused where the config names other code."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fed_assets.errors import RunConfigError
from fed_assets.hospital.weights import weights_of, write_weights
from fed_assets.privacy.digests import weights_digest

if TYPE_CHECKING:
    import torch
    from monai.bundle.config_item import ComponentLocator

    from fed_assets.hospital.files import Store

TARGET = re.compile(r"(monai\.networks\.nets|torch\.nn)\.[A-Za-z]\w*")
# By what MONAI's networks are told how large images are, those that have to be told.
SIZES = ("in_shape", "img_size")


def build_network(
    config: Mapping[str, Any], *, channels: int, classes: int, seed: int | None = None
) -> torch.nn.Module:
    """Returns the network of a MONAI config, in training mode, on the CPU.

    Of MONAI's config language only `_target_`, its arguments, `@channels` and `@classes` are read:
    no expressions, macros or modes. A target is a `torch.nn.Module` class that stands directly in
    `monai.networks.nets` or `torch.nn`, so that a config cannot name any other code. Activations
    are made not to work in place, which hooks on gradients per image cannot bear, and a `norm` of
    the config holds for every layer.

    Args:
        config: what the roster's `network` says.
        channels: of the images; fills in `@channels`.
        classes: how many; fills in `@classes`.
        seed: of the initial weights; None leaves torch's generator alone.

    Raises:
        RunConfigError: the config names something else, or does not build.
    """
    _refuse_code(config, where="network")
    import torch
    from monai.bundle.config_parser import ConfigParser

    target = str(config.get("_target_"))
    if seed is not None:
        torch.manual_seed(seed)
    try:
        parser = ConfigParser({"network": dict(config), "channels": channels, "classes": classes})
        parser.locator = _locator()
        network = parser.get_parsed_content("network")
    except Exception as error:
        raise RunConfigError(
            f"The network {target} does not build",
            where="network",
            seen=" ".join(str(error.__cause__ or error).split())[:300],
            cure="Correct the arguments beside `_target_`.",
        ) from error
    for module in network.modules():
        if getattr(module, "inplace", False):
            module.inplace = False
    if "norm" in config:
        _normalise_everywhere(network, config["norm"])
    return network  # type: ignore[no-any-return]


def _locator() -> ComponentLocator:
    """Returns what looks for no target: each has its whole name, and all of MONAI is large."""
    from monai.bundle.config_item import ComponentLocator

    return ComponentLocator(excludes=ComponentLocator.MOD_START)


def _normalise_everywhere(network: torch.nn.Module, norm: Any) -> None:
    # MONAI 1.6.1 hands a ResNet's `norm` to its stem alone, and leaves batch normalisation with
    # running statistics of a hospital's images in every block (Project-MONAI/MONAI, pull 9028).
    import torch
    from monai.networks.layers.utils import get_norm_layer

    if str(norm if isinstance(norm, str) else norm[0]).lower() == "batch":
        return
    for name, module in list(network.named_modules()):
        if isinstance(module, torch.nn.BatchNorm2d):
            layer = get_norm_layer(norm, spatial_dims=2, channels=module.num_features)
            network.set_submodule(name, layer)


def _refuse_code(part: Any, *, where: str) -> None:
    """Refuses what MONAI's parser would run, import, read or download beyond a network class."""
    if isinstance(part, Mapping):
        if where == "network" and "_target_" not in part:
            raise RunConfigError("The network has no `_target_`", where=where)
        for key, value in part.items():
            if key == "_target_":
                _refuse_target(value, where=where)
            elif str(key).startswith("_") or (key == "pretrained" and value):
                raise RunConfigError(
                    "A network's config may hold `_target_` and plain arguments alone",
                    where=where,
                    seen=str(key),
                )
            else:
                _refuse_code(value, where=f"{where}.{key}")
    elif isinstance(part, list | tuple):
        for item in part:
            _refuse_code(item, where=where)
    elif (
        isinstance(part, str)
        and part not in ("@channels", "@classes")
        and any(sign in part for sign in "$%@")
    ):
        raise RunConfigError(
            "A network's config may refer to @channels and @classes alone",
            where=where,
            seen=part[:80],
        )


def _refuse_target(target: Any, *, where: str) -> None:
    found = None
    if isinstance(target, str) and TARGET.fullmatch(target):
        import importlib

        import torch

        module, name = target.rsplit(".", 1)
        found = getattr(importlib.import_module(module), name, None)
        if isinstance(found, type) and issubclass(found, torch.nn.Module):
            return
    raise RunConfigError(
        "`_target_` is no network class of monai.networks.nets or torch.nn",
        where=f"{where}._target_",
        seen=str(target)[:80],
        cure="Name a class such as monai.networks.nets.ResNet.",
    )


def scores(network: torch.nn.Module, pixels: torch.Tensor, *, classes: int) -> torch.Tensor:
    """Returns the network's score of every class, float32 [images, classes].

    Raises:
        RunConfigError: the network cannot take these pixels, or does not score these classes.
    """
    import torch

    try:
        output = network(pixels)
    except (RuntimeError, ValueError, TypeError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        raise RunConfigError(
            "The network cannot take the images",
            where="network",
            seen=f"images of shape {list(pixels.shape[1:])}: {_said_of_blanks(network, pixels)}",
            cure="Use a network for 2-D images of this size and `@channels` channels.",
        ) from error
    expected = (len(pixels), classes)
    if not isinstance(output, torch.Tensor) or tuple(output.shape) != expected:
        shape = (
            list(output.shape[1:]) if isinstance(output, torch.Tensor) else type(output).__name__
        )
        raise RunConfigError(
            "The network does not give one score per class",
            where="network",
            seen=f"{shape} an image instead of {list(expected[1:])}",
            cure="Use a classifier and write `@classes` for its number of classes.",
        )
    return output.float()


def _said_of_blanks(network: torch.nn.Module, pixels: torch.Tensor) -> str:
    """Returns why a network cannot take two blank images: of real ones it might quote pixels."""
    import torch

    try:
        network(torch.zeros_like(pixels[:1]).repeat(2, 1, 1, 1))
    except (RuntimeError, ValueError, TypeError) as error:
        return " ".join(str(error).split())[:200]
    return "it can take blank ones"


def initial_weights(arguments: Mapping[str, Any], store: Store) -> dict[str, Any]:
    """Writes a seeded network's first weights; the worker's task of the same name.

    Args:
        arguments: `network`, `channels`, `classes`, `seed` and the `path` to write to; `entry`,
            what the roster calls the network; and `image_size`, pixels a side, with which two
            blank images are put through it first.
        store: not used; no image is needed.

    Returns:
        `digest` of the weights and the number of trainable `parameters`.

    Raises:
        RunConfigError: the network does not build, or cannot take such images; nothing is written.
    """
    config, entry = arguments["network"], str(arguments.get("entry", "network"))
    channels, classes = int(arguments["channels"]), int(arguments["classes"])
    try:
        network = build_network(
            config, channels=channels, classes=classes, seed=int(arguments["seed"])
        )
        weights = weights_of(network)  # a copy: blank images may change running statistics
        if size := int(arguments.get("image_size", 0)):
            _require_fit(network, config, channels=channels, size=size, classes=classes)
    except RunConfigError as error:
        place = error.where.removeprefix("network")
        raise RunConfigError(
            error.what, where=f"the roster's `{entry}{place}`", seen=error.seen, cure=error.cure
        ) from error
    write_weights(weights, Path(arguments["path"]))
    return {
        "digest": weights_digest(weights),
        "parameters": sum(p.numel() for p in network.parameters() if p.requires_grad),
    }


def _require_fit(
    network: torch.nn.Module, config: Mapping[str, Any], *, channels: int, size: int, classes: int
) -> None:
    import torch

    blank = torch.zeros(2, channels, size, size)
    try:
        with torch.no_grad():
            scores(network, blank, classes=classes)
    except RunConfigError as error:
        wrong = next((name for name in SIZES if _is_of_other_size(config.get(name), size)), None)
        if wrong is None:
            raise
        raise RunConfigError(
            "The network is made for images of another size",
            where=f"network.{wrong}",
            seen=f"{config[wrong]}, and {error.seen}",
            cure=f"Write the images' size as `{wrong}`, which is the roster's `data.image_size`.",
        ) from error


def _is_of_other_size(named: Any, size: int) -> bool:
    """Returns whether an argument names sides of an image, of which one is not so long."""
    sides = named[-2:] if isinstance(named, list | tuple) else [named]
    return named is not None and any(side != size for side in sides)
