"""What the check of a service takes for right, and what it refuses."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fed_assets.errors import DeploymentFailed
from fed_assets.serving.server import ModelServer
from fed_assets.serving.smoke import Checked, Expected, check_service, judge
from fed_assets_tests.serving.packages import CLASSES, SANDBOX, Exported, Models, encoded, facts_of

FACTS = facts_of(b"weights")


def an_expected(probabilities: list[float], labels: list[int], **changes: Any) -> Expected:
    known: dict[str, Any] = {
        "facts": FACTS,
        "pictures": [b""] * len(labels),
        "labels": labels,
        "probabilities": [[1 - each, each] for each in probabilities],
        "accuracy": None,
    }
    return Expected(**known | changes)


def answers(*probabilities: float) -> list[dict[str, Any]]:
    return [
        {
            "class": CLASSES[int(each >= 0.5)],
            "probabilities": dict(zip(CLASSES, (1 - each, each), strict=True)),
        }
        for each in probabilities
    ]


def test_answers_that_are_torchs_pass_with_their_accuracy() -> None:
    expected = an_expected([0.1, 0.9, 0.6, 0.7], [0, 1, 1, 0], accuracy=0.75)
    checked = judge(answers(0.1, 0.9, 0.60005, 0.7), expected, milliseconds=2.0)
    assert checked == Checked(4, pytest.approx(5e-5), 0.75, 0.75, 2.0)


@pytest.mark.parametrize("seen", [0.1002, float("nan")])
def test_a_probability_that_is_not_torchs_is_refused(seen: float) -> None:
    with pytest.raises(DeploymentFailed, match=r"a probability differs by .* 1e-04 is the most"):
        judge(answers(seen, 0.9), an_expected([0.1, 0.9], [0, 1]))


def test_an_accuracy_that_is_not_the_registered_one_is_refused() -> None:
    labels = [0, 1] * 10
    expected = an_expected([0.1, 0.9] * 10, labels, accuracy=0.9)
    with pytest.raises(DeploymentFailed, match=r"accuracy 1\.0000 on 20 images, and 0\.9000 is"):
        judge(answers(*[0.1, 0.9] * 10), expected)


def test_one_image_at_the_threshold_may_be_named_otherwise() -> None:
    expected = an_expected([0.1, 0.9, 0.50001, 0.9], [0, 1, 0, 1], accuracy=0.75)
    assert judge(answers(0.1, 0.9, 0.49999, 0.9), expected).accuracy == 1.0


@pytest.fixture
def server(models: Models, exported: tuple[Exported, Exported]) -> Iterator[ModelServer]:
    models.package(1, exported[0])
    with ModelServer(
        models.versions, models.public, sandbox=SANDBOX, champion=lambda: 1, barred=dict, workers=1
    ) as server:
        server.wait_ready(1)
        yield server


def test_a_real_service_is_asked_all_images_and_timed(
    server: ModelServer, exported: tuple[Exported, Exported], real_images: NDArray[np.uint8]
) -> None:
    probabilities = exported[0].probabilities(real_images[:, None])
    right = (probabilities[:, 1] >= 0.5).astype(int)
    expected = Expected(
        facts=facts_of(exported[0].weights),
        pictures=[encoded(each) for each in real_images] * 3,  # more than one request may hold
        labels=right.tolist() * 3,
        probabilities=probabilities.tolist() * 3,
        accuracy=1.0,
    )

    checked = check_service(server.address, expected)

    assert (checked.images, checked.accuracy) == (120, 1.0)
    assert checked.difference is not None
    assert checked.difference < 1e-5
    assert checked.milliseconds is not None
    assert checked.milliseconds > 0

    other = exported[1].probabilities(real_images[:, None])
    with pytest.raises(DeploymentFailed, match="something else than the registered model"):
        check_service(server.address, replace(expected, probabilities=other.tolist() * 3))
    for changes in ({"version": 2}, {"threshold": 0.6}, {"weights_digest": "0" * 64}):
        facts = replace(expected.facts, **changes)  # type: ignore[arg-type]
        with pytest.raises(DeploymentFailed, match="as it was registered"):
            check_service(server.address, replace(expected, facts=facts))
    with pytest.raises(DeploymentFailed, match=r"does not take open test images.*status 207"):
        check_service(server.address, replace(expected, pictures=[b"", *expected.pictures[1:]]))


def test_without_open_images_the_version_alone_is_checked(
    server: ModelServer, exported: tuple[Exported, Exported]
) -> None:
    nothing = Expected(facts_of(exported[0].weights), [], [], [], None)
    assert check_service(server.address, nothing) == Checked(0)


def test_a_service_that_hangs_up_is_refused() -> None:
    class HangsUp(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.connection.close()

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), HangsUp) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(DeploymentFailed, match="does not answer"):
            check_service(f"http://127.0.0.1:{server.server_port}", an_expected([0.1], [0]))
        server.shutdown()
