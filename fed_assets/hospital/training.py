"""One local round: one hospital learns from its own images, starting at the global weights."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from fed_assets.errors import NoImages, RunConfigError
from fed_assets.hospital.augmentation import augment
from fed_assets.hospital.network import scores

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Recipe:
    """How every hospital learns; the roster's `recipe`."""

    learning_rate: float = 2e-3
    local_epochs: int = 1
    batch_size: int = 32
    weight_decay: float = 1e-2
    augment: bool = True
    prior_correction: bool = True
    schedule: str = "cosine"

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Recipe:
        """Returns the recipe that a config describes; what it leaves out keeps its default.

        Raises:
            RunConfigError: a key is unknown or a value is out of range.
        """
        known = {field.name: field.type for field in fields(cls)}
        for key, value in config.items():
            if key not in known:
                _refuse(key, value, f"known: {', '.join(known)}")
            allowed = {"bool": (bool,), "int": (int,), "float": (int, float), "str": (str,)}
            kind = allowed[str(known[key])]
            if not isinstance(value, kind) or (isinstance(value, bool) and bool not in kind):
                _refuse(key, value, f"a value of type {known[key]}")
        recipe = cls(**config)
        if not 0 < recipe.learning_rate <= 1:
            _refuse("learning_rate", recipe.learning_rate, "above 0, at most 1")
        if not 1 <= recipe.local_epochs <= 100:
            _refuse("local_epochs", recipe.local_epochs, "1 to 100")
        if not 1 <= recipe.batch_size <= 4096:
            _refuse("batch_size", recipe.batch_size, "1 to 4096")
        if not 0 <= recipe.weight_decay <= 1:
            _refuse("weight_decay", recipe.weight_decay, "0 to 1")
        if recipe.schedule not in ("cosine", "constant"):
            _refuse("schedule", recipe.schedule, "cosine or constant")
        return recipe

    def learning_rate_at(self, progress: float) -> float:
        """Returns the learning rate when this fraction (0 to 1) of all local work is done."""
        if self.schedule == "constant":
            return self.learning_rate
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


def _refuse(key: str, value: Any, allowed: str) -> None:
    raise RunConfigError(
        "The recipe cannot be used",
        where=f"recipe.{key}",
        seen=str(value)[:80],
        cure=f"Write {allowed}.",
    )


@dataclass(frozen=True)
class RoundMetrics:
    """What one local round reports: mean loss over its images, how many, and how long it took."""

    loss: float
    examples: int
    seconds: float


class Stopped(Exception):
    """The round was asked to stop before it was done; the network is half trained."""


def best_device() -> torch.device:
    """Returns the GPU where there is one, else the CPU, held to one thread.

    Ten hospitals on two cores train six times slower when each starts a thread per core.
    """
    import torch

    if torch.cuda.is_available():
        return torch.device("cuda")
    torch.set_num_threads(1)
    return torch.device("cpu")


def to_pixels(images: np.ndarray[Any, Any], device: torch.device) -> torch.Tensor:
    """Returns uint8 images [n, C, H, W] as float32 from -2 to 2 on the device."""
    import torch

    pixels = torch.from_numpy(np.ascontiguousarray(images)).to(device)
    if device.type == "cuda":
        pixels = pixels.contiguous(memory_format=torch.channels_last)
    return pixels.float().sub_(127.5).div_(63.75)


def round_seed(seed: int, hospital: str, round_number: int) -> int:
    """Returns a seed of its own for each hospital and round, the same in every process."""
    text = f"{seed}/{hospital}/{round_number}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:7])


