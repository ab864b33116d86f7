from __future__ import annotations

import json

import pytest

from fed_assets.serving import following
from fed_assets.serving.following import News, Served
from fed_assets_tests.serving.packages import SANDBOX, Exported, Models

BARRED = News(champion=1, barred=(1, 7), why="south is in it", closed="")


@pytest.fixture
def served(models: Models, exported: tuple[Exported, Exported]) -> Served:
    """Returns what serves version 1, where version 2 is packaged too."""
    for version, each in enumerate(exported, start=1):
        models.package(version, each)
    served = Served(models.versions, models.public, sandbox=SANDBOX)
    assert (served.version, served.trouble) == (None, "the registry was not asked yet")
    served.hear(News(champion=1))
    assert (served.version, served.trouble) == (1, "")
    return served


def test_news_cross_a_process_boundary() -> None:
    for news in (News(), News(3, 2), News(trouble="the registry\ncannot be asked"), BARRED):
        assert News.from_line(news.as_line()) == news
        assert news.as_line().count(b"\n") == 1


def test_it_follows_the_champion_there_and_back(served: Served) -> None:
    served.hear(News(champion=2))
    assert served.version == 2
    served.hear(News(champion=1))
    assert (served.version, served.trouble) == (1, "")
    assert json.loads(json.dumps(served.told()))["model"]["version"] == 1


def test_a_model_that_is_served_is_not_loaded_again(served: Served) -> None:
    model = served.model
    served.hear(News(champion=1))
    assert served.model is model


def test_a_tampered_package_is_refused_and_the_former_goes_on(
    served: Served, models: Models, exported: tuple[Exported, Exported]
) -> None:
    (models.folder(2) / "model.onnx").write_bytes(exported[0].onnx)
    served.hear(News(champion=2))
    assert served.version == 1
    assert "version 2 is not served: A file of the package was changed" in served.trouble


def test_a_missing_package_is_refused_until_it_is_there(
    served: Served,
    models: Models,
    exported: tuple[Exported, Exported],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    served.hear(News(champion=3))
    assert served.version == 1
    assert "There is no such package" in served.trouble
    models.package(3, exported[1])
    served.hear(News(champion=3))
    assert served.version == 1  # it is not hashed again each second
    monkeypatch.setattr(following, "RETRY_SECONDS", 0.0)
    served._retry_at = 0.0
    served.hear(News(champion=3))
    assert (served.version, served.trouble) == (3, "")


def test_a_genuine_package_that_holds_no_onnx_is_refused(served: Served, models: Models) -> None:
    models.package(2, Exported(b"no onnx", b"weights", None))
    served.hear(News(champion=2))
    assert served.version == 1
    assert "ONNX file cannot be loaded" in served.trouble


def test_going_back_to_what_is_served_ends_the_trouble(served: Served) -> None:
    served.hear(News(champion=9))
    assert served.trouble
    served.hear(News(champion=1))
    assert (served.version, served.trouble) == (1, "")


def test_a_registry_that_cannot_be_asked_changes_nothing_but_is_told(served: Served) -> None:
    served.hear(News(trouble="the registry cannot be asked: it is gone"))
    assert served.version == 1
    assert served.trouble == "the registry cannot be asked: it is gone"
    served.hear(News(champion=2))
    assert (served.version, served.trouble) == (2, "")


def test_without_a_champion_nothing_is_served(served: Served) -> None:
    served.hear(News(champion=None))
    assert (served.version, served.trouble) == (None, "the sandbox minimal has no champion")


def test_a_process_in_anothers_place_takes_the_former_where_the_champion_is_refused(
    served: Served, models: Models
) -> None:
    (models.folder(2) / "manifest.sig").unlink()
    fresh = Served(models.versions, models.public, sandbox=SANDBOX)
    fresh.hear(News(champion=2, former=1))
    assert fresh.version == 1
    assert "version 2 is not served: The package is not signed" in fresh.trouble


def test_a_process_in_anothers_place_takes_the_former_while_the_registry_cannot_be_asked(
    served: Served, models: Models
) -> None:
    fresh = Served(models.versions, models.public, sandbox=SANDBOX)
    fresh.hear(News(former=1, trouble="the registry cannot be asked: it is gone"))
    assert (fresh.version, fresh.trouble) == (1, "the registry cannot be asked: it is gone")
    fresh.hear(News(champion=2, former=1))
    assert (fresh.version, fresh.trouble) == (2, "")


def test_a_former_that_is_not_genuine_is_not_taken_and_it_is_told_once(
    served: Served, models: Models
) -> None:
    (models.folder(1) / "manifest.sig").unlink()
    fresh = Served(models.versions, models.public, sandbox=SANDBOX)
    for _ in range(3):
        fresh.hear(News(former=1, trouble="the registry cannot be asked"))
    assert fresh.version is None
    assert fresh.trouble.count("Nor is version 1 served: The package is not signed") == 1


def test_what_nobody_foresaw_leaves_what_is_served_and_is_told(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MemoryError("of a large model")

    monkeypatch.setattr(following, "load_model", fail)
    served.hear(News(champion=2))
    assert (served.version, served.trouble) == (1, "version 2 is not served: MemoryError")


def test_where_neither_is_genuine_nothing_is_served_and_both_are_told(
    served: Served, models: Models
) -> None:
    for version in (1, 2):
        (models.folder(version) / "manifest.sig").unlink()
    fresh = Served(models.versions, models.public, sandbox=SANDBOX)
    fresh.hear(News(champion=2, former=1))
    assert fresh.version is None
    assert "version 2 is not served" in fresh.trouble
    assert "Nor is version 1 served" in fresh.trouble


def test_what_is_barred_is_served_no_more_and_it_is_told(served: Served) -> None:
    served.hear(BARRED)
    assert (served.version, served.trouble) == (None, "version 1 may not serve: south is in it")
    served.hear(News(champion=2, barred=(1, 7)))
    assert (served.version, served.trouble) == (2, "")


@pytest.mark.parametrize(
    "news",
    [
        News(champion=9, barred=(1,)),  # a champion that cannot be loaded
        News(champion=9, former=1, barred=(1,)),
        News(former=1, trouble="the registry cannot be asked", barred=(1,)),
        News(champion=1, former=1, closed="the list is damaged"),
        News(former=1, trouble="the registry cannot be asked", closed="the list is damaged"),
    ],
)
def test_what_is_barred_goes_on_in_no_others_place(
    served: Served, models: Models, news: News
) -> None:
    fresh = Served(models.versions, models.public, sandbox=SANDBOX)
    for each in (served, fresh):
        each.hear(news)
        assert each.version is None
        assert each.trouble


def test_where_the_champion_is_barred_another_one_that_serves_goes_on(served: Served) -> None:
    served.hear(News(champion=2, barred=(2,), why="south is in it"))
    assert (served.version, served.trouble) == (1, "version 2 may not serve: south is in it")
