"""What the model of one run was made of: one record per run, of what the run recorded itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

FORMAT = 1
# Rules under which an update counts by its number of images; the others weigh as they compare.
MEANS = ("fedavg", "fedprox", "fedopt")
UNSEEN = "summed unseen"
SUBMITTED = "submit_job"


def lineage_record(
    *,
    run_id: str,
    trained_by: str,
    report: Mapping[str, Any],
    global_model: Mapping[str, Any],
    admission: Mapping[str, Any],
    hides_updates: bool,
    code: Mapping[str, str],
    weights_file_digest: str,
) -> dict[str, Any]:
    """Returns the lineage of a run's model as JSON-ready values.

    Rounds that were taken over from an earlier run count as the others do: who took part in them is
    in the model. Each hospital has every digest of the images that it trained on.

    Args:
        run_id: Dagster's id of the run that made the report.
        trained_by: The run whose federation trained the model; it is the same but where the report
            alone was made again.
        report: The report, see `reporting.report.build_report`.
        global_model: What the asset of that name came to.
        admission: Who was let in: `digests` of each one's validated images, what these are
            (`channels`, `image_size`), and `excluded` with those `withdrawn`, see `Admission`.
        hides_updates: Whether the server learned the sum of the updates alone.
        code: `version` of the package, and `digest` of its files.
        weights_file_digest: sha256 of the file of the global model's weights.
    """
    earlier = report["resumed_from"] or {"run": None, "round": 0}
    rounds = [
        _round(
            record,
            run=earlier["run"] if record["round_number"] <= earlier["round"] else trained_by,
            hides_updates=hides_updates,
            rule=report["controls"]["aggregation"],
        )
        for record in report["round_records"]
    ]
    digests: Mapping[str, str] = admission["digests"]
    chosen = bool((report["threshold"] or {}).get("hospitals"))
    return {
        "format": FORMAT,
        "run_id": run_id,
        "trained_by": trained_by,
        "resumed_from": report["resumed_from"],
        "created": report["created"],
        "sandbox": report["sandbox"],
        "controls": report["controls"],
        "numbers": report["numbers"],
        "seed": report["seed"],
        "recipe": global_model["recipe"],
        "network": global_model["network"],
        "parameters": global_model["parameters"],
        "code": dict(code),
        "versions": report["versions"],
        "data": {
            **report["data"],
            "channels": admission["channels"],
            "image_size": admission["image_size"],
        },
        "hospitals": {
            name: _hospital(name, report["round_records"], digests, chose_threshold=chosen)
            for name in _in_order({*digests, *report["participants"]}, report["roster"])
        },
        "roster": report["roster"],
        "excluded": admission["excluded"],
        "withdrawn": admission["withdrawn"],
        "job": _job(global_model["commands"]),
        "rounds": rounds,
        "weights_digest": global_model["final_digest"],
        "weights_file_digest": weights_file_digest,
        "threshold": report["threshold"],
        "evaluation": {"test": report["test"], "hospitals": report["hospitals"]},
        "degraded": report["degraded"],
        "shortfalls": report["shortfalls"],
    }


def _round(
    record: Mapping[str, Any], *, run: str, hides_updates: bool, rule: str
) -> dict[str, Any]:
    answers = record["participants"]
    examples = [answer["examples"] for answer in answers.values()]
    counted = rule in MEANS and not hides_updates and all(examples)
    return {
        "round": record["round_number"],
        "run": run,
        "participants": {
            name: {"update_digest": None, "weight": None, "said": UNSEEN}
            if hides_updates
            else {
                "update_digest": answer["update_digest"],
                "weight": round(answer["examples"] / sum(examples), 4) if counted else None,
                "said": "" if counted else f"weighed by the rule {rule.replace('_', ' ')}",
            }
            for name, answer in answers.items()
        },
        "missing": dict(record["missing"]),
        "global_digest": record["global_digest"],
    }


def _hospital(
    name: str,
    rounds: Sequence[Mapping[str, Any]],
    digests: Mapping[str, str],
    *,
    chose_threshold: bool,
) -> dict[str, Any]:
    own = [record for record in rounds if name in record["participants"]]
    answers = [record["participants"][name] for record in own]
    last = answers[-1] if answers else {}
    trained = dict.fromkeys(answer["dataset_digest"] for answer in answers)
    return {
        "data_digests": [*trained] or [digests[name]],
        "rounds": [record["round_number"] for record in own],
        "training_images": last.get("examples"),
        "epsilon": last.get("epsilon"),
        "delta": last.get("delta"),
        "chose_threshold": chose_threshold and name in digests,
    }


def _job(commands: Iterable[Mapping[str, Any]]) -> str | None:
    """Returns NVFlare's id of the job; None where every round was taken over."""
    submitted = [each["answer"] for each in commands if each["command"] == SUBMITTED]
    return submitted[-1] if submitted else None


def _in_order(hospitals: set[str], roster: Iterable[Mapping[str, Any]]) -> list[str]:
    known = [entry["id"] for entry in roster if entry["id"] in hospitals]
    return known + sorted(hospitals.difference(known))
