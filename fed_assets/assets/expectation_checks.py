"""One asset check per expectation that a hospital's validation reports on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dagster import AssetCheckResult, AssetCheckSeverity, AssetCheckSpec, AssetKey

# The hospital's validation reports a finding under each of these names.
EXPECTATIONS = {
    "unique_image_ids": "Every image has an id of its own.",
    "known_labels": "Every label is one of the known classes.",
    "enough_images": "There are enough images to learn from.",
    "enough_images_per_class": "Every class has enough images.",
    "readable": "Every image can be read.",
    "size_in_range": "No image is too small or too large.",
    "not_blank": "No image is blank.",
    "no_duplicates_across_splits": (
        "No image stands in two splits: a model is not tested on what it learned from."
    ),
    "no_patient_in_two_splits": (
        "No patient stands in two splits: a model is not tested on patients it learned from."
    ),
    "plausible_class_balance": "No class takes nearly all images.",
    "no_duplicates_within_split": "No image stands twice in one split.",
}
WARNINGS = frozenset({"no_duplicates_within_split"})
EXCLUDES = "If this fails, the hospital is left out of the federation."
LETS_THROUGH = "If this fails, it shows as a warning, and the hospital takes part all the same."


def expectation_specs(asset: AssetKey) -> list[AssetCheckSpec]:
    """Returns a check per expectation, each saying what follows if it fails."""
    return [
        AssetCheckSpec(
            name,
            asset=asset,
            description=f"{promise} {LETS_THROUGH if name in WARNINGS else EXCLUDES}",
        )
        for name, promise in EXPECTATIONS.items()
    ]


def expectation_results(report: Mapping[str, Any], sandbox: str) -> list[AssetCheckResult]:
    """Returns a result per finding of a hospital's validation: counts, never values."""
    return [
        AssetCheckResult(
            check_name=finding["name"],
            passed=finding["passed"],
            severity=(
                AssetCheckSeverity.WARN
                if finding["severity"] == "warning"
                else AssetCheckSeverity.ERROR
            ),
            description=finding["description"],
            metadata={"failing": finding["count"], "of": finding["of"], "sandbox": sandbox},
        )
        for finding in report["findings"]
    ]


def results_without_images() -> list[AssetCheckResult]:
    """Returns the results where a hospital has no images to look at: every check failed."""
    return [
        AssetCheckResult(check_name=name, passed=False, description="There were no images.")
        for name in EXPECTATIONS
    ]


def failed_expectations(report: Mapping[str, Any]) -> list[str]:
    """Returns a clause per expectation that failed as an error, with its count if that is told."""
    return [
        f"{finding['description'].rstrip('.')}, and {_failing(finding)}"
        for finding in report["findings"]
        if not finding["passed"] and finding["severity"] == "error"
    ]


def _failing(finding: Mapping[str, Any]) -> str:
    if isinstance(finding["count"], str):
        return f"how many fail is {finding['count']}"
    if isinstance(finding["of"], str):
        return f"{finding['count']} fail"
    return f"{finding['count']} of {finding['of']} fail"
