"""What a federation's rounds show: an observation as each is done, and tables of all at the end."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from dagster import (
    AssetExecutionContext,
    AssetKey,
    AssetObservation,
    DataVersion,
    MaterializeResult,
    MetadataValue,
    TableRecord,
)

from fed_assets.assets.notice import synthetic_notice
from fed_assets.federation.encrypted_answers import DIFFERS
from fed_assets.federation.history import Command
from fed_assets.federation.plan import FederationPlan
from fed_assets.federation.results import FederationResult
from fed_assets.federation.resume import Earlier
from fed_assets.reporting.rounds import ROUND_METRICS, absent, curves_of, round_records
from fed_assets.resources.outbox_witness import ENTRIES, HEAD

GLOBAL_MODEL = AssetKey("global_model")
GLOBAL_MODEL_STORY = """The model that all hospitals trained together: one row per round.

Its weights come of the hospitals' weights by the rule that `sandbox_controls` names; by `fedavg`
they are their average, where each counts by its number of images.
`loss`, `auroc` and `accuracy` are means over the hospitals; the latter two are of the model as the
round began, on the hospitals' validation images. `clipped_share` is the share of the updates that
hospitals had to scale down, where they clip.
`weights` is the file of the last round (safetensors), those of the earlier rounds stand beside it.
`status` is degraded if a hospital was missing in any round. `resumed_from` is the failed run whose
rounds, up to `resumed_after_round`, were taken over."""
SPENT = ("epsilon", "delta", "noise_multiplier")  # of a hospital's privacy budget


def local_rounds_key(hospital: str) -> AssetKey:
    """Returns the key of the asset `<hospital>/local_rounds`."""
    return AssetKey([hospital, "local_rounds"])


def observe_round(context: AssetExecutionContext, record: dict[str, Any], rounds: int) -> None:
    """Logs a finished round and observes every asset that it concerns."""
    number = record["round_number"]
    (summary,) = _summaries([record])
    mean_loss = "" if summary["loss"] is None else f"mean loss {summary['loss']:.4f}, "
    context.log.info(
        f"Round {number} of {rounds}: {summary['hospitals']} hospitals, {mean_loss}"
        f"{record['seconds']:.1f} s"
    )
    for hospital, reason in record["missing"].items():
        context.log.warning(f"Round {number} went on without {hospital}: {reason}")
    for hospital, sent in record["participants"].items():
        if sent.get("decryption") == DIFFERS:
            context.log.warning(
                f"Round {number}: {hospital} decrypted the sum of the updates to other numbers "
                "than the other hospitals, which outvoted it"
            )
        _observe(context, local_rounds_key(hospital), {"round": number, **sent})
    after = {"digest": record["global_digest"], **_clipped(record)}
    _observe(context, GLOBAL_MODEL, {**summary, **after})


def observe_failure(
    context: AssetExecutionContext, failure: str, commands: Iterable[Command]
) -> None:
    """Observes of the global model why it did not come to be, and NVFlare's commands till then."""
    noted = [asdict(command) for command in commands]
    logs = f"fed-assets logs {context.run.run_id[:8]} HOSPITAL"
    metadata = {"failure": failure, "logs": logs, "commands": MetadataValue.json(noted)}
    _observe(context, GLOBAL_MODEL, metadata)


