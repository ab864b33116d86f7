"""The comparison of the sandboxes: what each level of protection costs and gives."""

# No `from __future__ import annotations` here: Dagster reads the annotations of asset functions.

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from dagster import (
    AssetExecutionContext,
    AssetsDefinition,
    Config,
    MaterializeResult,
    MetadataValue,
    TableRecord,
)
from pydantic import Field

from fed_assets.assets.failed_jobs import failed_jobs
from fed_assets.assets.failures import clear_failures
from fed_assets.assets.kept_measurements import kept_measurements
from fed_assets.assets.known_attacks import membership_value, with_membership
from fed_assets.assets.partitions import Materialized, unpartitioned_asset
from fed_assets.assets.security_record import audits, with_security
from fed_assets.assets.stored_references import reference_value
from fed_assets.assets.surroundings import surroundings_of, wanted_of
from fed_assets.comparison.references import METRICS, POOLED, alike, kind_of
from fed_assets.comparison.stored import of_one_data
from fed_assets.comparison.surroundings import Surroundings
from fed_assets.federation.asked import otherwise
from fed_assets.federation.roster import Roster
from fed_assets.resources.artifact_store import write_whole
from fed_assets.resources.home import Home
from fed_assets.resources.prices import Prices, read_prices
from fed_assets.resources.settings import Settings
from fed_assets.sandboxes.presets import SANDBOX_NAMES

COMPARISON_FILE = "comparison.json"
PAGE_FILE = "comparison.html"
# Why a run has no cost: something that it is reckoned from is not known.
NOT_ALL_MEASURED = "not_all_measured"


class LeftOut(Config):
    """A run that was left out: on request, or as roster and sandbox do not go together."""

    sandbox: str
    seed: int
    why: Literal["budget_spent", "not_approved", "roster_unfit"]


class ComparisonConfig(Config):
    """How what was measured is weighed; left empty, as shipped."""

    profiles: str | None = Field(default=None, description="A YAML file of weight profiles.")
    seed: int = Field(default=0, ge=0, description="Seed of the drawn weights and measurements.")
    allow_unaudited: bool = Field(
        default=False, description="Whether a sandbox may win of which no audit was made."
    )
    leave_out_other_data: bool = Field(
        default=False,
        description="Whether runs of other data than the newest are left out, and not refused.",
    )
    left_out: list[LeftOut] = Field(
        default=[], description="Runs that were left out, and why, which the page says."
    )
    language: str = Field(default="en", description="Of the page: en, or es for Spanish.")


def build_comparison_asset(roster: Roster, settings: Settings) -> AssetsDefinition:
    """Returns the asset `sandbox_comparison`, over all sandboxes that were measured."""

    @unpartitioned_asset(
        group_name="comparison",
        kinds={"html"},
        deps=["evaluation_report", "security_posture", "reference_models", "membership_inference"],
    )
    def sandbox_comparison(
        context: AssetExecutionContext, config: ComparisonConfig
    ) -> Materialized:
        """Which sandbox suits whom, and how sure that is: ranked by what runs measured of each.

        What was not measured is missing and never zero, a sandbox whose audit failed cannot win,
        and each choice comes with the probability that it holds. `page` has all of it, with every
        number in the tables beside it.
        """
        with clear_failures():
            prices = read_prices(settings.prices)
            found = list(measurements(settings.home, prices, wanted_of(roster, settings)))
            left_out = [run.model_dump() for run in config.left_out]
            surroundings = surroundings_of(roster, settings, prices)
            surroundings = replace(surroundings, left_out=left_out)
            if config.leave_out_other_data:
                found, others = of_one_data(found)
                of_others = [{name: each[name] for name in ("sandbox", "seed")} for each in others]
                surroundings = replace(surroundings, other_data=of_others)
            failed = failed_jobs(
                context.instance,
                measured={each["sandbox"] for each in found},
                audited={name for name, audit in audits(settings.home).items() if audit},
                left_out={(run.sandbox, run.seed) for run in config.left_out},
                first_seed=roster.seeds[0],
            )
            surroundings = replace(surroundings, failed=failed)
            comparison = _compare(found, config, surroundings)
            _write(comparison, config.language, settings.home.comparison)
        return MaterializeResult(
            value=comparison,
            metadata={
                **{
                    name: " ".join([each["sentence"][config.language], *_caveats(each, config)])
                    for name, each in comparison["profiles"].items()
                },
                "sandboxes": MetadataValue.table(
                    [TableRecord(row) for row in rows_of(comparison, config.language)]
                ),
                "hospitals": comparison["nodes"],
                "cautions": MetadataValue.json(comparison["cautions"]),
                "page": MetadataValue.path(str(settings.home.comparison / PAGE_FILE)),
            },
        )

    return sandbox_comparison


