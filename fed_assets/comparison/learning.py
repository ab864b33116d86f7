"""In what the models that are compared were not learned alike."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

Concerned = list[tuple[str, list[str]]]


def learned_otherwise(records: Sequence[Mapping[str, Any]]) -> Concerned:
    """Returns kinds of cautions, each with the sandboxes that it concerns.

    `learning_differs`: another network or recipe than that of most runs, so that what they take and
    reach is not of their protection alone. `no_references`: none of their kind are there.
    """
    learned = [(each["sandbox"], _learned(each)) for each in records]
    counted = Counter(how for _, how in learned if how)
    usual = counted.most_common(1)[0][0] if counted else None
    compared = [(each["sandbox"], each.get("references")) for each in records]
    return [
        ("learning_differs", [name for name, how in learned if how and how != usual]),
        ("no_references", [name for name, of in compared if of and of.get("why_not")]),
    ]


def _learned(record: Mapping[str, Any]) -> str | None:
    """Returns network and recipe of a run, of which earlier versions recorded less."""
    network = (record.get("model") or {}).get("network")
    recipe = (record.get("trained_with") or {}).get("recipe")
    told = json.dumps([network, recipe], sort_keys=True)
    return None if network is None or recipe is None else told
