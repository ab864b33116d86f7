"""What each protection of updates costs, on the official PneumoniaMNIST with the shipped roster.

The shipped network and recipe, as each protection takes them, and the plain average; nothing else
of a sandbox varies: stores are plain, and no count is suppressed.

- AUROC and accuracy are of the global model on the official test set, for every seed learned in one
  process by the product's own round, aggregation and evaluation (see `quality.learn`). A seed
  decides how the images are shared out, the initial weights and every draw in training, but for
  those of differential privacy, whose threshold is chosen on the hospitals' validation images.
  Encrypted updates take a federation for each seed.
- Epsilon is what the ledger of the hospital says that has spent most.
- Seconds, CPU seconds and bytes are of one real federation, run alone: a process per hospital, over
  mTLS, and as many rounds. Seconds are from the job's submission until its result can be read, CPU
  seconds those of all its processes until it has ended, bytes what one hospital sends and is sent
  in a round, as the report counts them. But under differential privacy it has to end with the very
  weights that the one process came to.

    python -m benchmarks.privacy

Figures are written as soon as they are there, and an interrupted benchmark goes on with what is
missing. Table and picture are made of the record alone: `--show` makes them and measures nothing.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.federation.arms import OURS, Bench, run_process
from benchmarks.federation.ours import Job, write_jobs
from benchmarks.federation.preparation import shipped_roster
from benchmarks.federation.work import Work
from benchmarks.piecewise import as_done, begun, keep_as_done
from benchmarks.price_list import draw_prices, faults, table
from benchmarks.quality import PROJECT, learn, prepared
from benchmarks.record import write_record
from fed_assets.hospital.files import Store
from fed_assets.sandboxes.controls import UpdateProtection
from fed_assets.sandboxes.protection import NUMBERS_OF, Protection
from fed_assets.sandboxes.sandbox import NUMBERS

Task = tuple[str, int | None]  # arm and seed; None in its place is the federation
EXECUTOR = "fed_assets.hospital.executor.HospitalExecutor"
TIMEOUT_SECONDS = 3600.0
PACKAGES = ("fed_assets", "torch", "monai", "numpy", "nvflare", "opacus", "cryptography")


def protection(kind: UpdateProtection, **given: float) -> Protection:
    """Returns a protection with the numbers of the presets, where no other is given."""
    numbers = {name: given.get(name, NUMBERS[name]) for name in NUMBERS_OF[kind]}
    return Protection(kind=kind, **numbers)


ARMS: Mapping[str, Protection] = {
    "none": protection(UpdateProtection.NONE),
    "clip": protection(UpdateProtection.CLIP),
    "secure_aggregation": protection(UpdateProtection.SECURE_AGGREGATION),
    "homomorphic_encryption": protection(UpdateProtection.HOMOMORPHIC_ENCRYPTION),
    "epsilon_8": protection(UpdateProtection.DIFFERENTIAL_PRIVACY),
    "epsilon_3": protection(UpdateProtection.DIFFERENTIAL_PRIVACY, epsilon=3.0),
    "epsilon_1": protection(UpdateProtection.DIFFERENTIAL_PRIVACY, epsilon=1.0),
}
# What is not learned in one process, but by a federation for each seed.
FEDERATED = {"homomorphic_encryption"}


def reached(arm: str, seed: int, rounds: int, data: Path) -> dict[str, Any]:
    """Returns what hospitals reach with one seed, in this process."""
    with tempfile.TemporaryDirectory(prefix="privacy-") as temporary:
        folder = Path(temporary)
        stores, facts = real_images(seed, data, folder)
        if arm in FEDERATED:
            return reached_federated(arm, stores, facts, rounds=rounds, seed=seed, folder=folder)
        figures = learn(
            stores,
            facts,
            shipped_roster(),
            rounds=rounds,
            seed=seed,
            folder=folder,
            protection=ARMS[arm],
        )
        shown = ("auroc", "accuracy", "threshold", "training_cpu_seconds", "digest")
        return {name: figures[name] for name in shown} | {"epsilon": epsilon_of(arm, stores)}


def reached_federated(
    arm: str,
    stores: Mapping[str, Store],
    facts: Mapping[str, Any],
    *,
    rounds: int,
    seed: int,
    folder: Path,
) -> dict[str, Any]:
    """Returns what hospitals reach with one seed, in a real federation."""
    from fed_assets.hospital.evaluation import evaluate

    job, _ = federated(arm, stores, facts, rounds=rounds, seed=seed, folder=folder)
    roster = shipped_roster()
    asked = {
        "weights": job["weights"],
        "network": dict(roster.learning(ARMS[arm]).network),
        "threshold": roster.threshold,
        "resamples": 0,
    }
    metrics = evaluate(asked, Store(folder / "coordinator"), validated=False)["metrics"]
    return {
        **{name: metrics[name]["value"] for name in ("auroc", "accuracy")},
        "threshold": roster.threshold,
        "training_cpu_seconds": job["cpu_seconds"],
        "digest": job["digest"],
        "epsilon": epsilon_of(arm, stores),
    }


def federated(
    arm: str,
    stores: Mapping[str, Store],
    facts: Mapping[str, Any],
    *,
    rounds: int,
    seed: int,
    folder: Path,
) -> tuple[dict[str, Any], Any]:
    """Returns the job of a real federation, and what its process used.

    Raises:
        SystemExit: A hospital was missing.
    """
    work_of(arm, stores, facts, rounds=rounds, seed=seed, folder=folder).write(folder / "work.json")
    write_jobs(
        folder / "jobs.json",
        folder=folder,
        executor=EXECUTOR,
        jobs=[Job("training", str(folder / "work.json"))],
        protection=ARMS[arm],
    )
    bench = Bench(folder, arms=(), flower_python=Path(sys.executable))
    outcome, usage = run_process(
        bench, OURS, folder / "jobs.json", folder, timeout_seconds=TIMEOUT_SECONDS
    )
    (job,) = outcome["jobs"]
    if job["status"] != "complete":
        raise SystemExit(f"the federation was {job['status']}: a hospital was missing")
    return job, usage


def taken(arm: str, seed: int, rounds: int, data: Path) -> dict[str, Any]:
    """Returns what a real federation takes, and the digest of the weights that it ends with."""
    with tempfile.TemporaryDirectory(prefix="privacy-") as temporary:
        folder = Path(temporary)
        stores, facts = real_images(seed, data, folder)
        job, usage = federated(arm, stores, facts, rounds=rounds, seed=seed, folder=folder)
        updates = rounds * len(stores)
        return {
            "seed": seed,
            "seconds": job["seconds"],
            "cpu_seconds": job["cpu_seconds"],
            **{
                name: round(sum(each[name] for each in job["rounds"]) / updates)
                for name in ("bytes_up", "bytes_down")
            },
            "epsilon": epsilon_of(arm, stores),
            "digest": job["digest"],
            "left_behind": list(usage.left_behind),
            "load_before": usage.load_before,
            "stolen_cpu_seconds": usage.stolen_cpu_seconds,
        }


def real_images(seed: int, data: Path, folder: Path) -> tuple[dict[str, Store], Any]:
    """Returns the hospitals' stores and the common test set's facts; see `quality.prepared`."""
    stores, facts = prepared(shipped_roster(), seed, data, folder)
    if facts["synthetic"]:
        raise SystemExit("pneumoniamnist.npz was not found: name its folder with --data")
    return stores, facts


def work_of(
    arm: str,
    stores: Mapping[str, Store],
    facts: Mapping[str, Any],
    *,
    rounds: int,
    seed: int,
    folder: Path,
) -> Work:
    """Returns what a federation is to do, after writing its first weights."""
    from fed_assets.hospital.network import initial_weights

    roster = shipped_roster()
    learning = roster.learning(ARMS[arm])
    network = dict(learning.network)
    initial = folder / "initial.safetensors"
    shape = {"channels": facts["channels"], "classes": len(facts["classes"])}
    initial_weights({"network": network, **shape, "seed": seed, "path": initial}, Store(folder))
    return Work(
        stores={name: str(store.folder) for name, store in stores.items()},
        test_store=str(folder / "coordinator"),
        initial_weights=str(initial),
        network=network,
        recipe=learning.recipe.model_dump(),
        rounds=rounds,
        seed=seed,
        **shape,
    )


def epsilon_of(arm: str, stores: Mapping[str, Store]) -> float | None:
    """Returns the most that any hospital's ledger says was spent; None where none is kept."""
    from fed_assets.hospital.privacy_ledger import read_charges, spent_by

    delta = ARMS[arm].delta
    if delta is None:
        return None
    return max(spent_by(read_charges(store), delta) for store in stores.values())


