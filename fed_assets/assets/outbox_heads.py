"""How far each hospital's outbox log had come when its answer arrived: a witness of its end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dagster import MetadataValue

from fed_assets.resources.outbox_witness import ENTRIES, HEAD, HEADS


def outbox_head(head: Mapping[str, Any] | None) -> dict[str, Any]:
    """Returns metadata of an asset that one hospital answered for; None where it did not answer."""
    if head is None:
        return {}
    return {ENTRIES: head["entries"], HEAD: head["hash"]}


def outbox_heads(answers: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Returns metadata of an asset that several hospitals answered for.

    Args:
        answers: What each of them answered, by its id.
    """
    heads = {hospital: dict(answer["outbox"]) for hospital, answer in answers.items()}
    return {HEADS: MetadataValue.json(heads)}
