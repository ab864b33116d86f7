"""The server's side of a job's weights: inside messages, or as files where they are large."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from nvflare.app_common.abstract.fl_model import FLModel

from fed_assets.federation.carried import REFERENCE, fetch, job_cell, offered
from fed_assets.federation.memory import give_back_memory
from fed_assets.federation.outbox import written
from fed_assets.federation.parked import ParkedWeights
from fed_assets.federation.plan import FederationPlan
from fed_assets.federation.sizes import most_update_bytes
from fed_assets.federation.weights import Weights, are_large

PARKED = "parked"


@dataclass(frozen=True)
class Carriage:
    """How the weights of one job go out, and how those of its updates come in.

    Attributes:
        large: Whether as files.
        folder: Where files that came in lie until their round is aggregated.
        most: How many bytes a file that comes in may have.
        seconds: How long a file that goes out may be left untouched.
        cell: NVFlare's end of the connections of this process.
        job_id: NVFlare's id of the job.
    """

    large: bool
    folder: Path
    most: int
    seconds: float
    cell: Any
    job_id: str

    @classmethod
    def of(cls, plan: FederationPlan, fl_ctx: Any) -> Carriage:
        """Returns the carriage of a plan's job."""
        return cls(
            large=are_large(Path(plan.initial_weights)),
            folder=Path(plan.folder) / PARKED,
            most=most_update_bytes(plan),
            seconds=plan.round_timeout_seconds,
            cell=fl_ctx.get_engine().get_cell(),
            job_id=fl_ctx.get_job_id(),
        )

    @contextmanager
    def outgoing(self, weights: Weights, file: Path) -> Iterator[tuple[Weights, dict[str, str]]]:
        """Yields what a message to hospitals holds of the weights, and what it says of them.

        Args:
            weights: What the hospitals shall have.
            file: A safetensors file that holds the same.
        """
        if not self.large:
            yield dict(weights), {}
            return
        with offered(self.cell, file, self.seconds) as reference:
            yield {}, {REFERENCE: reference}

    @contextmanager
    def parking(self) -> Iterator[None]:
        """Has a place for what comes in, and gives it back with all that it took.

        What comes in later than that finds no place, and is lost.

        Raises:
            StorageError: There is no room for it.
        """
        if not self.large:
            yield
            return
        with written("The folder for updates", self.folder):
            self.folder.mkdir(parents=True, mode=0o700)
        try:
            yield
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)
            give_back_memory()

    def incoming(self, hospital: str, answer: FLModel) -> Mapping[str, np.ndarray[Any, Any]]:
        """Returns the weights of a hospital's answer.

        Raises:
            StorageError: They could not be written.
            JobFailed: They did not come, or there are more than an update can hold.
        """
        if not self.large:
            arrays: dict[str, np.ndarray[Any, Any]] = answer.params
            return arrays
        # Where the file is, the hospital does not say: with itself, and nowhere else.
        source, path = job_cell(hospital, self.job_id), self.folder / f"{hospital}.safetensors"
        path.unlink(missing_ok=True)  # of a round that was closed as it began to come
        fetch(self.cell, source, answer.meta[REFERENCE], path, self.most)
        give_back_memory()  # what the parts went through, before the next hospital's come
        return ParkedWeights(path)
