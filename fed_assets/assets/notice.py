"""One notice for every page whose figures come from synthetic images."""

from __future__ import annotations

from dagster import MetadataValue

NOTICE = "**SYNTHETIC DATA: made up, not from patients**"


def synthetic_notice(synthetic: bool) -> dict[str, MetadataValue]:
    """Returns the metadata to put first: the notice, or nothing where the images are real."""
    return {"notice": MetadataValue.md(NOTICE)} if synthetic else {}
