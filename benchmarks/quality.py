"""What the shipped recipe reaches on the official PneumoniaMNIST test set, and what it is worth.

For every seed, the roster's hospitals share out the official set and learn together; the same
network learns from all their images pooled, and from each hospital's alone, for as many rounds. The
set is shared out as shipped, skewed by labels, and so that all hospitals are alike (IID). All of it
is the product's own code, from preparing and validating the images to the executor's round, the
server's aggregation, the pooled training and the evaluation; only NVFlare's transport between them
is left out, which changes no bit of a weight. A seed decides how the images are shared out, the
initial weights and every draw in training.

    python -m benchmarks.quality

The first number of rounds is the shipped one. Figures are written as soon as they are there, and an
interrupted benchmark goes on with what is missing. Tables are made of the record alone: `--show`
makes them and measures nothing.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.piecewise import as_done, begun, keep_as_done
from benchmarks.quality_table import FEDERATED, MODELS, POOLED, SHARES, headline, rows, table
from benchmarks.record import write_record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fed_assets.federation.aggregation import Update
    from fed_assets.federation.weights import Weights
    from fed_assets.hospital.files import Store
    from fed_assets.sandboxes.protection import Protection, Rule

Cell = tuple[str, str, int, int]  # share, model, rounds and seed
PROJECT = Path(__file__).resolve().parent.parent
PACKAGES = ("fed_assets", "torch", "monai", "numpy", "nvflare")
SHIPPED = PROJECT / "fed_assets" / "roster.yaml"
TARGETS = {15: {"auroc": 0.965, "accuracy": 0.91}, 25: {"auroc": 0.973, "accuracy": 0.92}}
PUBLISHED = {  # centralised, on the same test set: Yang et al. 2023, Scientific Data 10:41
    "ResNet-18 (28)": {"auroc": 0.944, "accuracy": 0.854},
    "AutoKeras": {"auroc": 0.947, "accuracy": 0.878},
    "Google AutoML Vision": {"auroc": 0.991, "accuracy": 0.946},
}


def prepared(roster: Any, seed: int, data: Path, folder: Path) -> tuple[dict[str, Store], Any]:
    """Prepares every hospital's store and the common test set's; returns those admitted."""
    from fed_assets.hospital.files import Store
    from fed_assets.hospital.images import prepare_images
    from fed_assets.hospital.validation import validate_images
    from fed_assets.resources.image_task import common_test_arguments, image_arguments

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
    return {
        **tested(asked, folder),
        "threshold": asked["threshold"],
        "training_images": sum(examples.values()),
        "training_cpu_seconds": round(cpu_seconds, 1),
        "digest": weights_digest(weights),
    }


def learn_pooled(
    stores: dict[str, Store], facts: Any, roster: Any, *, rounds: int, seed: int, folder: Path
) -> dict[str, Any]:
    """Trains one model on the images of all hospitals, and evaluates it as `learn` does."""
    from fed_assets.hospital.dataset import open_dataset
    from fed_assets.hospital.files import Store
    from fed_assets.hospital.network import initial_weights
    from fed_assets.hospital.reference import train_pooled

    network = {"network": dict(roster.network)}
    shape = {"channels": facts["channels"], "classes": len(facts["classes"])}
    first, path = (folder / f"{name}.safetensors" for name in ("initial", "pooled"))
    initial_weights({**network, **shape, "seed": seed, "path": first}, Store(folder))
    asked = {
        **network,
        "name": "pooled",
        "recipe": roster.recipe.model_dump(),
        "rounds": rounds,
        "seed": seed,
        "initial": first,
        "weights": path,
    }
    trained = train_pooled([open_dataset(store) for store in stores.values()], asked)
    threshold = float(roster.threshold)
    return {
        **tested({**network, "weights": path, "threshold": threshold}, folder),
        "threshold": threshold,
        "training_images": trained["images"],
        "training_cpu_seconds": round(trained["train_cpu_seconds"], 1),
        "digest": trained["digest"],
    }


def tested(asked: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Returns the metrics of weights on the common test set, whose store lies in the folder."""
    from fed_assets.hospital.evaluation import evaluate
    from fed_assets.hospital.files import Store

    record = evaluate({**asked, "resamples": 0}, Store(folder / "coordinator"), validated=False)
    return {name: entry["value"] for name, entry in record["metrics"].items()}


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


