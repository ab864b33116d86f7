"""One local round: one hospital learns from its own images, starting at the global weights."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from fed_assets.errors import NoImages, RunConfigError
from fed_assets.hospital.augmentation import augment
from fed_assets.hospital.network import scores
from fed_assets.hospital.proximal import proximal_pull
from fed_assets.hospital.recipe import Recipe

if TYPE_CHECKING:
    import torch

    from fed_assets.hospital.tensor_file import Images


@dataclass(frozen=True)
class RoundMetrics:
    """What one local round reports: mean loss over its images, how many, and how long it took.

    Trained with differential privacy, it tells no loss, and in `privacy` what was spent.
    """

    loss: float | None
    examples: int
    seconds: float
    privacy: Mapping[str, float] = field(default_factory=dict)


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


def half_precision(device: torch.device) -> torch.dtype | None:
    """Returns the number format of 16 bits that a device multiplies faster; None where it has none.

    Many processors take bfloat16, but only those with instructions of their own for it gain by it.
    """
    import torch

    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() else None


def to_pixels(images: np.ndarray[Any, Any], device: torch.device) -> torch.Tensor:
    """Returns uint8 images [n, C, H, W] as float32 from -2 to 2 on the device."""
    import torch

    pixels = torch.from_numpy(np.ascontiguousarray(images)).to(device)
    return pixels.float().sub_(127.5).div_(63.75)


def round_seed(seed: int, hospital: str, round_number: int) -> int:
    """Returns a seed of its own for each hospital and round, the same in every process."""
    text = f"{seed}/{hospital}/{round_number}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:7])


def train_round(
    network: torch.nn.Module,
    images: Images,
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
    With `prior_correction`, what is learned is free of the hospital's own class balance, and no
    count has to leave it: rare classes are drawn more often (see `draw_epoch`), and the loss is
    cross-entropy on scores shifted by the log of the shares drawn (logit adjustment, Menon et al.
    2021, arXiv:2007.07314, eq. 10). With a `proximal_mu` above 0, the weights are held near those
    that came in (see `proximal`); the loss that is told is without that term.

    Args:
        network: with the global weights in it.
        images: uint8 [all, channels, height, width], read batch by batch.
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
    network.to(device).train()
    # Convolutions learn a fifth faster where an image's channels lie side by side.
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    half = half_precision(device)
    scaler = torch.amp.GradScaler(device.type, enabled=half is torch.float16)
    optimizer = torch.optim.AdamW(
        network.parameters(),
        lr=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        fused=True,
    )
    pull = proximal_pull(network, recipe.proximal_mu)
    batch_seed = round_seed(seed, hospital, round_number)
    torch.manual_seed(batch_seed)  # for dropout
    generator = torch.Generator().manual_seed(batch_seed)
    epochs = recipe.local_epochs
    total = 0.0
    for epoch in range(epochs):
        drawn = rows[draw_epoch(labels[rows], generator, balanced=recipe.prior_correction)]
        shift = log_prior(labels[drawn], classes).to(device) if recipe.prior_correction else 0.0
        batches = even_batches(drawn, recipe.batch_size)
        for step, batch in enumerate(batches):
            if should_stop():
                raise Stopped
            progress = (round_number - 1 + (epoch + step / len(batches)) / epochs) / rounds
            for group in optimizer.param_groups:
                group["lr"] = recipe.learning_rate_at(progress)
            pixels = to_pixels(images[batch], device)
            if recipe.augment:
                pixels = augment(pixels, generator)
            pixels = pixels.contiguous(memory_format=torch.channels_last)
            truth = torch.from_numpy(labels[batch]).to(device)
            with torch.autocast(device.type, dtype=half, enabled=half is not None):
                output = scores(network, pixels, classes=classes)
            loss = torch.nn.functional.cross_entropy(output + shift, truth)
            optimizer.zero_grad(set_to_none=True)
            scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            scaler.unscale_(optimizer)
            pull()
            scaler.step(optimizer)
            scaler.update()
            total += float(loss.detach()) * len(batch) / len(drawn)
    mean_loss = total / epochs
    if not math.isfinite(mean_loss):
        raise RunConfigError(
            "Training diverged: the loss is no longer a finite number",
            where="recipe.learning_rate",
            seen=str(recipe.learning_rate),
            cure="Lower the learning rate.",
        )
    return RoundMetrics(mean_loss, len(rows), time.perf_counter() - started)


def draw_epoch(
    labels: np.ndarray[Any, Any], generator: torch.Generator, *, balanced: bool
) -> np.ndarray[Any, Any]:
    """Returns the positions of one epoch's images in random order, about as many as there are.

    Balanced, a class gets a share in proportion to the square root of its images (as in Mahajan et
    al. 2018, arXiv:1805.00932): halfway to an even balance, so that the batches of hospitals with
    different balances are more alike, and a few images are not repeated too often. None of a class
    is drawn twice before all of it was drawn once.
    """
    import torch

    if not balanced:
        return torch.randperm(len(labels), generator=generator).numpy()
    present, counts = np.unique(labels, return_counts=True)
    wanted = np.sqrt(counts) / np.sqrt(counts).sum() * len(labels)
    chosen = []
    for label, count, images in zip(present, counts, wanted.round().clip(min=1), strict=True):
        passes = range(math.ceil(images / count))
        order = torch.cat([torch.randperm(int(count), generator=generator) for _ in passes])
        chosen.append(np.flatnonzero(labels == label)[order[: int(images)].numpy()])
    together = np.concatenate(chosen)
    return np.asarray(together[torch.randperm(len(together), generator=generator).numpy()])


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
