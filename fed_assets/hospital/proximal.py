"""FedProx: local training that is held near the global weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def proximal_pull(network: torch.nn.Module, proximal_mu: float) -> Callable[[], None]:
    """Returns what adds the gradient of the proximal term to the network's gradients.

    The term is mu / 2 ||w - w_global||^2 (Li et al. 2020, arXiv:1812.06127, eq. 2), over the
    trainable parameters; its gradient is mu (w - w_global). With `proximal_mu` 0 nothing is added,
    and no bit of training changes.

    Args:
        network: With the global weights in it, on the device where it is trained.
        proximal_mu: Strength of the term, at least 0.
    """
    if proximal_mu == 0:
        return lambda: None
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    received = [parameter.detach().clone() for parameter in trained]

    def pull() -> None:
        for parameter, origin in zip(trained, received, strict=True):
            if parameter.grad is not None:
                parameter.grad.add_(parameter.detach() - origin, alpha=proximal_mu)

    return pull
