"""What the federation is compared with: the same network trained on pooled data, and alone."""

# No `from __future__ import annotations` here: Dagster reads the annotations of asset functions.

from collections.abc import Mapping
from typing import Any

from dagster import (
    AssetExecutionContext,
    AssetsDefinition,
    Config,
    MaterializeResult,
    MetadataValue,
    TableRecord,
)
from pydantic import Field

from fed_assets.assets.evaluation import RESAMPLES
from fed_assets.assets.everywhere import ask_everywhere, at_once
from fed_assets.assets.failures import clear_failures
from fed_assets.assets.notice import synthetic_notice
from fed_assets.assets.open_data import OpenData, prepare_open_data
from fed_assets.assets.partitions import Materialized, unpartitioned_asset
from fed_assets.comparison.references import POOLED
from fed_assets.federation.references import roster_learning
from fed_assets.federation.roster import Roster
from fed_assets.resources.asked_data import asked_data
from fed_assets.resources.hospital_runner import COORDINATOR, LocalHospitalRunner
from fed_assets.resources.settings import Settings
from fed_assets.resources.turns import take_turn
from fed_assets.sandboxes.presets import OPEN_DATA, REFERENCE

TRAINING = ("images", "digest", "train_seconds", "train_cpu_seconds", "loss")
METRICS = ("auroc", "accuracy", "f1", "sensitivity", "expected_calibration_error")


class ReferenceConfig(Config):
    """What this run changes; left empty, the roster's own values hold."""

    seeds: list[int] = Field(default=[], description="Seeds; the roster's, if empty.")
    rounds: int | None = Field(default=None, ge=1, description="Rounds, as of the federation.")


def build_reference_asset(roster: Roster, settings: Settings) -> AssetsDefinition:
    """Returns the asset `reference_models`, which no sandbox partitions."""

    @unpartitioned_asset(group_name="comparison", kinds={"pytorch"})
    def reference_models(
        context: AssetExecutionContext, config: ReferenceConfig, hospitals: LocalHospitalRunner
    ) -> Materialized:
        """What one model learns from all open images pooled, and what each hospital's own learns.

        Network, first weights, recipe, images and number of passes are the federation's; only
        nobody averages. So it shows what a hospital gains by the federation, and what the
        federation loses against pooling. Hospitals with images of their own are left out: theirs
        are not open, and are never pooled.
        """
        with clear_failures(), take_turn(settings.home, REFERENCE, lambda: None):
            data = prepare_open_data(roster, settings, hospitals)
            for name, reason in data.left_out.items():
                context.log.warning(f"{name} has no reference: {reason}")
            seeds = config.seeds or list(roster.seeds)
            references = {
                str(seed): train_references(
                    roster, data, hospitals, settings, seed, config.rounds or roster.rounds
                )
                for seed in seeds
            }
        value = {
            "data": {"classes": list(data.classes), "synthetic": data.synthetic},
            "digests": dict(data.digests),
            "test_digest": data.test_digest,
            "learning": roster_learning(roster),
            "asked_data": asked_data(roster, data=settings.data, cache=settings.home.cache),
            "left_out": dict(data.left_out),
            "rounds": config.rounds or roster.rounds,
            "seeds": references,
        }
        rows = _rows(references)
        return MaterializeResult(
            value=value,
            metadata={
                **synthetic_notice(data.synthetic),
                "references": MetadataValue.table([TableRecord(row) for row in rows]),
                "left_out": MetadataValue.json(dict(data.left_out)),
                "train_cpu_seconds": sum(row["CPU-seconds"] for row in rows),
            },
        )

    return reference_models


def train_references(
    roster: Roster,
    data: OpenData,
    hospitals: LocalHospitalRunner,
    settings: Settings,
    seed: int,
    rounds: int,
) -> dict[str, Any]:
    """Returns one seed's references: `pooled` and, by hospital, `alone`; with what they cost.

    Each was evaluated on the common test set (`test`), and on the test images of the hospital whose
    it is (`own`), the pooled one on those of every hospital.

    Raises:
        FedAssetsError: One cannot be trained, or not be evaluated on the common test set.
    """
    folder = settings.home.reference / f"seed_{seed}"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    network = {"network": dict(roster.network)}
    initial = str(folder / "initial.safetensors")
    shape = {"channels": data.channels, "classes": len(data.classes)}
    hospitals.ask(
        OPEN_DATA,
        COORDINATOR,
        "initial_weights",
        {**network, **shape, "image_size": roster.data.image_size, "seed": seed, "path": initial},
    )
    # The pooled one takes longest, and begins first.
    owners = {POOLED: list(data.images), **{name: [name] for name in data.images}}

    def reference(name: str) -> dict[str, Any]:
        weights = str(folder / f"{name}.safetensors")
        stores = [str(hospitals.store(each, OPEN_DATA)) for each in owners[name]]
        training = hospitals.ask(
            OPEN_DATA,
            COORDINATOR,
            "train_reference",
            {
                **network,
                "name": name,
                "stores": stores,
                "recipe": roster.recipe.model_dump(),
                "rounds": rounds,
                "seed": seed,
                "initial": initial,
                "weights": weights,
            },
        )
        asked = {**network, "weights": weights, "seed": seed, "threshold": roster.threshold}
        test = asked | {"split": "test", "resamples": RESAMPLES}
        own, failed = ask_everywhere(hospitals, OPEN_DATA, owners[name], "evaluate", test)
        return {
            **{part: training[part] for part in TRAINING},
            "test": _metrics(hospitals.ask(OPEN_DATA, COORDINATOR, "evaluate", test)),
            "own": {hospital: _metrics(record) for hospital, record in own.items()},
            "not_evaluated": {hospital: str(error) for hospital, error in failed.items()},
        }

    done = at_once(list(owners), reference)
    return {
        POOLED: done.pop(POOLED),
        "alone": done,
        "weights": str(folder),
    }


def _metrics(record: Mapping[str, Any]) -> dict[str, Any]:
    return {"images": record["images"]} | {name: record["metrics"][name] for name in METRICS}


def _rows(references: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "seed": int(seed),
            "trained on": name,
            "images": model["images"],
            "AUROC": model["test"]["auroc"]["value"],
            "accuracy": model["test"]["accuracy"]["value"],
            "CPU-seconds": model["train_cpu_seconds"],
        }
        for seed, of_seed in references.items()
        for name, model in {POOLED: of_seed[POOLED], **of_seed["alone"]}.items()
    ]
