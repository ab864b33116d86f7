"""Tables and pictures as Markdown, for the metadata that Dagster shows."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any

from fed_assets.reporting import formats
from fed_assets.reporting.gains import gain_lines
from fed_assets.reporting.report import METRICS


def metrics_table_markdown(report: Mapping[str, Any]) -> str:
    """Returns one row per metric: common test set, mean over hospitals, and the worst hospital.

    What made the federation degraded stands above it.
    """
    lines = (
        ["**SYNTHETIC DATA: made up, not from patients**", ""]
        if report["data"]["synthetic"]
        else []
    )
    if report["degraded"]:
        lines += ["**Degraded: this federation was less than its roster.**", ""]
        lines += [f"- {_plain(each['said'])}" for each in report["shortfalls"]] + [""]
    lines += [
        "| Metric | Common test set (95 % interval) | Mean over hospitals | Worst hospital |",
        "|---|---|---|---|",
    ]
    for metric in METRICS:
        test = report["test"]
        on_test = formats.interval(test[metric]) if test["images"] else "not measured"
        mean = report["hospital_mean"][metric]
        on_hospitals = formats.value(mean) if report["hospitals"] else "not measured"
        cells = (formats.METRIC_NAMES[metric], on_test, on_hospitals, _worst(report, metric))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def report_markdown(report: Mapping[str, Any]) -> str:
    """Returns the report's tables, as for a pull request: what was reached, and where."""
    lines = [
        metrics_table_markdown(report),
        "",
        "| Hospital | Test images | AUROC (95 % interval) | Accuracy (95 % interval) | Rounds |",
        "|---|---|---|---|---|",
    ]
    for name, entry in report["hospitals"].items():
        took_part = report["sent"].get(name, {}).get("rounds", 0)
        cells = (
            _plain(entry["name"]),
            formats.count(entry["images"]),
            formats.interval(entry["auroc"]),
            formats.interval(entry["accuracy"]),
            f"{took_part} of {report['rounds']}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    digest, seed = formats.short_digest(report["data"]["digest"]), report["seed"]
    took = formats.duration(report["seconds"])
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    told = f"Data `{digest}`, seed {seed}, {report['rounds']} rounds in {took}; {_plain(versions)}."
    return "\n".join([*lines, "", told])


def gains_markdown(report: Mapping[str, Any]) -> str:
    """Returns what the federation gains over its references and what it loses, a line each."""
    return "\n".join(f"- {_plain(each)}" for each in gain_lines(report))


def picture_markdown(png: bytes, alt: str) -> str:
    """Returns a PNG as an inline Markdown image; its whole text stands in the event log."""
    return f"![{_plain(alt)}](data:image/png;base64,{base64.b64encode(png).decode()})"


def _worst(report: Mapping[str, Any], metric: str) -> str:
    hospital = report["worst"][metric]
    if hospital is None:
        return ""
    entry = report["hospitals"][hospital]
    return f"{_plain(entry['name'])}: {formats.interval(entry[metric])}"


def _plain(text: str) -> str:
    """Returns text in which nothing is read as Markdown or HTML."""
    marked = re.sub(r"([\\`*_\[\]()#!|~])", r"\\\1", " ".join(text.split()))
    return marked.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
