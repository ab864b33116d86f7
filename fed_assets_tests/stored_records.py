"""What is stored for a comparison, whole and small: runs, audits, references and attacks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fed_assets.federation.asked import asked
from fed_assets.federation.references import roster_learning
from fed_assets.federation.roster import read_roster
from fed_assets.posture.evidence import Evidence, Outcome
from fed_assets.posture.ladders import BESIDE, IN_USE, promised
from fed_assets.posture.posture import judge
from fed_assets.resources.settings import SHIPPED_ROSTER
from fed_assets.sandboxes.sandbox import Sandbox

ROSTER = read_roster(SHIPPED_ROSTER)
DATA = "d1" * 32  # of what hospitals are asked to make of which images


def keep(path: Path, content: object = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def a_run(sandbox: Sandbox, **changes: Any) -> dict[str, Any]:
    """Returns of a sandbox's measurement what it was trained with: as the roster asks, but for."""
    wanted = asked(ROSTER, sandbox, DATA)
    values = wanted["controls"]["values"]
    return {
        "sandbox": sandbox.name,
        "seed": 0,
        "created": "2026-11-27T05:00:00+00:00",
        "data": {
            "name": "chest",
            "digest": "3f" * 32,
            "test_digest": "4f" * 32,
            "synthetic": False,
        },
        "hospitals": {"hospital_01": {"digest": "5f" * 32}},
        "quality": {"auroc": {"value": 0.97, "low": 0.95, "high": 0.98}},
        "efficiency": {"wall_seconds": 60.0},
        "security": {"epsilon": None, "delta": None},
        "rounds": wanted["rounds"],
        "model": a_model(wanted["network"]),
        "controls": {name: {"declared": value} for name, value in values.items()},
        "trained_with": {
            "recipe": wanted["recipe"],
            "numbers": wanted["controls"]["numbers"],
            "data": wanted["data"],
        },
        **changes,
    }


def a_model(network: Mapping[str, Any]) -> dict[str, Any]:
    return {"weights": "7f" * 32, "network": dict(network), "learned_from": {}}


def a_probe(name: str, ladder: str, rung: int, outcome: Outcome = Outcome.PASSED) -> Evidence:
    return Evidence(name, ladder, rung, "", outcome, "", {}, {}, {}, 0.0, "")


def an_audit(sandbox: Sandbox) -> dict[str, Any]:
    """Returns the record of an audit in which a sandbox keeps its word, and does no better."""
    evidence = [
        *(
            a_probe(f"{ladder}_{rung}", ladder, rung)
            for ladder, level in promised(sandbox.controls()).items()
            for rung in range(1, level + 1)
        ),
        *(a_probe(name, IN_USE, BESIDE) for name in judge(sandbox, []).withstood),
    ]
    record: dict[str, Any] = json.loads(json.dumps(judge(sandbox, evidence).as_record()))
    return record


def references() -> dict[str, Any]:
    learned = {"rounds": ROSTER.rounds, "learning": roster_learning(ROSTER)}
    test = {"auroc": {"value": 0.9, "low": 0.8, "high": 0.95}, "accuracy": {"value": 0.8}}
    each = {"pooled": {"test": test}, "alone": {"hospital_01": {"test": test}}}
    open_data: dict[str, Any] = {"digests": {"hospital_01": "5f" * 32}, "left_out": {}}
    return {"seeds": {"0": each, "1": each}, "asked_data": DATA, **learned, **open_data}


def an_attack(**changes: Any) -> dict[str, Any]:
    figure = {"value": 0.1, "low": 0.0, "high": 0.2}
    return {
        "sandbox": "minimal",
        "seed": 0,
        **a_model({"_target_": "net"}),
        "pooled": figure,
        "hospitals": {"north": figure},
        "resampled": None,
        "worst_sensitivity": {"figure": None, "resampled": None},
        "not_measured": {"south": "why"},
        **changes,
    }


def attacks(*values: float) -> dict[str, Any]:
    figures = [{"value": value, "low": value, "high": value} for value in values]
    return {
        "attack": {"by": "loss"},
        "models": [an_attack(seed=seed, pooled=of) for seed, of in enumerate(figures)],
    }
