"""What two hostile hospitals of ten do to each rule, on the official PneumoniaMNIST.

The shipped roster's hospitals learn together, in one process and by the product's own round,
aggregation and evaluation (see `quality.learn`); two of middling size are hostile. `negated` sends
its update 20 times as large and in the other direction. `flipped` learns from labels that are all
false, and claims to have 20 times its images. Each rule is compared with itself unattacked.

    python -m benchmarks.robust

Figures are written as soon as they are there, and an interrupted benchmark goes on with what is
missing.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from benchmarks.piecewise import as_done, begun, keep_as_done
from benchmarks.quality import PACKAGES, PROJECT, learn, learned_with, prepared
from benchmarks.record import write_record

HOSTILE = ("hospital_05", "hospital_10")
TIMES = 20
RULES = {
    "fedavg": {},
    "weighted_median": {},
    "trimmed_mean": {"tolerated": len(HOSTILE)},
    "multi_krum": {"tolerated": len(HOSTILE)},
}
ATTACKS = ("none", "negated", "flipped")
WITHIN = 0.03  # of accuracy


def negated(update: Any, received: Any) -> Any:
    if update.hospital not in HOSTILE:
        return update
    against = {
        name: (start - TIMES * (update.weights[name].astype(float) - start)).astype(start.dtype)
        for name, start in received.items()
    }
    return replace(update, weights=against)


def boasting(update: Any, received: Any) -> Any:
    if update.hospital not in HOSTILE:
        return update
    return replace(update, examples=TIMES * update.examples)


@contextmanager
def attacked(attack: str) -> Iterator[Callable[[Any, Any], Any]]:
    """Yields what is sent in place of updates; till then hostile hospitals learn what they like."""
    from fed_assets.hospital import executor

    honest = executor.open_dataset

    def flipped(store: Any) -> Any:
        dataset = honest(store)
        if store.folder.name not in HOSTILE:
            return dataset
        labels = dataset.labels
        others = np.where(labels < 0, labels, len(dataset.classes) - 1 - labels)
        return replace(dataset, labels=others)

    if attack == "flipped":
        with patch.object(executor, "open_dataset", flipped):
            yield boasting
    else:
        yield negated if attack == "negated" else lambda update, received: update


def one(rule: str, attack: str, rounds: int, seed: int, data: Path) -> dict[str, Any]:
    """Returns the figures of one rule under one attack."""
    from fed_assets.federation.roster import read_roster
    from fed_assets.sandboxes.controls import Aggregation
    from fed_assets.sandboxes.protection import Rule

    roster = read_roster(PROJECT / "fed_assets" / "roster.yaml")
    with tempfile.TemporaryDirectory(prefix="robust-") as temporary:
        stores, facts = prepared(roster, seed, data, Path(temporary))
        if facts["synthetic"]:
            raise SystemExit("pneumoniamnist.npz was not found: name its folder with --data")
        with attacked(attack) as sent:
            return learn(
                stores,
                facts,
                roster,
                rounds=rounds,
                seed=seed,
                folder=Path(temporary),
                rule=Rule.by_default(Aggregation(rule), **RULES[rule]),
                sent=sent,
            )


def gone_on_with(path: Path, asked: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Returns by rule and attack what an interrupted benchmark measured already.

    Raises:
        SystemExit: The file's was measured with other rounds or another seed.
    """
    known = begun(path, asked, "rules")["rules"]
    return {
        rule: {each: known[rule][each] for each in ATTACKS if each in known.get(rule, {})}
        for rule in RULES
    }


def report(figures: dict[str, dict[str, dict[str, Any]]]) -> dict[str, Any]:
    """Returns accuracy and AUROC by rule and attack, and whether each rule held."""
    rules: dict[str, dict[str, Any]] = {}
    for rule, by_attack in figures.items():
        rules[rule] = {
            attack: {name: found[name] for name in ("auroc", "accuracy")}
            for attack, found in by_attack.items()
        }
        if set(by_attack) == set(ATTACKS):
            accuracies = {attack: found["accuracy"] for attack, found in by_attack.items()}
            lost = max(accuracies["none"] - each for each in accuracies.values())
            rules[rule] |= {"accuracy_lost": lost, "held": lost <= WITHIN}
    return {"hostile": list(HOSTILE), "within": WITHIN, "rules": rules}


def show(figures: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="PneumoniaMNIST, 2 of 10 hospitals hostile: AUROC / accuracy")
    for column in ("rule", *ATTACKS, "accuracy lost", "held"):
        table.add_column(column, justify="left" if column == "rule" else "right")
    for rule, entry in figures["rules"].items():
        cells = [f"{entry[a]['auroc']:.3f} / {entry[a]['accuracy']:.3f}" for a in ATTACKS]
        held = "yes" if entry["held"] else "no"
        table.add_row(rule, *cells, f"{entry['accuracy_lost']:+.3f}", held)
    Console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = os.environ.get("FED_ASSETS_DATA") or PROJECT.parent / "shared" / "data"
    parser.add_argument(
        "--data", type=Path, default=Path(default), help="pneumoniamnist.npz's folder"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--processes", type=int, default=2, help="one thread each")
    parser.add_argument("--out", type=Path, default=PROJECT / "benchmarks/results/robust.json")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    asked = {"rounds": options.rounds, "seed": options.seed}
    figures = gone_on_with(options.out, asked)
    left = [(rule, each) for rule in RULES for each in ATTACKS if each not in figures[rule]]

    def keep(cell: tuple[str, str], found: dict[str, Any]) -> None:
        rule, attack = cell
        figures[rule][attack] = found
        write_record(options.out, asked | report(figures) | learned_with(), PACKAGES)

    where = (options.rounds, options.seed, options.data)
    failed = keep_as_done(as_done(one, left, options.processes, *where), keep, ", ".join)
    if failed:
        sys.exit("\n".join(failed))
    show(report(figures))


if __name__ == "__main__":
    main()
