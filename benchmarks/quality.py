"""What the shipped roster's recipe reaches on the official PneumoniaMNIST test set.

For every seed, the roster's hospitals share out the official set and learn together, and each of
them learns alone, for as many rounds. All of it is the product's own code, from preparing and
validating the images to the executor's round, the server's aggregation and the evaluation; only
NVFlare's transport between them is left out, which changes no bit of a weight. A seed decides how
the images are shared out, the initial weights and every draw in training.

    python -m benchmarks.quality --seeds 0 1 2 --rounds 15 25

The first number of rounds is the shipped one: its figures stand at the top of quality.json, and
training alone is compared with it. A hospital's gain is the global model's metric on the common
test set less that of the model that the hospital trained alone.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from fed_assets.federation.aggregation import Update
    from fed_assets.federation.weights import Weights
    from fed_assets.hospital.files import Store
    from fed_assets.sandboxes.protection import Protection, Rule

PROJECT = Path(__file__).resolve().parent.parent
TARGETS = {15: {"auroc": 0.965, "accuracy": 0.91}, 25: {"auroc": 0.973, "accuracy": 0.92}}
PUBLISHED = {  # centralised, on the same test set: Yang et al. 2023, Scientific Data 10:41
    "ResNet-18 (28)": {"auroc": 0.944, "accuracy": 0.854},
    "AutoKeras": {"auroc": 0.947, "accuracy": 0.878},
    "Google AutoML Vision": {"auroc": 0.991, "accuracy": 0.946},
}


def prepared(roster: Any, seed: int, data: Path, folder: Path) -> tuple[dict[str, Store], Any]:
    """Prepares every hospital's store and the common test set's; returns those admitted."""
    from fed_assets.assets.image_task import common_test_arguments, image_arguments
    from fed_assets.hospital.files import Store
    from fed_assets.hospital.images import prepare_images
    from fed_assets.hospital.validation import validate_images

    share = roster.data.share.model_copy(update={"seed": seed})
    roster = roster.model_copy(update={"data": roster.data.model_copy(update={"share": share})})
    facts = prepare_images(
        common_test_arguments(roster, data=data, cache=data), Store(folder / "coordinator")
    )
    stores = {}
    for hospital in roster.hospitals:
        store = Store(folder / hospital.id, hospital.id)
        prepare_images(image_arguments(roster, hospital, data=data, cache=data), store)
        limits = {"expectations": dict(roster.data.expectations)}
        if validate_images({**limits, "required_classes": facts["classes"]}, store)["passed"]:
            stores[hospital.id] = store
    return stores, facts


def learn(
    stores: dict[str, Store],
    facts: Any,
    roster: Any,
    *,
    rounds: int,
    seed: int,
    folder: Path,
    protection: Protection | None = None,
    rule: Rule | None = None,
    sent: Callable[[Update, Weights], Update] = lambda update, received: update,
) -> dict[str, Any]:
    """Runs the rounds with these hospitals and evaluates the result on the common test set.

    Args:
        stores: The hospitals' stores.
        facts: What preparing the common test set's images answered.
        roster: Network, recipe and threshold.
        rounds: How many.
        seed: Of the initial weights and of every draw in training.
        folder: Where weights are written, and where the common test set's store lies.
        protection: What hospitals do to their updates, and what goes with it: masked rounds, or a
            network and a threshold that are not the roster's. Nothing, if left out.
        rule: How updates become one; FedAvg, if left out.
        sent: What a hospital sends in place of its update, beside the weights that it received.
    """
    from nvflare.apis.signal import Signal
    from nvflare.app_common.abstract.fl_model import FLModel

    from benchmarks.masked import RUN, open_masked
    from fed_assets.federation.aggregation import Update
    from fed_assets.federation.rules import aggregate
    from fed_assets.hospital.dataset import open_dataset
    from fed_assets.hospital.evaluation import evaluate
    from fed_assets.hospital.executor import run_round
    from fed_assets.hospital.files import Store
    from fed_assets.hospital.network import initial_weights
    from fed_assets.hospital.outbox_log import OutboxLog, text
    from fed_assets.hospital.privacy_ledger import PrivacyLedger
    from fed_assets.hospital.protected_round import Means
    from fed_assets.hospital.weights import read_weights, write_weights
    from fed_assets.privacy.digests import weights_digest
    from fed_assets.sandboxes.controls import UpdateProtection
    from fed_assets.sandboxes.protection import Protection, Rule

    protection, rule = protection or Protection(), rule or Rule()
    learning = roster.learning(protection)
    network = dict(learning.network)
    path = folder / "weights.safetensors"
    shape = {"channels": facts["channels"], "classes": len(facts["classes"])}
    initial_weights({"network": network, **shape, "seed": seed, "path": path}, Store(folder))
    weights, state = read_weights(path), {}
    said = {
        "rounds": rounds,
        "seed": seed,
        "recipe": learning.recipe.model_dump() | rule.told_hospitals,
        "network": network,
        **shape,
    }
    masks = protection.kind is UpdateProtection.SECURE_AGGREGATION
    masked = open_masked(stores, protection, folder, said) if masks else None
    outboxes = {name: OutboxLog(store, RUN) for name, store in stores.items()}
    for outbox in outboxes.values():
        outbox.asked(text("rounds in one process", b""))  # a ledger is kept beside a log alone
    started = time.process_time()
    for round_number in range(1, rounds + 1):
        meta = {"round_number": round_number, **said}
        if masked is not None:
            updates, mean = masked.run(weights, path, meta)
            weights, state = aggregate(rule, updates, weights, state, mean=mean)
            continue
        updates = []
        for hospital, store in stores.items():
            task = FLModel(params=dict(weights), meta=dict(meta))
            answer = run_round(
                task,
                hospital=hospital,
                store=store,
                suppress_below=0,
                means=Means(
                    protection=protection,
                    ledger=PrivacyLedger(store, outboxes[hospital], RUN),
                ),
                abort_signal=Signal(),
            )
            update = Update(
                hospital=hospital,
                examples=answer.meta["examples"],
                weights=answer.params,
                report=answer.meta,
            )
            updates.append(sent(update, weights))
        weights, state = aggregate(rule, updates, weights, state)
    cpu_seconds = time.process_time() - started
    write_weights(weights, path)
    examples = {name: len(open_dataset(each).split("train")) for name, each in stores.items()}
    asked: dict[str, Any] = {"weights": path, "network": network}
    asked["threshold"] = threshold_under(protection, roster, stores, examples, asked)
    record = evaluate({**asked, "resamples": 0}, Store(folder / "coordinator"), validated=False)
    metrics = {name: entry["value"] for name, entry in record["metrics"].items()}
    return {
        **metrics,
        "threshold": asked["threshold"],
        "training_images": sum(examples.values()),
        "training_cpu_seconds": round(cpu_seconds, 1),
        "digest": weights_digest(weights),
    }


def threshold_under(
    protection: Protection,
    roster: Any,
    stores: dict[str, Store],
    examples: dict[str, int],
    asked: dict[str, Any],
) -> float:
    """Returns the roster's threshold; under differential privacy, the one that hospitals choose."""
    from fed_assets.assets.threshold import weighted_median
    from fed_assets.hospital.threshold import choose_threshold
    from fed_assets.sandboxes.controls import UpdateProtection

    if protection.kind is not UpdateProtection.DIFFERENTIAL_PRIVACY:
        return float(roster.threshold)
    chosen = {name: choose_threshold(asked, store)["threshold"] for name, store in stores.items()}
    return weighted_median(
        (value, examples[name]) for name, value in chosen.items() if value is not None
    )


