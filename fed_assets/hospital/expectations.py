"""One Great Expectations suite over a hospital's manifest; out of it come names and counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Finding:
    """What one rule found: how many of how many fail it, and never which.

    Attributes:
        name: Of the rule.
        description: The rule in one sentence.
        severity: "error" excludes the hospital, "warning" shows and lets it through.
        passed: Whether the rule holds.
        count: Rows or classes that fail; for `enough_images`, images that are wanting.
        of: Rows or classes that the rule looked at; for `enough_images`, images required.
    """

    name: str
    description: str
    severity: str
    passed: bool
    count: int
    of: int


@dataclass(frozen=True)
class Rule:
    """One or more expectations on a table of the hospital, reported as one finding."""

    name: str
    description: str
    expectations: tuple[Any, ...]
    table: str = "images"
    severity: str = "error"


def run_suite(
    images: pd.DataFrame, per_class: pd.DataFrame, *, classes: int, limits: Mapping[str, float]
) -> list[Finding]:
    """Runs every rule and returns what each found; the caller decides what follows from it.

    Args:
        images: One row per image: image_id, label, readable, short_side, long_side, sd,
            splits_of_image, splits_of_patient and earlier_copies; what a rule must leave out is
            null there.
        per_class: One row per class: required_images, null where none are required, and share.
        classes: How many labels are known.
        limits: All of `validation.LIMITS`.
    """
    rules = _rules(limits, classes)
    tables = {"images": images, "classes": per_class}
    results: dict[str, list[Any]] = {rule.name: [] for rule in rules}
    for table, frame in tables.items():
        for result in _run([rule for rule in rules if rule.table == table], frame):
            results[result.expectation_config.meta["finding"]].append(result)
    return [_finding(rule, results[rule.name], tables[rule.table]) for rule in rules]


def _rules(limits: Mapping[str, float], classes: int) -> list[Rule]:
    # From the modules that define them: the package above re-exports names that mypy hides.
    from great_expectations.expectations.core import (
        expect_column_values_to_be_between,
        expect_column_values_to_be_in_set,
        expect_column_values_to_be_unique,
        expect_table_row_count_to_be_between,
    )

    between = expect_column_values_to_be_between.ExpectColumnValuesToBeBetween
    in_set = expect_column_values_to_be_in_set.ExpectColumnValuesToBeInSet
    unique = expect_column_values_to_be_unique.ExpectColumnValuesToBeUnique
    row_count = expect_table_row_count_to_be_between.ExpectTableRowCountToBeBetween
    least, per_class = int(limits["min_images"]), int(limits["min_images_per_class"])
    low, high = int(limits["min_side"]), int(limits["max_side"])
    share = limits["max_class_share"]
    return [
        Rule(
            "unique_image_ids",
            "Every image has an id of its own.",
            (unique(column="image_id"),),
        ),
        Rule(
            "known_labels",
            "Every image is labelled with one of the known classes.",
            (in_set(column="label", value_set=list(range(classes))),),
        ),
        Rule(
            "enough_images",
            f"There are at least {least} images.",
            (row_count(min_value=least),),
        ),
        Rule(
            "enough_images_per_class",
            f"Every required class has at least {per_class} images.",
            (between(column="required_images", min_value=per_class),),
            table="classes",
        ),
        Rule(
            "readable",
            "Every image can be decoded.",
            (in_set(column="readable", value_set=[True]),),
        ),
        Rule(
            "size_in_range",
            f"Every side of an image is {low} to {high} pixels long.",
            (
                between(column="short_side", min_value=low),
                between(column="long_side", max_value=high),
            ),
        ),
        Rule(
            "not_blank",
            f"The grey levels of every image have a standard deviation of {limits['min_sd']:g} "
            "or more.",
            (between(column="sd", min_value=limits["min_sd"]),),
        ),
        Rule(
            "no_duplicates_across_splits",
            "No image stands, byte for byte, in two splits.",
            (between(column="splits_of_image", max_value=1),),
        ),
        Rule(
            "no_patient_in_two_splits",
            "No patient is in two splits.",
            (between(column="splits_of_patient", max_value=1),),
        ),
        Rule(
            "plausible_class_balance",
            f"No class makes up more than {share:.0%} of the images.",
            (between(column="share", max_value=share),),
            table="classes",
            # A specialised hospital may see one disease nearly always; that is what federates.
            severity="warning",
        ),
        Rule(
            "no_duplicates_within_split",
            "No image stands, byte for byte, twice in a split.",
            (between(column="earlier_copies", max_value=0),),
            severity="warning",
        ),
    ]


def _run(rules: Sequence[Rule], frame: pd.DataFrame) -> list[Any]:
    import great_expectations as gx
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )

    # Nothing on disk (the default names a folder for pages), no telemetry, a silent stderr.
    config = DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
        analytics_enabled=False,
        progress_bars=ProgressBarsConfig(globally=False),
    )
    context = gx.get_context(mode="ephemeral", project_config=config)
    asset = context.data_sources.add_pandas("hospital").add_dataframe_asset("manifest")
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch(
        batch_parameters={"dataframe": frame}
    )
    suite = gx.ExpectationSuite("manifest")
    for rule in rules:
        for expectation in rule.expectations:
            expectation.meta = {"finding": rule.name}
            suite.add_expectation(expectation)
    # Counts without values: any other format that has counts also lists the offending rows.
    outcome = batch.validate(
        suite, result_format={"result_format": "BASIC", "partial_unexpected_count": 0}
    )
    return list(outcome.results)


def _finding(rule: Rule, results: Sequence[Any], frame: pd.DataFrame) -> Finding:
    """Keeps of GX's results only whether they passed and how many rows did not."""
    passed = len(results) == len(rule.expectations) and all(each.success for each in results)
    found = [each.result for each in results]
    if rule.name == "enough_images":
        least = int(rule.expectations[0].min_value)
        return Finding(
            rule.name, rule.description, rule.severity, passed, max(0, least - len(frame)), least
        )
    of = max((each["element_count"] - each["missing_count"] for each in found if each), default=0)
    count = sum(each.get("unexpected_count", 0) for each in found)
    if not passed and not count:
        # An expectation that broke has no count; closed means that every row failed.
        count = of = len(frame)
    return Finding(rule.name, rule.description, rule.severity, passed, int(count), int(of))
