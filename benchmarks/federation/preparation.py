"""Real images shared out among hospitals, prepared and validated, before anything is timed."""

from __future__ import annotations

from pathlib import Path

from benchmarks.federation.step import SMALL_CNN, build
from benchmarks.federation.work import Work
from benchmarks.quality import PROJECT, prepared
from fed_assets.federation.roster import Roster, read_roster
from fed_assets.hospital.weights import weights_of, write_weights

SEED = 0
# 523 images each of the official train and validation set: 388 to learn from, 135 to evaluate on.
SPLITS = {"train": 388 / 523, "validation": 135 / 523, "test": 0.0}


def shipped_roster() -> Roster:
    """Returns the roster as it ships: 308 k parameters, 15 rounds, hospitals unlike each other."""
    return read_roster(PROJECT / "fed_assets" / "roster.yaml")


def small_roster(rounds: int) -> Roster:
    """Returns the roster that goals are set on: ten like hospitals and 105 k parameters.

    The recipe is plain: no augmentation, no correction for a hospital's class balance.
    """
    shipped = shipped_roster()
    share = shipped.data.share.model_copy(update={"how": "iid"})
    data = shipped.data.model_copy(update={"share": share, "split_fractions": SPLITS})
    recipe = shipped.recipe.model_copy(update={"augment": False, "prior_correction": False})
    changes = {"data": data, "recipe": recipe, "network": SMALL_CNN, "rounds": rounds}
    return shipped.model_copy(update=changes)


def prepare(roster: Roster, data: Path, folder: Path) -> Work:
    """Prepares and validates every hospital's images, and the first weights.

    Args:
        roster: Who takes part, and how they learn.
        data: Folder of the official PneumoniaMNIST file.
        folder: A new one, for the stores.
    """
    stores, facts = prepared(roster, SEED, data, folder)
    if facts["synthetic"]:
        raise SystemExit("pneumoniamnist.npz was not found: name its folder with --data")
    work = Work(
        stores={name: str(store.folder) for name, store in stores.items()},
        test_store=str(folder / "coordinator"),
        initial_weights=str(folder / "initial.safetensors"),
        network=roster.network,
        recipe=roster.recipe.model_dump(),
        rounds=roster.rounds,
        seed=SEED,
        classes=len(facts["classes"]),
        channels=facts["channels"],
    )
    first_weights(work)
    return work


def first_weights(work: Work) -> int:
    """Writes the weights that the first round starts from; returns how many can be trained."""
    import torch

    torch.manual_seed(work.seed)
    network = build(work.network, channels=work.channels, classes=work.classes)
    write_weights(weights_of(network), Path(work.initial_weights))
    return sum(each.numel() for each in network.parameters() if each.requires_grad)