def one_seed(seed: int, rounds: list[int], data: Path) -> dict[str, Any]:
    """Returns one seed's figures: `together` by number of rounds, and `alone` by hospital."""
    from fed_assets.federation.roster import read_roster

    roster = read_roster(PROJECT / "fed_assets" / "roster.yaml")
    with tempfile.TemporaryDirectory(prefix="quality-") as temporary:
        folder = Path(temporary)
        stores, facts = prepared(roster, seed, data, folder)
        if facts["synthetic"]:
            raise SystemExit("pneumoniamnist.npz was not found: name its folder with --data")
        together = {
            count: learn(stores, facts, roster, rounds=count, seed=seed, folder=folder)
            for count in rounds
        }
        alone = {
            hospital: learn(
                {hospital: store}, facts, roster, rounds=rounds[0], seed=seed, folder=folder
            )
            for hospital, store in stores.items()
        }
    for figures in alone.values():
        for metric in ("auroc", "accuracy"):
            figures[f"{metric}_gain"] = together[rounds[0]][metric] - figures[metric]
    return {"seed": seed, "together": together, "alone": alone}


def summary(figures: list[dict[str, Any]]) -> dict[str, float]:
    """Returns mean and standard deviation over the seeds (of a sample) of AUROC and accuracy."""
    result = {}
    for metric in ("auroc", "accuracy"):
        values = [entry[metric] for entry in figures]
        result[f"{metric}_mean"] = statistics.mean(values)
        result[f"{metric}_sd"] = statistics.stdev(values) if len(values) > 1 else 0.0
    return result


