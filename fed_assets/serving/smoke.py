"""Whether a running service says what was measured of its model: asked as anybody would ask it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fed_assets.errors import DeploymentFailed
from fed_assets.serving.limits import MOST_FILES
from fed_assets.serving.manifest import ModelFacts

if TYPE_CHECKING:
    import httpx

TOLERANCE = 1e-4
TIMED = 20  # images that are asked one by one


@dataclass(frozen=True)
class Expected:
    """What is known of a version, against which its service is held.

    Attributes:
        facts: What its package says.
        pictures: Files of open images.
        labels: The class of each, as an index.
        probabilities: What torch says of each with the registered weights.
        accuracy: The registered accuracy on all images of the set; None if only some are asked.
    """

    facts: ModelFacts
    pictures: Sequence[bytes]
    labels: Sequence[int]
    probabilities: Sequence[Sequence[float]]
    accuracy: float | None


@dataclass(frozen=True)
class Checked:
    """What a check came to.

    Attributes:
        images: How many were asked.
        difference: The largest to torch's probabilities; None without images.
        accuracy: On these images; None without any.
        registered: The accuracy that it was held against; None where it was not.
        milliseconds: Median until one image was answered; None without any.
    """

    images: int
    difference: float | None = None
    accuracy: float | None = None
    registered: float | None = None
    milliseconds: float | None = None


def check_service(address: str, expected: Expected) -> Checked:
    """Asks a service about open images, and returns what it came to.

    Raises:
        DeploymentFailed: it does not answer, or not for that version, or says something else.
    """
    import httpx

    try:
        with httpx.Client(base_url=address, trust_env=False, timeout=60) as client:
            _require_version(client, expected.facts)
            if not expected.pictures:
                return Checked(0)
            answers = _ask_all(client, expected)
            milliseconds = _timed(client, expected.pictures[:TIMED])
    except httpx.HTTPError as error:
        raise DeploymentFailed(
            "The service does not answer", where=address, seen=type(error).__name__
        ) from None
    return judge(answers, expected, milliseconds=milliseconds)


def judge(
    answers: Sequence[Mapping[str, Any]], expected: Expected, *, milliseconds: float | None = None
) -> Checked:
    """Returns what answers came to, an entry per picture.

    Raises:
        DeploymentFailed: a probability differs from torch's, or the accuracy from the registered
            one.
    """
    classes = expected.facts.classes
    seen = [[answer["probabilities"][name] for name in classes] for answer in answers]
    pairs = zip(seen, expected.probabilities, strict=True)
    difference = max(abs(a - b) for row, true in pairs for a, b in zip(row, true, strict=True))
    if not difference <= TOLERANCE:
        raise DeploymentFailed(
            "The service says something else than the registered model",
            seen=f"a probability differs by {difference:.2g}, and {TOLERANCE:.0e} is the most",
        )
    named = [classes.index(answer["class"]) for answer in answers]
    right = sum(a == b for a, b in zip(named, expected.labels, strict=True))
    accuracy = right / len(answers)
    # One image may lie so near to the threshold that it is named otherwise by another machine.
    if (
        expected.accuracy is not None
        and abs(accuracy - expected.accuracy) > 1 / len(answers) + 1e-9
    ):
        raise DeploymentFailed(
            "The service is not as accurate as the registered model was",
            seen=f"accuracy {accuracy:.4f} on {len(answers)} images, and {expected.accuracy:.4f} "
            "is registered",
        )
    return Checked(len(answers), difference, accuracy, expected.accuracy, milliseconds)


def _require_version(client: httpx.Client, facts: ModelFacts) -> None:
    told = client.get("/version").json()["model"] or {}
    wanted = {
        "name": facts.name,
        "version": facts.version,
        "weights_digest": facts.weights_digest,
        "threshold": facts.threshold,
    }
    wrong = {name: told.get(name) for name in wanted if told.get(name) != wanted[name]}
    if wrong:
        raise DeploymentFailed(
            f"The service does not serve version {facts.version} as it was registered",
            seen="; ".join(f"{name} is {each}" for name, each in wrong.items()),
        )


def _ask_all(client: httpx.Client, expected: Expected) -> list[dict[str, Any]]:
    answers: list[dict[str, Any]] = []
    for start in range(0, len(expected.pictures), MOST_FILES):
        answers += _ask(client, expected.pictures[start : start + MOST_FILES])
    return answers


def _ask(client: httpx.Client, pictures: Sequence[bytes]) -> list[dict[str, Any]]:
    answer = client.post("/predict", files=[("images", ("open", each)) for each in pictures])
    if answer.status_code != 200:
        raise DeploymentFailed(
            "The service does not take open test images",
            seen=f"status {answer.status_code}: {answer.text[:200]}",
        )
    images: list[dict[str, Any]] = answer.json()["images"]
    return images


def _timed(client: httpx.Client, pictures: Sequence[bytes]) -> float:
    took = []
    for each in pictures:
        began = time.perf_counter()
        _ask(client, [each])
        took.append((time.perf_counter() - began) * 1000)
    return round(statistics.median(took), 2)
