"""Flower's simulation of the work, by Ray and without security: one worker a core.

`python -m benchmarks.federation.flower WORK.json OUTCOME.json`, by the interpreter that has `flwr`.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from flwr.app import (
    Array,
    ArrayRecord,
    ConfigRecord,
    Context,
    Message,
    MetricRecord,
    RecordDict,
)
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation

from benchmarks.federation.work import Work, write_outcome
from fed_assets.federation.weights import Weights, read_weights


def client_app(work: Work) -> ClientApp:
    """Returns what each hospital runs: the step, on its own store."""
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        # Not at the top: the server's side needs no torch.
        from benchmarks.federation.step import take_step

        hospital, store = list(work.stores.items())[context.node_config["partition-id"]]
        round_number = message.content["config"]["server-round"]
        step = take_step(
            hospital,
            Path(store),
            to_weights(message.content["arrays"]),
            work.instructions(round_number),
        )
        metrics = MetricRecord({"num-examples": step.examples, **step.metrics})
        answer = RecordDict({"arrays": to_record(step.weights), "metrics": metrics})
        return Message(content=answer, reply_to=message)

    return app


def server_app(work: Work, outcome: str) -> ServerApp:
    """Returns the server's side, which writes the outcome as soon as the last round is done."""
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        hospitals = len(work.stores)
        strategy = FedAvg(
            fraction_evaluate=0.0, min_train_nodes=hospitals, min_available_nodes=hospitals
        )
        initial = to_record(read_weights(Path(work.initial_weights)))
        result = strategy.start(grid, initial, num_rounds=work.rounds, train_config=ConfigRecord())
        rounds = len(result.train_metrics_clientapp)
        write_outcome(outcome, to_weights(result.arrays), rounds=rounds)

    return app


def to_record(weights: Weights) -> Any:
    """Returns weights as Flower sends them."""
    return ArrayRecord({name: Array(array) for name, array in weights.items()})


def to_weights(record: Any) -> Weights:
    """Returns the weights that Flower sent."""
    return {name: array.numpy() for name, array in record.items()}


def main() -> None:
    work = Work.read(sys.argv[1])
    cores = os.cpu_count() or 1
    run_simulation(
        server_app(work, sys.argv[2]),
        client_app(work),
        num_supernodes=len(work.stores),
        backend_config={
            "init_args": {"num_cpus": cores, "_temp_dir": tempfile.gettempdir()},
            "client_resources": {"num_cpus": 1, "num_gpus": 0.0},
        },
    )


if __name__ == "__main__":
    main()