def _caveats(profile: Mapping[str, Any], config: ComparisonConfig) -> Iterator[str]:
    return (each["said"] for each in profile["caveats"][config.language])


def measurements(
    home: Home, prices: Prices, wanted: Mapping[str, Mapping[str, Any]]
) -> Iterator[dict[str, Any]]:
    """Yields what was measured of each sandbox and seed: by its run, its audit and attack.

    Against the references it says what each hospital gained, and against what is asked of a run now
    in what it was another. All are priced by one table, whenever they ran.

    Args:
        home: where they are kept.
        prices: the table.
        wanted: what is asked of a run, by sandbox.

    Raises:
        StorageError: a record is damaged.
    """
    references, attacks = reference_value(home), membership_value(home)
    postures = audits(home)
    for record in kept_measurements(home):
        audited = with_security(record, postures[record["sandbox"]])
        known = with_membership(audited, attacks)
        if record["sandbox"] in wanted:
            known["otherwise"] = otherwise(record, wanted[record["sandbox"]])
        yield _with_cost(_with_references(known, references), prices)


def _with_references(
    record: dict[str, Any], references: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Adds what references of the run's kind reach on the common test set, or why there are none.

    And what each hospital gained there over training alone, where it is known.
    """
    digests = {name: each.get("digest") for name, each in record["hospitals"].items()}
    found = alike(references, kind_of(record, digests))
    told = {"why_not": found["why_not"], "private": found["private"]}
    if found["why_not"] is not None:
        return record | {"references": told}
    told |= {
        POOLED: _tested(found[POOLED]),
        "pooled_from": found["pooled_from"],
        "alone": {name: _tested(model) for name, model in found["alone"].items()},
    }
    reached = (record["quality"]["auroc"] or {}).get("value")
    for name, model in told["alone"].items():
        by_itself = model["auroc"]["value"]
        if reached is not None and by_itself is not None:
            record["hospitals"][name]["gain_auroc"] = reached - by_itself
    return record | {"references": told}


def _tested(model: Mapping[str, Any]) -> dict[str, Any]:
    return {metric: model["test"][metric] for metric in METRICS}


def _with_cost(record: dict[str, Any], prices: Prices) -> dict[str, Any]:
    """Adds what the run costs, where all that it is reckoned from was measured."""
    controls = {name: each["declared"] for name, each in record["controls"].items()}
    cost = prices.cost(record["efficiency"], controls)
    why_not = {} if cost is not None else {"cost": NOT_ALL_MEASURED}
    return record | {
        "efficiency": {**record["efficiency"], "cost": cost},
        "not_measured": record.get("not_measured", {}) | why_not,
        "prices": prices.as_record(),
    }


def _compare(
    records: list[dict[str, Any]], config: ComparisonConfig, surroundings: Surroundings
) -> dict[str, Any]:
    from fed_assets.comparison.comparison import compare
    from fed_assets.comparison.profiles import read_profiles
    from fed_assets.comparison.settings import Settings as Weighing

    profiles = None if config.profiles is None else read_profiles(Path(config.profiles))
    weighing = Weighing(seed=config.seed, allow_unaudited=config.allow_unaudited)
    comparison = compare(
        records,
        sandboxes=SANDBOX_NAMES,
        profiles=profiles,
        settings=weighing,
        surroundings=surroundings,
    )
    return comparison.as_record()


def _write(comparison: Mapping[str, Any], language: str, folder: Path) -> None:
    """Writes the record, its page and its tables; of an earlier comparison no table stays."""
    from fed_assets.reporting.comparison_page import render_comparison
    from fed_assets.reporting.comparison_tables import comparison_tables

    page = render_comparison(comparison, language).encode()  # first: nothing is half-written
    tables = comparison_tables(comparison)
    for earlier in folder.glob("*.csv"):
        if earlier.name not in tables:
            earlier.unlink()
    for name, table in tables.items():
        write_whole(folder / name, table.encode())
    record = json.dumps(comparison, indent=1, allow_nan=False)
    write_whole(folder / COMPARISON_FILE, record.encode())
    write_whole(folder / PAGE_FILE, page)


def rows_of(comparison: Mapping[str, Any], language: str) -> list[dict[str, str]]:
    """Returns who may win, as the page says it, in its language."""
    from fed_assets.reporting.comparison_words import page_words

    words = page_words(language)
    page, of = words.page, words.page["sandboxes"]
    return [
        {
            page["origin"]["sandbox"]: row["sandbox"],
            of["standing"]: words.standing(row),
            of["word"]: words.audit(row),
            page["origin"]["seeds"]: ", ".join(map(str, row["seeds"])) or page["missing"],
        }
        for row in comparison["sandboxes"]
    ]
