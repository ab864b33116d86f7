from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from fed_assets.errors import NoImages, StorageError
from fed_assets.hospital.store import (
    current_digest,
    keep_dataset,
    new_dataset,
    open_store,
    pseudonym_salt,
    require_room,
    set_validated,
    validated_digest,
    writing,
)


def _keep(store: Path, digest: str, content: str = "x") -> None:
    with new_dataset(store) as folder:
        (folder / "images.npy").write_text(content)
        keep_dataset(store, folder, digest)


def _datasets(store: Path) -> set[str]:
    return {path.name for path in (store / "datasets").iterdir()}


def test_a_store_is_for_its_owner_alone(tmp_path: Path) -> None:
    store = open_store(tmp_path / "deep" / "store")
    assert stat.S_IMODE(store.stat().st_mode) == 0o700


def test_the_newest_two_datasets_are_kept(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    for letter in "abc":
        _keep(store, letter * 64)
    assert _datasets(store) == {"b" * 16, "c" * 16}
    assert current_digest(store) == "c" * 64


def test_a_dataset_that_is_there_already_is_used_again(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    for letter, content in (("a", "first"), ("b", "x"), ("a", "second")):
        _keep(store, letter * 64, content)
    assert current_digest(store) == "a" * 64
    assert (store / "datasets" / ("a" * 16) / "images.npy").read_text() == "first"
    _keep(store, "c" * 64)
    assert _datasets(store) == {"a" * 16, "c" * 16}


def test_an_error_leaves_nothing_half_written(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    _keep(store, "a" * 64)
    with pytest.raises(RuntimeError), new_dataset(store) as folder:
        (folder / "images.npy").write_text("half")
        raise RuntimeError
    assert _datasets(store) == {"a" * 16}
    assert current_digest(store) == "a" * 64


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left = store / "datasets" / f".partial-{ended.pid}-00"
    in_use = store / "datasets" / f".partial-{os.getppid()}-00"
    left.mkdir()
    in_use.mkdir()
    _keep(store, "a" * 64)
    assert not left.exists()
    assert in_use.exists()


def test_a_store_without_images_says_so(tmp_path: Path) -> None:
    with pytest.raises(NoImages, match="Materialize the hospital's images"):
        current_digest(open_store(tmp_path))


def test_a_damaged_file_of_the_store_is_named(tmp_path: Path) -> None:
    (open_store(tmp_path) / "current.json").write_text("{")
    with pytest.raises(StorageError, match=r"current\.json"):
        current_digest(tmp_path)


def test_validation_is_noted_and_taken_back(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    assert validated_digest(store) is None
    set_validated(store, "a" * 64)
    assert validated_digest(store) == "a" * 64
    set_validated(store, None)
    assert validated_digest(store) is None


def test_the_salt_is_secret_and_stays_the_same(tmp_path: Path) -> None:
    one, other = open_store(tmp_path / "one"), open_store(tmp_path / "other")
    assert pseudonym_salt(one) == pseudonym_salt(one) != pseudonym_salt(other)
    assert stat.S_IMODE((one / "pseudonym.salt").stat().st_mode) == 0o600
    assert {path.name for path in one.iterdir()} == {"datasets", "pseudonym.salt"}


def test_a_write_that_cannot_end_is_refused_before_it_begins(tmp_path: Path) -> None:
    require_room(tmp_path, 1)
    with pytest.raises(StorageError, match=r"1000000\.0 GB needed.*Free disk space"):
        require_room(tmp_path, 10**15)


def test_a_failed_write_names_the_reason_and_no_file(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"no room.*No space left") as raised, writing(tmp_path):
        raise OSError(errno.ENOSPC, "No space left on device", "person1_bacteria_1.jpeg")
    assert "person1" not in str(raised.value)


def test_a_store_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot be written"):
        open_store(tmp_path / "file" / "store")