def gone_on_with(path: Path, asked: Mapping[str, Any], again: Sequence[str] = ()) -> dict[str, Any]:
    """Returns the record to go on with: the file's, without what is to be measured again.

    An arm whose protection has other numbers by now is measured again too.

    Raises:
        SystemExit: The file's was measured with another roster, or with other rounds.
    """
    record = begun(path, asked, "arms")
    kept = {
        arm: entry
        for arm, entry in record["arms"].items()
        if arm not in again and arm in ARMS and entry["protection"] == ARMS[arm].as_record()
    }
    return {**record, "arms": kept}


def missing(record: Mapping[str, Any], arms: Sequence[str], seeds: Sequence[int]) -> list[Task]:
    """Returns what was not measured yet.

    Seeds come one after another, each with all arms.
    """

    def is_there(arm: str, seed: int | None) -> bool:
        entry = record["arms"].get(arm, {"seeds": {}})
        return "federation" in entry if seed is None else str(seed) in entry["seeds"]

    return [(arm, seed) for seed in (*seeds, None) for arm in arms if not is_there(arm, seed)]


def keep(record: dict[str, Any], arm: str, seed: int | None, figures: Mapping[str, Any]) -> None:
    """Puts figures into a record, arms in their own order."""
    entry = record["arms"].setdefault(arm, {"protection": ARMS[arm].as_record(), "seeds": {}})
    if seed is None:
        entry["federation"] = figures
    else:
        entry["seeds"][str(seed)] = figures
    record["arms"] = {name: record["arms"][name] for name in ARMS if name in record["arms"]}


