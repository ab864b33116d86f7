"""Pictures of a request take turns with those of others, and have an end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fed_assets.serving import lanes
from fed_assets.serving.answering import answer_files
from fed_assets.serving.keys import public_key
from fed_assets.serving.lanes import Lane, Lanes
from fed_assets.serving.model import Model, load_model
from fed_assets.serving.reading import Refusal
from fed_assets_tests.hospital.samples import png_of_declared_size
from fed_assets_tests.serving.packages import SANDBOX, Exported, Models, encoded

Image = NDArray[np.uint8]


@pytest.fixture
def model(models: Models, exported: tuple[Exported, Exported]) -> Model:
    models.package(1, exported[0])
    return load_model(models.versions, 1, public_key(models.public), sandbox=SANDBOX)


def run(work: Coroutine[Any, Any, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    return asyncio.run(work)


def test_pixels_in_all_are_counted_by_the_headers_and_nothing_is_decoded(
    model: Model, real_images: Image
) -> None:
    good, promised = encoded(real_images[0]), png_of_declared_size(8_000, 8_000)
    two = run(answer_files(model, [good, promised], Lanes()))
    assert [each["status"] for each in two] == [200, 422]  # decoded, and found to be cut off
    with pytest.raises(Refusal, match="128 million pixels in all, and these have 192") as e:
        run(answer_files(model, [good, promised, promised, promised], Lanes()))
    assert e.value.status == 413


def test_what_has_no_turn_within_its_time_is_refused_and_the_rest_is_answered(
    model: Model, real_images: Image
) -> None:
    small, large = encoded(real_images[0]), encoded(np.zeros((1200, 1200), np.uint8))
    own, over = Lanes(), threading.Event()

    async def while_the_large_lane_is_held() -> list[dict[str, Any]]:
        holding = asyncio.create_task(own.of(large, 1200 * 1200).run(over.wait))
        try:
            return await answer_files(model, [small, large, small], own, seconds=3)
        finally:
            over.set()
            await holding

    entries = run(while_the_large_lane_is_held())
    assert [(each["index"], each["status"]) for each in entries] == [(0, 200), (1, 503), (2, 503)]
    assert "20 s that a request has were over" in entries[1]["reason"]
    again = run(answer_files(model, [small, large, small], own))
    assert [each["status"] for each in again] == [200, 200, 200]


def test_two_requests_alternate_in_a_lane() -> None:
    lane, order = Lane("one"), []

    async def ask(name: str) -> None:
        for _ in range(3):
            await lane.run(order.append, name)

    async def both() -> None:
        await asyncio.gather(ask("a"), ask("b"))

    asyncio.run(both())
    assert order == ["a", "b"] * 3


def test_a_lane_moves_unless_its_work_gets_no_further() -> None:
    lane, over = Lane("one"), threading.Event()

    async def hanging() -> list[bool]:
        idle = lane.moves()
        await lane.run(int)
        at_work = asyncio.create_task(lane.run(over.wait))
        await asyncio.sleep(0.2)
        seen = [idle, lane.moves(), lane.moves(), lane.moves()]
        at_work.cancel()  # whoever asked is gone, and it hangs all the same
        await asyncio.sleep(0)
        seen.append(lane.moves())
        over.set()
        await lane.run(int)
        return [*seen, lane.moves(), lane.moves()]

    assert asyncio.run(hanging()) == [True, True, False, False, False, True, True]


@pytest.mark.parametrize("most", [0.0, 30.0])
def test_work_that_goes_on_moves_a_lane_until_it_had_its_share(
    monkeypatch: pytest.MonkeyPatch, most: float
) -> None:
    monkeypatch.setattr(lanes, "MOST_CPU_SECONDS", most)
    lane, over = Lane("one"), threading.Event()

    def compute() -> None:
        while not over.is_set():
            sum(range(1000))

    async def long() -> list[bool]:
        at_work = asyncio.create_task(lane.run(compute))
        seen = []
        for _ in range(3):
            await asyncio.sleep(0.5)
            seen.append(lane.moves())
        over.set()
        await at_work
        return seen

    assert asyncio.run(long()) == [most > 0] * 3


def test_what_fails_does_not_stop_a_lane() -> None:
    lane = Lane("one")

    async def failing() -> int:
        with pytest.raises(ValueError, match="invalid literal"):
            await lane.run(int, "x")
        return await lane.run(int, "7")

    assert asyncio.run(failing()) == 7
    assert lane.moves()
