"""The arm to compare with: one process, one loop over rounds and hospitals, nothing between them.

`python -m benchmarks.federation.bare WORK.json OUTCOME.json`
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.federation.step import take_step
from benchmarks.federation.work import Work, write_outcome
from fed_assets.federation.aggregation import Update, fedavg
from fed_assets.federation.weights import read_weights


def main() -> None:
    work = Work.read(sys.argv[1])
    weights = read_weights(Path(work.initial_weights))
    for round_number in range(1, work.rounds + 1):
        updates = []
        for hospital, store in work.stores.items():
            step = take_step(hospital, Path(store), weights, work.instructions(round_number))
            updates.append(
                Update(hospital=hospital, examples=step.examples, weights=step.weights, report={})
            )
        weights = fedavg(updates)
    write_outcome(sys.argv[2], weights)


if __name__ == "__main__":
    main()
