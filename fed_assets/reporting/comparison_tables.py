"""The tables of a comparison as CSV, with every digit; what was not measured is an empty field.

choices              profile: the choice, how sure it is, and the sentences
first                profile, sandbox: probability of coming first
decision, hospitals  sandbox (hospital), criterion: value, interval, unit, normalized
*_measured,          sandbox (hospital): a column per criterion, of the values or normalized
*_normalized
spreads              sandbox, criterion: how far runs vary, and what tells it
references           model (sandbox), metric: value and interval over the seeds
gains                sandbox, against which reference (hospital), metric: the same of the difference
not_compared         sandbox, seed: why it has no references of its kind
ranking              profile, method, sandbox: score and rank
rank_probabilities   profile, method, sandbox, rank: probability
rank_reversals       profile, left out, method: pairs that swap, tau, how often the winner changes
influence            profile, group or criterion: how often the winner changes without it
weights              profile, criterion: weight, and as used without what tells nothing apart
steps                sandbox, kind: what is done by hand, by whom
sandboxes, features, criteria, runs, settings
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from fed_assets.comparison.batched import METHODS
from fed_assets.comparison.matrix import grid

Row = Mapping[str, Any]


def comparison_tables(record: Mapping[str, Any]) -> dict[str, str]:
    """Returns the CSV text of each table, by file name; one without rows is left out.

    Args:
        record: of `Comparison.as_record`.
    """
    tables = {
        "sandboxes": record["sandboxes"],
        "criteria": record["criteria"],
        "features": [_feature(row) for row in record["features"]],
        "decision": record["decision"],
        "decision_measured": _wide(record["decision"], "value"),
        "decision_normalized": _wide(record["decision"], "normalized"),
        "spreads": record["spreads"],
        "hospitals": record["hospitals"],
        "hospitals_measured": _wide(record["hospitals"], "value"),
        "hospitals_normalized": _wide(record["hospitals"], "normalized"),
        "references": record["references"]["models"],
        "gains": record["references"]["gains"],
        "not_compared": record["references"]["not_compared"],
        **_of_profiles(record),
        "steps": [
            {"sandbox": sandbox, **step, "number": len(step["who"])}
            for sandbox, steps in record["steps"].items()
            for step in steps
        ],
        "runs": [_run(each) for each in record["measurements"]],
        "settings": [{"name": name, "value": of} for name, of in record["settings"].items()],
    }
    return {f"{name}.csv": _csv(rows) for name, rows in tables.items() if rows}


def _of_profiles(record: Mapping[str, Any]) -> dict[str, list[Row]]:
    rows: dict[str, list[Row]] = {}
    groups = {each["name"]: each["group"] for each in record["criteria"]}
    for name, of in record["profiles"].items():
        found: dict[str, list[dict[str, Any]]] = {
            "choices": [_choice(of)],
            "first": [{"sandbox": key, "probability": value} for key, value in of["first"].items()],
            "ranking": [
                {"method": method, **row}
                for method, known in of["ranking"].items()
                for row in known
            ],
            "rank_probabilities": [
                {"method": method, "sandbox": sandbox, "rank": place, "probability": share}
                for method, known in of["ranks"].items()
                for sandbox, shares in known.items()
                for place, share in enumerate(shares, start=1)
            ],
            "rank_reversals": [
                {"left_out": each["left_out"], "method": method, "tau": known["tau"]}
                | {"swapped": [" before ".join(pair) for pair in known["swapped"]]}
                | {"winner_changes": each["winner_changes"]}
                for each in of["reversals"]
                for method, known in each["methods"].items()
            ],
            "influence": [
                {"of": kind, "name": row["name"], **_flat("changes_winner", row["changes_winner"])}
                | {"correlation": row["correlation"]}
                for kind, known in (of["influence"] or {}).items()
                for row in known
            ],
            "weights": [
                {"criterion": key, "group": groups[key], "weight": value}
                | {"used": of["used_weights"][key]}
                for key, value in of["weights"].items()
            ],
        }
        for table, entries in found.items():
            rows.setdefault(table, []).extend({"profile": name, **entry} for entry in entries)
    return rows


def _choice(of: Mapping[str, Any]) -> dict[str, Any]:
    decision, claim = of["decision"], of["claim"] or {}
    return {
        **{key: decision[key] for key in ("status", "choice", "probability")},
        "contenders": [each["sandbox"] for each in decision["contenders"]],
        "weight_that_tells_nothing": of["tells_nothing"],
        "methods_agree": of["methods_agree"],
        **{f"first_by_{method}": of["first_by_method"].get(method) for method in METHODS},
        "claimed_to_decide": claim.get("group"),
        "claim": claim.get("verdict"),
        "decides_most": claim.get("strongest"),
        **{f"sentence_{language}": said for language, said in of["sentence"].items()},
        **{
            f"caveats_{language}": " ".join(each["said"] for each in said)
            for language, said in of["caveats"].items()
        },
        **{f"verdict_{language}": said for language, said in of["verdict"].items()},
    }


def _feature(row: Row) -> Row:
    """Returns a control's row, with what was measured of it as a column for each part."""
    parts = {key: [each[key] for each in row["measured"]] for key in ("ladder", "level", "highest")}
    return {key: value for key, value in row.items() if key != "measured"} | parts


def _flat(name: str, interval: Mapping[str, float]) -> dict[str, float]:
    return {name: interval["value"], "low": interval["low"], "high": interval["high"]}


def _run(measured: Mapping[str, Any]) -> Row:
    """Returns what a run was made with; its figures stand in the other tables and the record."""
    data = measured.get("data") or {}
    plain = {key: measured.get(key) for key in ("sandbox", "run_id", "seed", "rounds", "created")}
    return {
        **plain,
        **{f"data_{key}": data.get(key) for key in ("name", "digest", "synthetic", "classes")},
        **{
            part: [f"{key} {value}" for key, value in (measured.get(part) or {}).items()]
            for part in ("machine", "versions")
        },
    }


def _wide(rows: Sequence[Row], field: str) -> list[Row]:
    """Returns a row per sandbox, or per hospital of each, with a column per criterion."""
    found: list[Row] = []
    by = "hospital" if any("hospital" in row for row in rows) else "sandbox"
    for sandbox in dict.fromkeys(row["sandbox"] for row in rows):
        of_one = [row for row in rows if row["sandbox"] == sandbox]
        down, across, between = grid(of_one, by=by, field=field)
        found += [
            {"sandbox": sandbox, by: name, **dict(zip(across, values, strict=True))}
            for name, values in zip(down, between, strict=True)
        ]
    return found


def _csv(known: Sequence[Row]) -> str:
    written = io.StringIO()
    writer = csv.DictWriter(written, list(known[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _field(value) for key, value in row.items()} for row in known)
    return written.getvalue()


def _field(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return "; ".join(str(_field(each)) for each in value)
    return "" if value is None else value
