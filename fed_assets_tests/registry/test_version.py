from __future__ import annotations

import json

import pytest

from fed_assets.errors import StorageError
from fed_assets.registry.version import ModelVersion
from fed_assets_tests.registry.versions import a_version


def test_a_version_comes_back_from_its_record() -> None:
    version = a_version(3, shortfalls=({"kind": "excluded", "said": "west was left out"},))
    record = json.loads(json.dumps(version.as_record()))
    assert ModelVersion.from_record(record) == version
    assert ModelVersion.from_record(record | {"of_a_later_version": 1}) == version
    assert a_version(3).numbered(4) == a_version(4, run_id=a_version(3).run_id)


def test_a_record_that_lacks_something_is_damaged() -> None:
    record = a_version().as_record()
    del record["weights_digest"], record["seed"]
    with pytest.raises(StorageError, match=r"damaged\. Where: v1\. Seen: without weights_digest"):
        ModelVersion.from_record(record, where="v1")


def test_a_word_in_place_of_a_list_is_damaged() -> None:
    with pytest.raises(StorageError, match="no list: classes"):
        ModelVersion.from_record(a_version().as_record() | {"classes": "normal"})


def test_a_figure_is_found_by_place_and_metric() -> None:
    version = a_version()
    assert version.figure("test", "auroc") == 0.95
    assert version.figure("north", "auroc") == 0.9
    assert version.figure("west", "auroc") is None
    assert version.figure("north", "f1") is None