def measure(
    tasks: Sequence[Task], first_seed: int, processes: int, *where: Any
) -> Iterator[tuple[Task, Callable[[], dict[str, Any]]]]:
    """Yields each task with what gives its figures, or raises why there are none, as it is done.

    Federations come last, one after another, with nothing beside them.
    """
    yield from as_done(reached, [task for task in tasks if task[1] is not None], processes, *where)
    for arm, seed in tasks:
        if seed is None:
            yield (arm, seed), lambda arm=arm: taken(arm, first_seed, *where)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    default = os.environ.get("FED_ASSETS_DATA") or PROJECT.parent / "shared" / "data"
    parser.add_argument("--data", type=Path, default=Path(default), help="pneumoniamnist.npz's")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rounds", type=int, default=shipped_roster().rounds)
    parser.add_argument("--processes", type=int, default=2, help="a seed each, one thread each")
    parser.add_argument("--again", nargs="+", choices=ARMS, default=[], help="forget these first")
    parser.add_argument("--show", action="store_true", help="measure nothing")
    parser.add_argument("--out", type=Path, default=PROJECT / "benchmarks/results/privacy.json")
    parser.add_argument("--picture", type=Path, default=PROJECT / "docs" / "privacy.png")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    roster = shipped_roster()
    asked = {
        "hospitals": len(roster.hospitals),
        "rounds": options.rounds,
        "recipe": roster.recipe.model_dump(),
        "network": dict(roster.network),
        "differential_privacy": roster.differential_privacy.model_dump(),
    }
    record = gone_on_with(options.out, asked, options.again)
    tasks = [] if options.show else missing(record, options.arms, options.seeds)

    def keep_task(task: Task, figures: Mapping[str, Any]) -> None:
        keep(record, *task, figures)
        write_record(options.out, record, PACKAGES)

    failed = keep_as_done(
        measure(tasks, options.seeds[0], options.processes, options.rounds, options.data),
        keep_task,
        lambda task: f"{task[0]}, {'its federation' if task[1] is None else f'seed {task[1]}'}",
    )
    if record["arms"]:
        print(table(record))
        options.picture.write_bytes(draw_prices(record).content)
    sys.exit("\n".join([*failed, *faults(record)]) or 0)


if __name__ == "__main__":
    main()
