"""What may be trained with differential privacy: refused before anything is charged or learned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fed_assets.errors import RunConfigError
from fed_assets.sandboxes.protection import Protection

if TYPE_CHECKING:
    import torch


def require_private_fit(network: torch.nn.Module) -> None:
    """Refuses a network whose output for one image depends on the others of the batch.

    Leaves it in training mode.

    Raises:
        RunConfigError: It has batch normalisation, or keeps statistics of what it has seen.
    """
    from opacus.validators import ModuleValidator

    network.train()  # as Opacus wants to see it
    unfit = [type(error).__name__ for error in ModuleValidator.validate(network, strict=False)]
    kept = [name for name, _ in network.named_buffers()]
    if unfit or kept:
        raise RunConfigError(
            "The network cannot be trained with differential privacy: it mixes the images of a "
            "batch, or keeps statistics of them",
            where="network",
            seen=", ".join(sorted({*unfit, *kept})[:3]),
            cure="Write `norm: [group, {num_groups: 8}]` in the roster's `network`, or choose a "
            "network without batch normalisation.",
        )


def require_small_delta(protection: Protection, images: int) -> None:
    """Refuses a delta with which one image in so many may be told whole.

    Raises:
        RunConfigError: It is not below one in the number of images.
    """
    delta = protection.delta or 0.0
    if delta * images >= 1:
        raise RunConfigError(
            "The delta of differential privacy is not below one in the number of the hospital's "
            "training images: it would allow to give away a whole image",
            where="control `update_protection`",
            seen=f"delta {delta:g}",
            cure="Write a smaller `delta`, such as 1.0e-5, in the sandbox's YAML.",
        )
