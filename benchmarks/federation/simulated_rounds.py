"""The server's part in NVFlare's simulator: NVFlare's own FedAvg, told of the work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nvflare.app_common.abstract.fl_model import FLModel
from nvflare.app_common.workflows.fedavg import FedAvg

from benchmarks.federation.work import Work, write_outcome
from fed_assets.federation.weights import read_weights


class WorkFedAvg(FedAvg):
    """NVFlare's FedAvg from the work's first weights, which writes the outcome at the end.

    Args:
        work: Path of the work's JSON file.
        outcome: Path of the outcome's.
    """

    def __init__(self, work: str, outcome: str) -> None:
        self._work = Work.read(work)
        self._outcome = outcome
        super().__init__(
            num_clients=len(self._work.stores),
            num_rounds=self._work.rounds,
            start_round=1,
            persistor_id="",
        )

    def load_model(self) -> FLModel:
        """Returns the first weights."""
        return FLModel(params=read_weights(Path(self._work.initial_weights)))

    def save_model(self, model: Any) -> None:
        """Writes the outcome if this was the last round."""
        if self.current_round == self._work.rounds:
            write_outcome(self._outcome, model.params, rounds=self.current_round)
