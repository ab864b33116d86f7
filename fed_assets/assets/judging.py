"""A registered version beside the champion, at every place that has test images, and its gates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
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
    differences = None
    if (
        champion is not None
        and champion.version != version.version
        and same_data(version, champion).passed
    ):
        places = ([COORDINATOR] if has_common else []) + list(tested)
        asked = _comparison(version, champion, registry, terms)
        answers, failed = ask_everywhere(hospitals, sandbox, places, "compare_models", asked)
        differences = differences_of(answers, failed, tested, terms.metric, has_common=has_common)
    held: dict[str, Held] = {}
    if champion is None or champion.version != version.version:
        held = beside_the_best(version, champion, sandbox, hospitals, registry, terms)
    posture = audit_of(registry.home, sandbox.name)
    return judge(version, champion, differences, posture, terms, held), number


def beside_the_best(
    version: ModelVersion,
    champion: ModelVersion | None,
    sandbox: Sandbox,
    hospitals: LocalHospitalRunner,
    registry: ModelRegistry,
    terms: Terms,
) -> dict[str, Held]:
    """Returns what a version is worth beside the best that served, where that is not the champion.

    Both are tested on the images as they are now. A retired version is not run any more, for it may
    contain data of who withdrew: of it, the figure on the same common test set counts.

    Raises:
        StorageError: The registry cannot be reached, or something in it is damaged.
    """
    name = version.sandbox
    numbers = dict.fromkeys(serving_versions(registry.history(name).events))
    records = [registry.record(name, each) for each in numbers]
    retired = registry.retired(name)
    # With the champion among them: where it is the best, the gates before this one judge.
    served = [each for each in [*records, champion] if each is not None]
    running = [each for each in served if each.version not in retired]
    best = best_at(version, running, terms.metric)
    if (common := best_at(version, served, terms.metric).get(TEST)) is not None:
        best[TEST] = common
    serving = None if champion is None else champion.version
    best = {place: each for place, each in best.items() if each.version != serving}
    held: dict[str, Held] = {}
    for other in {each.version: each for each in best.values()}.values():
        places = [place for place in best if best[place].version == other.version]
        tell = partial(_tested, version, other, sandbox, hospitals, registry, terms)
        if other.version in retired:
            tell = partial(_registered, version, other, terms)
        held |= {place: Held(other.version, found) for place, found in tell(places).items()}
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
    except StorageError as error:
        told = _registered(version, other, terms, places)
        return {place: told[place] if place == TEST else error.what for place in places}
    has_common, tested = TEST in places, [place for place in places if place != TEST]
    whom = ([COORDINATOR] if has_common else []) + tested
    answers, failed = ask_everywhere(hospitals, sandbox, whom, "compare_models", asked)
    found = differences_of(answers, failed, tested, terms.metric, has_common=has_common)
    common = {} if found.common is None else {TEST: found.common}
    return {**common, **found.hospitals}


def _registered(
    version: ModelVersion, other: ModelVersion, terms: Terms, places: Sequence[str]
) -> dict[str, Difference | str]:
    return {each: by_their_figures(version, other, each, terms.metric) for each in places}


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