def report(seeds: list[dict[str, Any]], rounds: list[int]) -> dict[str, Any]:
    """Returns what quality.json holds, all but where and when it was measured."""

    def of_rounds(count: int) -> dict[str, Any]:
        figures = [{"seed": each["seed"], **each["together"][count]} for each in seeds]
        target = TARGETS.get(count)
        return {"rounds": count, **summary(figures), "seeds": figures, "target": target}

    hospitals = [figures for each in seeds for figures in each["alone"].values()]
    gains = {
        f"{metric}_gain_{name}": function(entry[f"{metric}_gain"] for entry in hospitals)
        for metric in ("auroc", "accuracy")
        for name, function in (("mean", statistics.mean), ("least", min), ("most", max))
    }
    alone = {"rounds": rounds[0], **summary(hospitals), **gains}
    alone["seeds"] = [{"seed": each["seed"], "hospitals": each["alone"]} for each in seeds]
    more = {f"rounds_{count}": of_rounds(count) for count in rounds[1:]}
    return {**of_rounds(rounds[0]), **more, "alone": alone, "published": PUBLISHED}


def measured_here(started: float, roster: Any) -> dict[str, Any]:
    """Returns what was run, where and when."""
    packages = ("fed_assets", "torch", "monai", "numpy", "nvflare")
    return {
        "recipe": roster.recipe.model_dump(),
        "network": roster.network,
        "split_fractions": dict(roster.data.split_fractions),
        "command": " ".join(["python", *sys.argv]),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "seconds": round(time.perf_counter() - started, 1),
        "machine": {"system": platform.platform(), "cores": os.cpu_count(), "device": device()},
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in packages},
        },
    }


def device() -> str:
    import torch

    return (
        torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu, one thread a process"
    )


def show(figures: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="PneumoniaMNIST, official test set: mean and sd over the seeds")
    for column in ("model", "AUROC", "accuracy", "targets"):
        table.add_column(column, justify="left" if column == "model" else "right")

    def row(name: str, entry: dict[str, Any], target: dict[str, float] | None) -> None:
        values = [f"{entry[f'{m}_mean']:.4f} ± {entry[f'{m}_sd']:.4f}" for m in PUBLISHED_METRICS]
        wanted = " / ".join(str(target[m]) for m in PUBLISHED_METRICS) if target else ""
        table.add_row(name, *values, wanted)

    for entry in [figures, *(figures[key] for key in figures if key.startswith("rounds_"))]:
        row(f"together, {entry['rounds']} rounds", entry, entry["target"])
    row(f"each hospital alone, {figures['rounds']} rounds", figures["alone"], None)
    for name, published in figures["published"].items():
        table.add_row(f"{name}, published", *(f"{published[m]:.3f}" for m in PUBLISHED_METRICS))
    console = Console()
    console.print(table)
    for each in figures["alone"]["seeds"]:
        gains = Table(title=f"Gain of each hospital over training alone, seed {each['seed']}")
        for column in ("hospital", "images", "alone", "AUROC gain", "accuracy gain"):
            gains.add_column(column, justify="left" if column == "hospital" else "right")
        for hospital, entry in each["hospitals"].items():
            gains.add_row(
                hospital,
                str(entry["training_images"]),
                f"{entry['auroc']:.3f} / {entry['accuracy']:.3f}",
                f"{entry['auroc_gain']:+.3f}",
                f"{entry['accuracy_gain']:+.3f}",
            )
        console.print(gains)


PUBLISHED_METRICS = ("auroc", "accuracy")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = os.environ.get("FED_ASSETS_DATA") or PROJECT.parent / "shared" / "data"
    parser.add_argument(
        "--data", type=Path, default=Path(default), help="pneumoniamnist.npz's folder"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rounds", type=int, nargs="+", default=[15, 25])
    parser.add_argument("--processes", type=int, default=2, help="one seed each, one thread each")
    parser.add_argument("--out", type=Path, default=PROJECT / "benchmarks/results/quality.json")
    options = parser.parse_args()
    from fed_assets.federation.roster import read_roster

    started = time.perf_counter()
    os.environ["OMP_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(options.processes, mp_context=get_context("spawn")) as pool:
        jobs = [pool.submit(one_seed, seed, options.rounds, options.data) for seed in options.seeds]
        seeds = [job.result() for job in jobs]
    roster = read_roster(PROJECT / "fed_assets" / "roster.yaml")
    figures = report(seeds, options.rounds) | measured_here(started, roster)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(figures, indent=1, default=str) + "\n")
    show(figures)


if __name__ == "__main__":
    main()
