"""Whether what a run of the soak came to is right."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.victims import DEGRADED, FAILED, SUCCEEDED, Kill
from fed_assets.federation.outbox import read_whole_round
from fed_assets.resources.home import Home


def complaints(record: Mapping[str, Any]) -> list[str]:
    """Returns what is left of a run or wrong with it, and with the one that went on from it."""
    return [
        line
        for each in (record, record.get("again"))
        if each is not None
        for line in (*each["left"], *each["wrong"])
    ]


def result_of(home: Home, sandbox: str) -> dict[str, Any]:
    """Returns the sandbox's last global model, with its rounds."""
    path = home.artifacts / "global_model" / f"{sandbox}.json"
    result: dict[str, Any] = json.loads(path.read_text())
    return result


def wrong_end(code: int, said: str, kill: Kill | None) -> list[str]:
    """Returns what is wrong with how a run ended: its exit code, and the line that says why."""
    may = (SUCCEEDED,) if kill is None else kill.victim.ends
    if code not in may:
        return [f"it ended with {code}, saying: {said}"]
    if code == FAILED and kill and not any(words in said for words in kill.victim.says):
        return [f"its line does not say what happened: {said}"]
    return []


def wrong_result(
    home: Home, sandbox: str, code: int, reference: Mapping[str, Any] | None, kill: Kill | None
) -> list[str]:
    """Returns what is wrong with the model of a run that did not fail.

    Without a loss every round is that of the reference, bit for bit. With one, the rounds before
    it are; in each of the others the hospital is missing, it alone, and the report names it.

    Args:
        home: Where it ran.
        sandbox: In which sandbox.
        code: Its exit code.
        reference: What the sandbox's first run came to; None for that one itself.
        kill: What was done to it, if anything.
    """
    result = result_of(home, sandbox)
    rounds = result["rounds"]
    report = json.loads((home.report(sandbox) / "report.json").read_text())
    expected = (reference or result)["rounds"]
    wrong = [
        f"round {entry['round_number']} is not on disk as it was recorded"
        for entry in rounds
        if read_whole_round(_outbox(result), entry["round_number"]) != entry
    ]
    if report["degraded"] != (code == DEGRADED):
        wrong.append(f"it ended with {code}, and its report says degraded: {report['degraded']}")
    if len(rounds) != len(expected):
        wrong.append(f"it has {len(rounds)} rounds")
    known = {*report["participants"], *report["excluded"]}
    missing = {name for entry in rounds for name in entry["missing"]} | {*report["excluded"]}
    if (code == DEGRADED) != bool(missing):
        wrong.append(f"it ended with {code}, and {sorted(missing)} were missing")
    if code == DEGRADED:
        told = " ".join(shortfall["said"] for shortfall in report["shortfalls"])
        wrong += [f"nobody is told that {name} was missing" for name in missing if name not in told]
        if len(missing) > 1:
            wrong.append(f"more than one hospital was missing: {sorted(missing)}")
        if kill and not report["excluded"] and missing != {kill.hospital}:
            wrong.append(f"{kill.hospital} was killed, and {sorted(missing)} were missing")
    gone = False
    for entry, whole in zip(rounds, expected, strict=False):
        gone = gone or bool(entry["missing"] or report["excluded"])
        if not gone and entry["global_digest"] != whole["global_digest"]:
            wrong.append(f"round {entry['round_number']} is not that of the reference")
        if gone and {*entry["participants"], *missing} != known | missing:
            wrong.append(f"round {entry['round_number']} has other participants than there were")
        if gone and {*entry["participants"]} & missing:
            wrong.append(f"round {entry['round_number']} has a hospital that was lost")
    return wrong


def _outbox(result: Mapping[str, Any]) -> Path:
    return Path(result["final_weights"]).parents[2]
