"""One local round by DP-SGD: what any one record can have changed of the weights is bounded.

In each step every training image is tossed for, whether it comes into the batch (Poisson sampling);
the gradient of each image in it is clipped to one L2 norm, and Gaussian noise in proportion to that
norm is added to their sum (Abadi et al. 2016, arXiv:1607.00133). Opacus clips, adds up and steps.
Tosses and noise are the hospital's own secret, so no two runs give the same bits.
"""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from fed_assets.errors import NoImages, RunConfigError
from fed_assets.hospital.augmentation import augment
from fed_assets.hospital.network import scores
from fed_assets.hospital.privacy_ledger import PrivacyLedger, Schedule
from fed_assets.hospital.private_fit import require_private_fit, require_small_delta
from fed_assets.hospital.proximal import proximal_pull
from fed_assets.hospital.recipe import PrivateRecipe
from fed_assets.hospital.training import RoundMetrics, Stopped, best_device, to_pixels
from fed_assets.privacy.secret_draws import SecretDraws
from fed_assets.sandboxes.protection import Protection

if TYPE_CHECKING:
    import torch
    from opacus.optimizers import DPOptimizer

    from fed_assets.hospital.dataset import Dataset

# What is held at a time: each image has gradients of its own, as many as the network has weights.
GRADIENTS_AT_ONCE, IMAGES_AT_ONCE = 2**24, 64


def schedule_of(recipe: PrivateRecipe, *, round_number: int, rounds: int) -> Schedule:
    """Returns the steps of a round: each image comes into `local_epochs` of them on average.

    Args:
        recipe: How to learn.
        round_number: From 1.
        rounds: Of the whole federation.
    """
    return Schedule(
        round_number=round_number,
        rounds_to_come=rounds - round_number + 1,
        sample_rate=recipe.sample_rate,
        steps=max(1, round(recipe.local_epochs / recipe.sample_rate)),
    )


def train_privately(
    network: torch.nn.Module,
    dataset: Dataset,
    rows: np.ndarray[Any, Any],
    recipe: PrivateRecipe,
    *,
    protection: Protection,
    ledger: PrivacyLedger,
    round_number: int,
    rounds: int,
    should_stop: Callable[[], bool] = lambda: False,
) -> RoundMetrics:
    """Trains the network in place, after the ledger was charged for the whole of the round.

    Nothing allows for how often the hospital has each class: the shift of the scores would tell its
    label counts. No loss is reported: it is a mean over records to which no noise was added. The
    learning rate falls as in `train_round`.

    Args:
        network: with the global weights in it.
        dataset: the hospital's.
        rows: the training images in it.
        recipe: how to learn.
        protection: the hospital's own, from its site's record.
        ledger: of the hospital's store.
        round_number: from 1.
        rounds: of the whole federation.
        should_stop: asked before every step.

    Raises:
        NoImages: the hospital has no image to learn from.
        RunConfigError: the network cannot be trained so, or its weights left the finite numbers.
        BudgetSpent: the round would go beyond the hospital's budget; nothing was learned.
        LedgerBroken: it cannot be told what was spent before; nothing was learned.
        Stopped: `should_stop` said so.
    """
    import torch

    if len(rows) == 0:
        raise NoImages("A hospital has no training image", where="split train", seen="0 images")
    started = time.perf_counter()
    require_private_fit(network)
    require_small_delta(protection, len(rows))
    schedule = schedule_of(recipe, round_number=round_number, rounds=rounds)
    charged = ledger.charge(protection, schedule, dataset=dataset.digest)
    device = best_device()
    network.to(device)
    draws = SecretDraws()
    optimizer = private_optimizer(
        network,
        recipe,
        draws,
        noise_multiplier=charged.noise_multiplier,
        max_grad_norm=protection.max_grad_norm or 0.0,
        images_per_step=schedule.sample_rate * len(rows),
    )
    # Of weights that are known, and after the noise: it costs nothing of the budget.
    pull = proximal_pull(network, recipe.proximal_mu)
    optimizer.attach_step_hook(lambda _: pull())
    torch.manual_seed(secrets.randbits(32))  # for dropout, which needs no secret
    views = torch.Generator().manual_seed(secrets.randbits(32))
    for step in range(schedule.steps):
        if should_stop():
            raise Stopped
        progress = (round_number - 1 + step / schedule.steps) / rounds
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate_at(progress)
        batch = rows[draws.poisson_batch(len(rows), schedule.sample_rate)]
        for part, last in parts_of(batch, network):
            pixels = to_pixels(dataset.images[part], device)
            if recipe.augment and len(part):
                pixels = augment(pixels, views)
            truth = torch.from_numpy(dataset.labels[part]).to(device)
            take_gradients(network, pixels, truth, classes=len(dataset.classes))
            optimizer.signal_skip_step(do_skip=not last)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
    if not all(bool(torch.isfinite(each).all()) for each in network.parameters()):
        raise RunConfigError(
            "Training diverged: the weights are no longer finite numbers",
            where="recipe.learning_rate",
            seen=str(recipe.learning_rate),
            cure="Lower the learning rate.",
        )
    seconds = time.perf_counter() - started
    return RoundMetrics(None, len(rows), seconds, privacy=asdict(charged))


