from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from fed_assets.hospital.files import Store
from fed_assets.hospital.once import put_once


@pytest.fixture(params=[0, errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS])
def files(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, Path]:
    """A fresh file and its place, on a disk with second names and as mounts without them answer."""

    def refuse(*_: object) -> None:
        raise OSError(request.param, os.strerror(request.param))

    if request.param:
        monkeypatch.setattr(os, "link", refuse)
    (tmp_path / "fresh").write_bytes(b"new")
    return tmp_path / "fresh", tmp_path / "file"


def test_a_file_gets_its_name(files: tuple[Path, Path]) -> None:
    fresh, path = files
    put_once(fresh, path)
    assert path.read_bytes() == b"new"


def test_a_file_that_is_there_stays(files: tuple[Path, Path]) -> None:
    fresh, path = files
    path.write_bytes(b"old")
    with pytest.raises(FileExistsError):
        put_once(fresh, path)
    assert path.read_bytes() == b"old"


def test_a_store_writes_once_on_either(files: tuple[Path, Path]) -> None:
    _, path = files
    store = Store(path.parent)
    for content in (b"first", b"second"):
        store.write(path, content, once=True)
    assert path.read_bytes() == b"first"
    assert sorted(each.name for each in path.parent.iterdir()) == ["file", "fresh"]


def test_another_failure_is_raised(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        put_once(tmp_path / "none", tmp_path / "file")
