"""A registered version beside the champion, at every place that has test images, and its gates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fed_assets.assets.everywhere import ask_everywhere
from fed_assets.assets.security_record import audit_of
from fed_assets.errors import FedAssetsError
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
    posture = audit_of(registry.home, sandbox.name)
    return judge(version, champion, differences, posture, terms), number


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
