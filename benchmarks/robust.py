"""What two hostile hospitals of ten do to each rule, on the official PneumoniaMNIST.

The shipped roster's hospitals learn together, in one process and by the product's own round,
aggregation and evaluation (see `quality.learn`); two of middling size are hostile. `negated` sends
its update 20 times as large and in the other direction. `flipped` learns from labels that are all
false, and claims to have 20 times its images. Each rule is compared with itself unattacked; figures
are means of the seeds that it was measured with, each of which shares the images out anew.

FedProx and FedOpt, which withstand nobody hostile either, are measured unattacked alone, by their
own defaults: that they go with the shipped recipe.

    python -m benchmarks.robust
    python -m benchmarks.robust --rules weighted_median --seeds 1 2
    python -m benchmarks.robust --show    # measures nothing; draws docs/robust.png

Figures are written as soon as they are there, into the package, whose reports tell of them; an
interrupted benchmark goes on with what is missing.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from benchmarks.attacked_rules import UNATTACKED, draw_rules, recipe_table, table
from benchmarks.piecewise import as_done, begun, keep_as_done
from benchmarks.quality import PACKAGES, PROJECT, learn, learned_with, prepared
from benchmarks.record import write_record
from fed_assets.comparison.references import METRICS
from fed_assets.reporting.robust_rules import ATTACKS, RECORD

HOSTILE = ("hospital_05", "hospital_10")
TIMES = 20
RULES = {
    "fedavg": {},
    "weighted_median": {},
    "trimmed_mean": {"tolerated": len(HOSTILE)},
    "multi_krum": {"tolerated": len(HOSTILE)},
    **{rule: {} for rule in UNATTACKED},
}
WITHIN = 0.03  # of accuracy
Cell = tuple[str, str, int]  # rule, attack and seed
Figures = dict[str, dict[str, dict[str, dict[str, float]]]]  # by rule, attack and seed


def attacks_on(rule: str) -> tuple[str, ...]:
    return ("none",) if rule in UNATTACKED else tuple(ATTACKS)


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


def one(rule: str, attack: str, seed: int, rounds: int, data: Path) -> dict[str, Any]:
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


def gone_on_with(path: Path, asked: Mapping[str, Any]) -> Figures:
    """Returns by rule, attack and seed what was measured already.

    Raises:
        SystemExit: The file's was measured with other rounds, another recipe or network.
    """
    known = begun(path, asked, "measured")["measured"]
    return {
        rule: {attack: dict(known.get(rule, {}).get(attack, {})) for attack in attacks_on(rule)}
        for rule in RULES
    }


def missing(figures: Figures, rules: Sequence[str], seeds: Sequence[int]) -> list[Cell]:
    """Returns what was not measured yet, one seed after another."""
    return [
        (rule, attack, seed)
        for seed in seeds
        for rule in rules
        for attack in attacks_on(rule)
        if str(seed) not in figures[rule][attack]
    ]


def report(figures: Figures) -> dict[str, Any]:
    """Returns accuracy and AUROC by rule and attack, and whether each attacked rule held.

    They are means over the seeds with which a rule was measured under each attack.
    """
    rules: dict[str, dict[str, Any]] = {}
    for rule, by_attack in figures.items():
        whole = set(by_attack) == set(ATTACKS) and all(by_attack.values())
        measured = [set(by_seed) for by_seed in by_attack.values() if by_seed]
        seeds = sorted(set.intersection(*measured), key=int) if measured else []
        rules[rule] = {"seeds": list(map(int, seeds))}
        for attack, by_seed in by_attack.items():
            if seeds and by_seed:
                rules[rule][attack] = {
                    name: statistics.mean(by_seed[seed][name] for seed in seeds) for name in METRICS
                }
        if whole and seeds:
            accuracies = {attack: rules[rule][attack]["accuracy"] for attack in ATTACKS}
            lost = max(accuracies["none"] - each for each in accuracies.values())
            rules[rule] |= {"accuracy_lost": lost, "held": lost <= WITHIN}
    return {"hostile": list(HOSTILE), "within": WITHIN, "rules": rules, "measured": figures}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = os.environ.get("FED_ASSETS_DATA") or PROJECT.parent / "shared" / "data"
    parser.add_argument(
        "--data", type=Path, default=Path(default), help="pneumoniamnist.npz's folder"
    )
    parser.add_argument("--rules", nargs="+", choices=RULES, default=list(RULES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--processes", type=int, default=2, help="one thread each")
    parser.add_argument("--show", action="store_true", help="measure nothing")
    parser.add_argument("--out", type=Path, default=RECORD)
    parser.add_argument("--picture", type=Path, default=PROJECT / "docs" / "robust.png")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    asked = {"rounds": options.rounds, **learned_with()}
    figures = gone_on_with(options.out, asked)
    left = [] if options.show else missing(figures, options.rules, options.seeds)

    def keep(cell: Cell, found: Mapping[str, float]) -> None:
        rule, attack, seed = cell
        figures[rule][attack][str(seed)] = {name: found[name] for name in METRICS}
        write_record(options.out, asked | report(figures), PACKAGES)

    failed = keep_as_done(
        as_done(one, left, options.processes, options.rounds, options.data),
        keep,
        lambda cell: f"{cell[0]}, {cell[1]}, seed {cell[2]}",
    )
    if figures["fedavg"]["none"]:
        record = asked | report(figures)
        print(table(record), recipe_table(record), sep="\n\n")
        options.picture.write_bytes(draw_rules(record).content)
    elif not failed:
        failed = [f"{options.out} holds no figures. Run it without --show."]
    sys.exit("\n".join(failed) or 0)


if __name__ == "__main__":
    main()
