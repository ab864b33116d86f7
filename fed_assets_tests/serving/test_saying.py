from __future__ import annotations

import asyncio

import httpx
import pytest

from fed_assets.serving.app import build_app
from fed_assets.serving.following import News, Served
from fed_assets.serving.lanes import Lanes
from fed_assets.serving.saying import without_paths
from fed_assets_tests.serving.packages import SANDBOX, Models


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Where: /tmp/a b/c", "Where: a b/c"),
        (
            "There is no package. Where: /srv/models/v3/package. Seen: x",
            "There is no package. Where: package. Seen: x",
        ),
        ("'/srv/mlflow.db' is locked", "'mlflow.db' is locked"),
        ("asked of /a/b, /c/d; done", "asked of b, d; done"),
        ("5 and/or 6, 1/2", "5 and/or 6, 1/2"),
    ],
)
def test_of_an_absolute_path_the_last_name_is_told(text: str, told: str) -> None:
    assert without_paths(text) == told


def test_who_asks_is_told_no_path_of_this_machine(models: Models) -> None:
    served = Served(models.versions, models.public, sandbox=SANDBOX)
    served.hear(News(champion=7))
    assert str(models.root) in served.trouble
    answers = asyncio.run(ask(served))
    assert [each.status_code for each in answers] == [503, 503, 200]
    for each in answers:
        assert "Where: models.pub." in each.text
        assert str(models.root) not in each.text
    reason = answers[0].json()["reason"]
    assert reason.startswith("No model is served: version 7 is not served")
    assert not reason.endswith("..")


async def ask(served: Served) -> list[httpx.Response]:
    transport = httpx.ASGITransport(app=build_app(served, Lanes()))
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        return [
            await client.post("/predict", files={"images": b"x"}),
            await client.get("/health/ready"),
            await client.get("/version"),
        ]
