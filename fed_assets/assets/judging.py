"""A registered version beside the champion, at every place that has test images, and its gates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fed_assets.assets.everywhere import ask_everywhere
from fed_assets.assets.security_record import audit_of
from fed_assets.errors import FedAssetsError, StorageError
from fed_assets.registry.best import TEST, Held, best_at, by_their_figures, serving_versions
from fed_assets.registry.comparison import Difference, Differences, difference_of
from fed_assets.registry.conditions import same_data
from fed_assets.registry.gate import Gate, Terms
from fed_assets.registry.gates import judge
from fed_assets.registry.version import ModelVersion
from fed_assets.resources.hospital_runner import COORDINATOR, LocalHospitalRunner
from fed_assets.resources.model_registry import ModelRegistry
from fed_assets.sandboxes.sandbox import Sandbox

RESAMPLES = 1000


def judge_version(
    version: ModelVersion,
    sandbox: Sandbox,
    hospitals: LocalHospitalRunner,
    registry: ModelRegistry,
    terms: Terms,
    *,
    tested: Sequence[str],
    has_common: bool,
) -> tuple[list[Gate], int | None]:
    """Returns the gates of a version, and the champion that it was compared with.

    Args:
        version: Which is judged.
        sandbox: Its sandbox.
        hospitals: Asks them.
        registry: Where the champion is found.
        terms: How much worse it may be.
        tested: The hospitals that test it.
        has_common: Whether there is a common test set.

    Raises:
        StorageError: The registry cannot be reached, or something in it is damaged.
    """
    number = registry.champion(sandbox.name)
    champion = None if number is None else registry.version(sandbox.name, number)
    served = serving_versions(registry.history(sandbox.name).events)
    retired = registry.kept_out(sandbox.name)
    no_bar = {each: why for each, why in retired.items() if each in {*served, number}}
    # What may not serve contains data of who withdrew: nobody runs it, and it is no measure.
    measure = None if number in no_bar else champion
    differences = None
    if (
        measure is not None
        and measure.version != version.version
        and same_data(version, measure).passed
    ):
        places = ([COORDINATOR] if has_common else []) + list(tested)
        asked = _comparison(version, measure, registry, terms)
        answers, failed = ask_everywhere(hospitals, sandbox, places, "compare_models", asked)
        differences = differences_of(answers, failed, tested, terms.metric, has_common=has_common)
    held: dict[str, Held] = {}
    if number != version.version:
        counts = [each for each in dict.fromkeys(served) if each not in no_bar]
        held = beside_the_best(version, measure, counts, sandbox, hospitals, registry, terms)
    posture = audit_of(registry.home, sandbox.name)
    return judge(version, champion, differences, posture, terms, held, no_bar), number


def beside_the_best(
    version: ModelVersion,
    champion: ModelVersion | None,
    counts: Iterable[int],
    sandbox: Sandbox,
    hospitals: LocalHospitalRunner,
    registry: ModelRegistry,
    terms: Terms,
) -> dict[str, Held]:
    """Returns what a version is worth beside the best that served, where that is not the champion.

    Both are tested on the images as they are now.

    Args:
        version: Which is judged.
        champion: The version that serves; None where none does, or it is no measure.
        counts: The versions that served and are a measure still.
        sandbox: Their sandbox.
        hospitals: Asks them.
        registry: Where the versions are found.
        terms: How much worse it may be.

    Raises:
        StorageError: The registry cannot be reached, or something in it is damaged.
    """
    records = [registry.record(version.sandbox, each) for each in counts]
    # With the champion among them: where it is the best, the gates before this one judge.
    served = [each for each in [*records, champion] if each is not None]
    best = best_at(version, served, terms.metric)
    serving = None if champion is None else champion.version
    best = {place: each for place, each in best.items() if each.version != serving}
    held: dict[str, Held] = {}
    for other in {each.version: each for each in best.values()}.values():
        places = [place for place in best if best[place].version == other.version]
        told = _tested(version, other, sandbox, hospitals, registry, terms, places)
        held |= {place: Held(other.version, found) for place, found in told.items()}
    return held


def _tested(
    version: ModelVersion,
    other: ModelVersion,
    sandbox: Sandbox,
    hospitals: LocalHospitalRunner,
    registry: ModelRegistry,
    terms: Terms,
    places: Sequence[str],
) -> dict[str, Difference | str]:
    try:
        asked = _comparison(version, other, registry, terms)
    except StorageError as error:  # on the common test set, what both were registered with counts
        return {
            place: by_their_figures(version, other, place, terms.metric)
            if place == TEST
            else error.what
            for place in places
        }
    has_common, tested = TEST in places, [place for place in places if place != TEST]
    whom = ([COORDINATOR] if has_common else []) + tested
    answers, failed = ask_everywhere(hospitals, sandbox, whom, "compare_models", asked)
    found = differences_of(answers, failed, tested, terms.metric, has_common=has_common)
    common = {} if found.common is None else {TEST: found.common}
    return {**common, **found.hospitals}


def _comparison(
    version: ModelVersion, champion: ModelVersion, registry: ModelRegistry, terms: Terms
) -> dict[str, Any]:
    return {
        "weights": str(registry.weights(version.sandbox, version.version)),
        "network": dict(version.network),
        "threshold": version.threshold,
        "other_weights": str(registry.weights(champion.sandbox, champion.version)),
        "other_network": dict(champion.network),
        "other_threshold": champion.threshold,
        "split": "test",
        "resamples": RESAMPLES,
        "seed": version.seed,
        "confidence": terms.confidence,
    }


def differences_of(
    answers: Mapping[str, Mapping[str, Any]],
    failed: Mapping[str, FedAssetsError],
    tested: Sequence[str],
    metric: str,
    *,
    has_common: bool,
) -> Differences:
    """Returns what every place told of a metric, or why it told nothing."""

    def told(place: str) -> Difference | str:
        if place in answers:
            return difference_of(answers[place], metric)
        return failed[place].what if place in failed else "it was not asked"

    return Differences(
        hospitals={name: told(name) for name in tested},
        common=told(COORDINATOR) if has_common else None,
        has_common=has_common,
    )
