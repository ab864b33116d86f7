# No `from __future__ import annotations` here: Dagster reads the annotations of asset functions.

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from dagster import (
    AssetExecutionContext,
    DagsterInstance,
    StaticPartitionsDefinition,
    asset,
    materialize,
)

from fed_assets.errors import FedAssetsError, StorageError
from fed_assets.resources.artifact_store import JsonArtifacts, write_whole
from fed_assets_tests.full_disk import no_file_larger_than

SANDBOXES = StaticPartitionsDefinition(["minimal", "eyes_on"])


@asset(partitions_def=SANDBOXES, key_prefix=["north"])
def images(context: AssetExecutionContext) -> dict[str, Any]:
    return {"sandbox": context.partition_key, "images": 3}


@asset(partitions_def=SANDBOXES)
def report(images: dict[str, Any]) -> dict[str, Any]:
    return images | {"read": True}


@asset(partitions_def=SANDBOXES)
def endless() -> float:
    return float("inf")


def make(folder: Path, *assets: Any, select: Any = None, sandbox: str = "minimal") -> Any:
    with DagsterInstance.ephemeral() as instance:
        return materialize(
            [*assets],
            partition_key=sandbox,
            selection=select,
            resources={"io_manager": JsonArtifacts(folder=str(folder))},
            instance=instance,
            raise_on_error=False,
        )


def root_cause(result: Any) -> tuple[str, str]:
    (failure,) = result.filter_events(lambda event: event.is_step_failure)
    error = failure.step_failure_data.error
    while error.cause is not None:
        error = error.cause
    return error.cls_name, error.message


def test_a_value_lies_as_json_by_asset_and_sandbox_and_reaches_the_next(tmp_path: Path) -> None:
    assert make(tmp_path, images, report).success
    path = tmp_path / "north" / "images" / "minimal.json"
    assert json.loads(path.read_text()) == {"sandbox": "minimal", "images": 3}
    assert json.loads((tmp_path / "report" / "minimal.json").read_text())["read"] is True
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_value_that_is_not_there_names_asset_sandbox_and_cure(tmp_path: Path) -> None:
    assert make(tmp_path, images, sandbox="eyes_on").success
    result = make(tmp_path, images, report, select=[report])
    kind, message = root_cause(result)
    assert kind == "RunConfigError"
    assert "north/images has no value in this sandbox. Where: minimal." in message
    assert "Materialize north/images first" in message


def test_a_damaged_value_names_its_file_and_cure(tmp_path: Path) -> None:
    assert make(tmp_path, images).success
    path = tmp_path / "north" / "images" / "minimal.json"
    path.write_bytes(path.read_bytes()[:10])
    kind, message = root_cause(make(tmp_path, images, report, select=[report]))
    assert kind == "StorageError"
    assert str(path) in message
    assert "Materialize north/images again" in message


def test_a_value_that_is_no_json_is_not_written(tmp_path: Path) -> None:
    assert not make(tmp_path, endless).success
    assert not list(tmp_path.rglob("*.json"))


def test_a_file_is_written_whole_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.json"
    write_whole(path, b"one")
    write_whole(path, b"two")
    assert path.read_bytes() == b"two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_whole(path, b"old")
    with (
        no_file_larger_than(1 << 17),
        pytest.raises(StorageError, match=r"A file cannot be written.*File too large"),
    ):
        write_whole(path, bytes(1 << 18))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_file_and_says_so(small_disk: Path) -> None:
    path = small_disk / "a.json"
    write_whole(path, b"old")
    with pytest.raises(StorageError, match=r"The disk is full.*FED_ASSETS_HOME"):
        write_whole(path, bytes(1 << 21))
    assert path.read_bytes() == b"old"
    assert list(small_disk.iterdir()) == [path]


def test_a_folder_that_is_a_file_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("mine")
    with pytest.raises(FedAssetsError, match="cannot be written"):
        write_whole(tmp_path / "a" / "b.json", b"new")
    assert (tmp_path / "a").read_text() == "mine"