def local_rounds(
    hospital: str, result: FederationResult, *, synthetic: bool
) -> Iterator[MaterializeResult[Any]]:
    """Yields the hospital's asset, or nothing if it took part in no round."""
    rounds = [
        {"round": record["round_number"], **record["participants"][hospital]}
        for record in result.rounds
        if hospital in record["participants"]
    ]
    if not rounds:
        return
    private = ("epsilon",) if "epsilon" in rounds[-1] else ()
    shown = ("round", *ROUND_METRICS, *private, "examples", "seconds", "bytes_up", "bytes_down")
    rows = [
        _row(
            {name: entry.get(name) for name in shown}
            | _withheld([entry])
            | {"update": entry["update_digest"][:12]}
        )
        for entry in rounds
    ]
    yield MaterializeResult(
        asset_key=local_rounds_key(hospital),
        value=rounds,
        data_version=DataVersion(rounds[-1]["update_digest"]),
        metadata={
            **synthetic_notice(synthetic),
            "rounds": MetadataValue.table(rows),
            "missing_rounds": len(result.rounds) - len(rounds),
            "examples": rounds[-1]["examples"],
            "bytes_up": sum(entry["bytes_up"] for entry in rounds),
            "bytes_down": sum(entry["bytes_down"] for entry in rounds),
            **_given({name: rounds[-1].get(name) for name in (*SPENT, ENTRIES, HEAD)}),
        },
    )


def global_model(
    plan: FederationPlan,
    result: FederationResult,
    *,
    earlier: Earlier | None,
    parameters: int,
    synthetic: bool,
) -> MaterializeResult[dict[str, Any]]:
    """Returns the global model's asset: the last weights, and what each round came to."""
    resumed = {"run": earlier.run, "round": earlier.last_round} if earlier else None
    return MaterializeResult(
        asset_key=GLOBAL_MODEL,
        value={
            **result.as_record(),
            "seed": plan.seed,
            "recipe": dict(plan.recipe),
            "network": dict(plan.network),
            "parameters": parameters,
            "resumed_from": resumed,
        },
        data_version=DataVersion(result.final_digest),
        metadata={
            **synthetic_notice(synthetic),
            "status": result.status,
            **_resumed(earlier),
            "rounds": MetadataValue.table(
                [
                    _row(entry | _withheld(record["participants"].values()) | _clipped(record))
                    for entry, record in zip(_summaries(result.rounds), result.rounds, strict=True)
                ]
            ),
            "seconds": result.seconds,
            "parameters": parameters,
            "seed": plan.seed,
            "network": MetadataValue.json(dict(plan.network)),
            "weights": MetadataValue.path(result.final_weights),
            "digest": result.final_digest,
            "timings": MetadataValue.json(dict(result.timings)),
            "commands": MetadataValue.json(list(result.commands)),
        },
    )


def _resumed(earlier: Earlier | None) -> dict[str, Any]:
    if earlier is None:
        return {}
    return {
        "resumed_from": MetadataValue.dagster_run(earlier.run),
        "resumed_after_round": earlier.last_round,
    }


def _summaries(records: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Returns per round the number of hospitals and the mean over them of loss, AUROC, accuracy."""
    curves = curves_of(round_records(records))
    return [
        {
            "round": number,
            "hospitals": curves["participants"][at],
            **{name: curves[name]["mean"][at] for name in ROUND_METRICS},
            "seconds": curves["seconds"][at],
        }
        for at, number in enumerate(curves["round_number"])
    ]


def _withheld(answers: Collection[Mapping[str, Any]]) -> dict[str, str]:
    """Returns the word for each figure that no answer tells, and one withholds."""
    withheld = {name for answer in answers for name in answer.get("suppressed", ())}
    return {
        name: absent(name, answers)
        for name in ROUND_METRICS
        if name in withheld and all(answer.get(name) is None for answer in answers)
    }


def _clipped(record: Mapping[str, Any]) -> dict[str, float]:
    return {"clipped_share": record["clipped_share"]} if "clipped_share" in record else {}


def _row(entry: Mapping[str, Any]) -> TableRecord:
    """Returns a row for a person to read: few decimals, and a gap where nothing was recorded."""
    return TableRecord(
        {
            name: "" if value is None else round(value, 4) if isinstance(value, float) else value
            for name, value in entry.items()
        }
    )


def _observe(context: AssetExecutionContext, key: AssetKey, metadata: dict[str, Any]) -> None:
    known = _given(metadata)
    context.log_event(AssetObservation(key, partition=context.partition_key, metadata=known))


def _given(metadata: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in metadata.items() if value is not None}
