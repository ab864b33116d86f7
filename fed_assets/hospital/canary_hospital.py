"""A hospital as it is, but that its images are pictures of nobody, and change between rounds.

What it learns in a round, and how that is protected, is the executor's own, of whatever protection
the site's record names. Where its images change, it is a hospital that never spent any privacy.

<store>-<round>.npz    its images from that round on, put there by who makes attempts on its updates
<store>-<round>.npy    the weights as it learned them in a round, before anything protected them
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from fed_assets.hospital.executor import HospitalExecutor, read_identity
from fed_assets.hospital.files import Store
from fed_assets.hospital.images import prepare_images
from fed_assets.hospital.masked_tasks import number_of
from fed_assets.hospital.store import set_validated


class CanaryHospital(HospitalExecutor):
    """Takes pictures in before the first task of a round that there are some for."""

    def __init__(self) -> None:
        super().__init__()
        self._round: int | None = None

    def execute(
        self, task_name: str, shareable: Shareable, fl_ctx: FLContext, abort_signal: Signal
    ) -> Shareable:
        """Answers one task as a hospital does, and leaves beside it what it has learned."""
        site = read_identity(fl_ctx)
        store = site.store
        # Tasks beside the training bear what is said under the name of what they protect by.
        said = shareable.get(str(site.protection.kind))
        asked = FLModelUtils.from_shareable(shareable).meta if said is None else said
        round_number = number_of(asked)
        if round_number != self._round:
            self._round, pictures = round_number, _beside(store, round_number, "npz")
            if pictures.exists():
                found(store, pictures)
        with _noting(_beside(store, round_number, "npy")):
            return super().execute(task_name, shareable, fl_ctx, abort_signal)


def found(store: Store, pictures: Path) -> None:
    """Gives a hospital a new store, with these pictures in it and nothing else.

    Args:
        store: The hospital's; all that was in it is removed.
        pictures: A MedMNIST file, whose labels are 0 and 1.

    Raises:
        DataError: It is none.
        StorageError: The store cannot be written.
    """
    shutil.rmtree(store.folder, ignore_errors=True)
    source = {"kind": "medmnist", "path": str(pictures)}
    with np.load(pictures) as arrays:
        size = int(arrays["train_images"].shape[1])
    facts = prepare_images({"source": source, "classes": ["0", "1"], "image_size": size}, store)
    set_validated(store, facts["digest"])


def _beside(store: Store, round_number: int | None, kind: str) -> Path:
    return store.folder.with_name(f"{store.folder.name}-{round_number}.{kind}")


@contextmanager
def _noting(path: Path) -> Iterator[None]:
    """Writes the weights after the last step that an optimizer takes meanwhile, if one does."""
    from torch.optim.optimizer import register_optimizer_step_post_hook

    learned: list[Any] = []

    def note(optimizer: Any, *_: Any) -> None:
        weights = [each for group in optimizer.param_groups for each in group["params"]]
        learned[:] = [each.detach().cpu().numpy().ravel() for each in weights]

    hook = register_optimizer_step_post_hook(note)
    try:
        yield
    finally:
        hook.remove()
    if learned:
        np.save(path, np.concatenate(learned))