def train_round(
    network: torch.nn.Module,
    images: np.ndarray[Any, Any],
    labels: np.ndarray[Any, Any],
    rows: np.ndarray[Any, Any],
    recipe: Recipe,
    *,
    classes: int,
    hospital: str,
    round_number: int,
    rounds: int,
    seed: int,
    should_stop: Callable[[], bool] = lambda: False,
) -> RoundMetrics:
    """Trains the network in place on one hospital's training images.

    Every round starts a fresh AdamW, whose learning rate falls along one cosine over all rounds.
    The loss is cross-entropy on scores shifted by the log of the hospital's own class frequencies
    (logit adjustment, Menon et al. 2021, arXiv:2007.07314, eq. 10): what is learned is then free
    of the hospital's class balance, and no count has to leave it.

    Args:
        network: with the global weights in it.
        images: uint8 [all, channels, height, width]; a memory map is read batch by batch.
        labels: int64 [all], indices into the classes.
        rows: the training images among them.
        recipe: how to learn.
        classes: how many there are in the federation, of which this hospital may lack some.
        hospital: id, which with seed and round number decides every random draw.
        round_number: from 1.
        rounds: of the whole federation.
        seed: of the federation.
        should_stop: asked before every batch.

    Raises:
        NoImages: the hospital has no image to learn from.
        RunConfigError: the network does not fit the images or classes, or the loss left the
            finite numbers.
        Stopped: `should_stop` said so.
    """
    import torch

    if len(rows) == 0:
        raise NoImages("A hospital has no training image", where="split train", seen="0 images")
    started = time.perf_counter()
    device = best_device()
    on_gpu = device.type == "cuda"
    network.to(device).train()
    if on_gpu:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    half = torch.bfloat16 if on_gpu and torch.cuda.is_bf16_supported() else torch.float16
    scaler = torch.amp.GradScaler(device.type, enabled=on_gpu and half is torch.float16)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    shift = log_prior(labels[rows], classes).to(device) if recipe.prior_correction else 0.0
    batch_seed = round_seed(seed, hospital, round_number)
    torch.manual_seed(batch_seed)  # for dropout
    generator = torch.Generator().manual_seed(batch_seed)
    epochs = recipe.local_epochs
    total = 0.0
    for epoch in range(epochs):
        order = rows[torch.randperm(len(rows), generator=generator).numpy()]
        batches = even_batches(order, recipe.batch_size)
        for step, batch in enumerate(batches):
            if should_stop():
                raise Stopped
            progress = (round_number - 1 + (epoch + step / len(batches)) / epochs) / rounds
            for group in optimizer.param_groups:
                group["lr"] = recipe.learning_rate_at(progress)
            pixels = to_pixels(images[batch], device)
            if recipe.augment:
                pixels = augment(pixels, generator)
            truth = torch.from_numpy(labels[batch]).to(device)
            with torch.autocast(device.type, dtype=half, enabled=on_gpu):
                output = scores(network, pixels, classes=classes)
            loss = torch.nn.functional.cross_entropy(output + shift, truth)
            optimizer.zero_grad(set_to_none=True)
            scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            scaler.step(optimizer)
            scaler.update()
            total += float(loss.detach()) * len(batch)
    mean_loss = total / (len(rows) * epochs)
    if not math.isfinite(mean_loss):
        raise RunConfigError(
            "Training diverged: the loss is no longer a finite number",
            where="recipe.learning_rate",
            seen=str(recipe.learning_rate),
            cure="Lower the learning rate.",
        )
    return RoundMetrics(mean_loss, len(rows), time.perf_counter() - started)


def even_batches(rows: np.ndarray[Any, Any], batch_size: int) -> list[np.ndarray[Any, Any]]:
    """Cuts rows into the fewest batches of at most `batch_size`, alike in size to within one.

    A short last batch would weigh as much in a step, and in batch normalisation, as a whole one.
    """
    return np.array_split(rows, math.ceil(len(rows) / batch_size))


def log_prior(labels: np.ndarray[Any, Any], classes: int) -> torch.Tensor:
    """Returns the log of the share of each class, a class without images counted as one image."""
    import torch

    counts = np.bincount(labels, minlength=classes).clip(min=1)
    return torch.from_numpy(np.log(counts / counts.sum())).float()
