"""What the coordinator's process alone may do: its images are open, and no hospital's are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fed_assets.errors import DisclosureRefused, NoImages
from fed_assets.hospital.dataset import Dataset, open_dataset
from fed_assets.hospital.files import Store
from fed_assets.sandboxes.presets import REFERENCE

if TYPE_CHECKING:
    import torch

COORDINATOR = "coordinator"
BATCH_SIZE = 64


def require_coordinator(store: Store, task: str) -> None:
    """Refuses a task to every hospital's process.

    Raises:
        DisclosureRefused: The process does not act for the coordinator.
    """
    if store.hospital != COORDINATOR:
        raise DisclosureRefused(
            "Only the coordinator's open images may be used for this, and never a hospital's",
            where=f"task {task}",
            cure="Ask the coordinator's process",
        )


def require_open(store: Store, task: str) -> None:
    """Refuses a task on images that are not open: neither the coordinator's nor a reference's.

    Raises:
        DisclosureRefused: The images may be a hospital's own.
    """
    if store.folder.name != REFERENCE:
        require_coordinator(store, task)


def open_test(store: Store, *, most: int) -> tuple[Dataset, NDArray[np.int64]] | None:
    """Returns the common test set and the rows of at most so many of its images, evenly spread.

    None where the federation has no common test set.

    Raises:
        NotValidated: No validation let its images through.
        StorageError: It cannot be read.
    """
    try:
        dataset = open_dataset(store)
    except NoImages:
        return None
    rows = dataset.split("test")
    if not len(rows):
        return None
    spread = np.linspace(0, len(rows) - 1, min(most, len(rows)))
    return dataset, rows[np.rint(spread).astype(np.int64)]


def probabilities_on_cpu(
    network: torch.nn.Module, pixels: NDArray[np.uint8]
) -> NDArray[np.float64]:
    """Returns torch's probability of every class, float64 [images, classes].

    On the CPU, whatever else there is: a GPU may multiply with fewer digits than 1e-5 takes.

    Args:
        network: In evaluation mode, on the CPU.
        pixels: uint8 [images, channels, size, size].
    """
    import torch

    from fed_assets.hospital.training import to_pixels

    device = torch.device("cpu")
    with torch.inference_mode():
        batches = [
            network(to_pixels(pixels[start : start + BATCH_SIZE], device)).double().softmax(dim=1)
            for start in range(0, len(pixels), BATCH_SIZE)
        ]
    found: NDArray[np.float64] = torch.cat(batches).numpy()
    return found