def private_optimizer(
    network: torch.nn.Module,
    recipe: PrivateRecipe,
    draws: SecretDraws,
    *,
    noise_multiplier: float,
    max_grad_norm: float,
    images_per_step: float,
) -> DPOptimizer:
    """Returns descent with momentum behind Opacus' clipping, with noise of the hospital's own.

    Adam would divide by what it has seen of the gradients' size, which is the noise's here.

    Args:
        network: whose parameters it steps.
        recipe: how to learn.
        draws: where the noise comes from.
        noise_multiplier: its standard deviation, as a multiple of `max_grad_norm`.
        max_grad_norm: L2 norm that the gradient of each image is clipped to.
        images_per_step: how many come into a batch on average; the sum is divided by it, and never
            by how many came.
    """
    import torch
    from opacus.optimizers import DPOptimizer

    class WithSecretNoise(DPOptimizer):  # type: ignore[misc]
        def add_noise(self) -> None:
            scale = self.noise_multiplier * self.max_grad_norm
            for each in self.params:
                noise = torch.from_numpy(scale * draws.normal(each.numel()))
                each.grad = each.summed_grad + noise.view_as(each).to(each)

    trained = [each for each in network.parameters() if each.requires_grad]
    plain = torch.optim.SGD(
        trained,
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
    )
    return WithSecretNoise(
        plain,
        noise_multiplier=noise_multiplier,
        max_grad_norm=max_grad_norm,
        expected_batch_size=images_per_step,
    )


def take_gradients(
    network: torch.nn.Module, pixels: torch.Tensor, truth: torch.Tensor, *, classes: int
) -> None:
    """Sets `grad_sample` of each trained parameter: the loss's gradient for each image by itself.

    Each image passes through the network alone, so none can get into another's gradient. Opacus'
    hooks are not used: they cannot bear that MONAI's ResNet adds its residual in place.

    Args:
        network: on the device of the images.
        pixels: [images, channels, height, width]; none is allowed.
        truth: int64 [images].
        classes: how many the network scores.
    """
    import torch

    trained = {name: each for name, each in network.named_parameters() if each.requires_grad}
    if len(pixels) == 0:
        for each in trained.values():
            each.grad_sample = each.new_zeros((0, *each.shape))  # type: ignore[attr-defined]
        return

    def loss(weights: dict[str, torch.Tensor], image: torch.Tensor, label: torch.Tensor) -> Any:
        def alone(images: torch.Tensor) -> Any:
            return torch.func.functional_call(network, weights, (images,))

        output = scores(alone, image.unsqueeze(0), classes=classes)  # type: ignore[arg-type]
        return torch.nn.functional.cross_entropy(output, label.unsqueeze(0))

    of_each = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0), randomness="different")
    detached = {name: each.detach() for name, each in trained.items()}
    for name, gradients in of_each(detached, pixels, truth).items():
        trained[name].grad_sample = gradients.detach()  # type: ignore[attr-defined]


def parts_of(
    batch: np.ndarray[Any, Any], network: torch.nn.Module
) -> Iterator[tuple[np.ndarray[Any, Any], bool]]:
    """Yields a batch in parts whose gradients fit into memory, and whether it is the last.

    An empty batch is one empty part: its step is noise alone.
    """
    weights = sum(each.numel() for each in network.parameters())
    most = max(1, min(IMAGES_AT_ONCE, GRADIENTS_AT_ONCE // weights))
    count = max(1, math.ceil(len(batch) / most))
    for number, part in enumerate(np.array_split(batch, count), start=1):
        yield part, number == count
