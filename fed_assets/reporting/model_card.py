"""One model card per model, under the headings of Mitchell et al. 2019, of the records alone.

"Model Cards for Model Reporting", FAT* 2019. What no record says is said to be unknown: a card is
read by people who were not there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from fed_assets.reporting import formats
from fed_assets.reporting.card_words import caveats_of, ethics_of, factors_of, uses_of
from fed_assets.reporting.page import templates
from fed_assets.reporting.recipe_words import recipe_in_words
from fed_assets.reporting.report import METRICS

SYNTHETIC = (
    "SYNTHETIC DATA: every image was made by a program. "
    "No figure on this card says anything about patients."
)
HTML, JSON = "card.html", "card.json"


def card_of(model: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the card as JSON-ready values, a key per heading.

    Args:
        model: What `fed-assets trace --json` prints of it: `model`, `sandbox`, `version`, `states`
            and `lineage`, which has to be there. Of a card that is kept, `states` is None: what a
            version is changes, and the card does not.
    """
    lineage = model["lineage"]
    data, evaluation = lineage["data"], lineage["evaluation"]
    return {
        "title": f"Model card of {model['model']}",
        "synthetic": data["synthetic"],
        "notice": SYNTHETIC if data["synthetic"] else "",
        "model_details": _details(model, lineage),
        "intended_use": uses_of(lineage),
        "factors": factors_of(lineage),
        "metrics": {
            "measures": {name: formats.METRIC_NAMES[name] for name in METRICS},
            "threshold": lineage["threshold"],
            "uncertainty": "95 % bootstrap intervals over the test images of each place",
        },
        "evaluation_data": {
            "common_test_set": {
                "name": data.get("test_name"),  # earlier versions did not record it
                "images": evaluation["test"]["images"],
                "digest": data["test_digest"],
            },
            "hospitals": {name: entry["images"] for name, entry in evaluation["hospitals"].items()},
            "said": "Each hospital's own test images were set aside before training and never left "
            "it; the common test set is open data that no hospital trained on.",
        },
        "training_data": {
            "name": data["name"],
            "digest": data["digest"],
            "classes": data["classes"],
            "synthetic": data["synthetic"],
            "hospitals": lineage["hospitals"],
            "excluded": lineage["excluded"],
        },
        "quantitative_analyses": {
            "common_test_set": _figures(evaluation["test"]),
            "hospitals": {name: _figures(entry) for name, entry in evaluation["hospitals"].items()},
            "intersections": None,
        },
        "ethical_considerations": ethics_of(lineage),
        "caveats_and_recommendations": caveats_of(model, lineage),
    }


def _details(model: Mapping[str, Any], lineage: Mapping[str, Any]) -> dict[str, Any]:
    names = {entry["id"]: entry.get("name") or entry["id"] for entry in lineage["roster"]}
    hospitals = lineage["hospitals"]
    return {
        "model": model["model"],
        "sandbox": model["sandbox"],
        "version": model["version"],
        "states": model["states"],
        "created": lineage["created"],
        "run_id": lineage["run_id"],
        "nvflare_job": lineage["job"],
        "resumed_from": lineage["resumed_from"],
        "rounds": len(lineage["rounds"]),
        "seed": lineage["seed"],
        "network": lineage["network"],
        "parameters": lineage["parameters"],
        "recipe": lineage["recipe"],
        "training_settings": recipe_in_words(lineage["recipe"]),
        "aggregation": lineage["controls"]["aggregation"],
        "weights_digest": lineage["weights_digest"],
        "weights_file_digest": lineage["weights_file_digest"],
        "code": lineage["code"],
        "versions": lineage["versions"],
        "license": "that of whoever runs the federation; fed_assets itself is Apache-2.0",
        "trained_by": [names.get(name, name) for name, gave in hospitals.items() if gave["rounds"]],
        "names": names,
    }


def _figures(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {"images": entry["images"], **{name: entry[name] for name in METRICS}}


def render_card(card: Mapping[str, Any]) -> str:
    """Returns the card as HTML that opens from a file, on paper, on a phone, by day or night."""
    names = card["model_details"]["names"]
    return (
        templates()
        .get_template("model_card.html.j2")
        .render(card=card, metrics=METRICS, metric_names=formats.METRIC_NAMES, names=names)
    )


def card_files(model: Mapping[str, Any]) -> dict[str, bytes]:
    """Returns the card's files by name: the page, and the same as JSON."""
    card = card_of(model)
    page = render_card(card).encode()
    return {HTML: page, JSON: json.dumps(card, indent=1, allow_nan=False).encode()}


def card_markdown(card: Mapping[str, Any]) -> str:
    """Returns what matters most of a card, short enough to be shown at once."""
    details, test = card["model_details"], card["quantitative_analyses"]["common_test_set"]
    lines = [f"**{card['title']}**", ""]
    if card["synthetic"]:
        lines = ["**SYNTHETIC DATA: made up, not from patients**", "", *lines]
    if test["images"]:
        auroc = formats.interval(test["auroc"])
        lines.append(f"- AUROC {auroc} on {formats.count(test['images'])} common test images")
    trained = [name for name, gave in card["training_data"]["hospitals"].items() if gave["rounds"]]
    lines.append(f"- learned from {len(trained)} hospitals in {details['rounds']} rounds")
    lines.append(f"- weights `{formats.short_digest(details['weights_digest'])}`")
    return "\n".join([*lines, f"- for: {card['intended_use']['primary_use']}"])