def one(share: str, model: str, rounds: int, seed: int, data: Path) -> dict[str, Any]:
    """Returns the figures of one model with one seed; see `learn_model`.

    Args:
        share: one of `SHARES`.
        model: one of `MODELS`.
        rounds: how many.
        seed: of all that is drawn.
        data: folder of pneumoniamnist.npz.

    Raises:
        SystemExit: the official images are not there.
    """
    from fed_assets.federation.roster import read_roster

    roster = shared_out(read_roster(SHIPPED), share)
    with tempfile.TemporaryDirectory(prefix="quality-") as temporary:
        folder = Path(temporary)
        stores, facts = prepared(roster, seed, data, folder)
        if facts["synthetic"]:
            raise SystemExit("pneumoniamnist.npz was not found: name its folder with --data")
        return learn_model(model, stores, facts, roster, rounds=rounds, seed=seed, folder=folder)


def learn_model(
    model: str,
    stores: dict[str, Store],
    facts: Any,
    roster: Any,
    *,
    rounds: int,
    seed: int,
    folder: Path,
) -> dict[str, Any]:
    """Returns the figures of a model; of training alone, by hospital."""
    asked: dict[str, Any] = {"rounds": rounds, "seed": seed, "folder": folder}
    if model == FEDERATED:
        return learn(stores, facts, roster, **asked)
    if model == POOLED:
        return learn_pooled(stores, facts, roster, **asked)
    return {
        hospital: learn({hospital: store}, facts, roster, **asked)
        for hospital, store in stores.items()
    }


def shared_out(roster: Any, share: str) -> Any:
    """Returns a roster whose hospitals share out its set so: as it says, or all of them alike."""
    changed = roster.data.share.model_copy(update=SHARES[share])
    return roster.model_copy(update={"data": roster.data.model_copy(update={"share": changed})})


def missing(record: Mapping[str, Any], rounds: Sequence[int], seeds: Sequence[int]) -> list[Cell]:
    """Returns what was not measured yet: all with the first number of rounds, seed by seed.

    With the others, the shipped federation alone.
    """
    wanted = [
        *(
            (share, model, rounds[0], seed)
            for seed in seeds
            for share in SHARES
            for model in MODELS
        ),
        *((next(iter(SHARES)), FEDERATED, count, seed) for seed in seeds for count in rounds[1:]),
    ]
    return [cell for cell in wanted if known(record, cell) is None]


def known(record: Mapping[str, Any], cell: Cell) -> Any:
    """Returns the figures of a cell; None where it was not measured."""
    share, model, rounds, seed = cell
    found = record["figures"].get(share, {}).get(model, {})
    return found.get(str(rounds), {}).get(str(seed))


def keep(record: dict[str, Any], cell: Cell, figures: Mapping[str, Any]) -> None:
    """Puts the figures of a cell into a record, with when they were measured."""
    share, model, rounds, seed = cell
    of_model = record["figures"].setdefault(share, {}).setdefault(model, {})
    created = datetime.now(UTC).isoformat(timespec="seconds")
    of_model.setdefault(str(rounds), {})[str(seed)] = {"created": created, "figures": figures}


def whole(record: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what quality.json holds: the figures, and all that is reckoned from them."""
    told = {"targets": TARGETS, "published": PUBLISHED, "rows": rows(record)}
    return {**record, **headline(record), **told}


def learned_with() -> dict[str, Any]:
    """Returns by what hospitals learn, and on what device they do here."""
    import torch

    from fed_assets.federation.roster import read_roster

    roster = read_roster(SHIPPED)
    cuda = torch.cuda.is_available()
    return {
        "recipe": roster.recipe.model_dump(),
        "network": dict(roster.network),
        "split_fractions": dict(roster.data.split_fractions),
        "device": torch.cuda.get_device_name() if cuda else "cpu, one thread a process",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    default = os.environ.get("FED_ASSETS_DATA") or PROJECT.parent / "shared" / "data"
    parser.add_argument(
        "--data", type=Path, default=Path(default), help="pneumoniamnist.npz's folder"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rounds", type=int, nargs="+", default=[15, 25])
    parser.add_argument("--processes", type=int, default=2, help="one thread each")
    parser.add_argument("--show", action="store_true", help="measure nothing")
    parser.add_argument("--out", type=Path, default=PROJECT / "benchmarks/results/quality.json")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    learned = learned_with()
    device = learned.pop("device")
    record = begun(options.out, {"rounds": options.rounds[0], **learned}, "figures")
    cells = [] if options.show else missing(record, options.rounds, options.seeds)

    def keep_cell(cell: Cell, figures: Mapping[str, Any]) -> None:
        keep(record, cell, figures)
        write_record(options.out, {**whole(record), "device": device}, PACKAGES)

    failed = keep_as_done(
        as_done(one, cells, options.processes, options.data),
        keep_cell,
        lambda cell: "{}, {}, {} rounds, seed {}".format(*cell),
    )
    print(table(record))
    sys.exit("\n".join(failed) or 0)


if __name__ == "__main__":
    main()
