from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from fed_assets.errors import KeyRefused, NoImages, SealBroken, StorageError
from fed_assets.hospital.files import Store
from fed_assets.hospital.store import (
    current_digest,
    dataset_folder,
    keep_dataset,
    kept_files,
    new_dataset,
    open_store,
    pseudonym_salt,
    require_room,
    rotate_key,
    set_validated,
    validated_digest,
    writing,
)
from fed_assets_tests.hospital.keys import a_sealed_store


def _keep(store: Store, digest: str, content: str = "x") -> None:
    with new_dataset(store) as folder:
        (folder / "images.npy").write_text(content)
        keep_dataset(store, folder, digest)


def _keep_sealed(store: Store, digest: str, content: bytes) -> Path:
    """Keeps a dataset of one file, and returns where it lies."""
    with new_dataset(store) as folder:
        store.write(folder / "images.npy", content)
        keep_dataset(store, folder, digest)
    return dataset_folder(store, digest) / "images.npy"


def _datasets(store: Store) -> set[str]:
    return {path.name for path in (store.folder / "datasets").iterdir()}


def test_a_store_is_for_its_owner_alone(tmp_path: Path) -> None:
    store = open_store(Store(tmp_path / "deep" / "store"))
    assert stat.S_IMODE(store.folder.stat().st_mode) == 0o700


def test_the_newest_two_datasets_are_kept(tmp_path: Path) -> None:
    store = open_store(Store(tmp_path))
    for letter in "abc":
        _keep(store, letter * 64)
    assert _datasets(store) == {"b" * 16, "c" * 16}
    assert current_digest(store) == "c" * 64


def test_a_dataset_that_is_there_already_is_used_again(tmp_path: Path) -> None:
    store = open_store(Store(tmp_path))
    for letter, content in (("a", "first"), ("b", "x"), ("a", "second")):
        _keep(store, letter * 64, content)
    assert current_digest(store) == "a" * 64
    assert (store.folder / "datasets" / ("a" * 16) / "images.npy").read_text() == "first"
    _keep(store, "c" * 64)
    assert _datasets(store) == {"a" * 16, "c" * 16}


def test_an_error_leaves_nothing_half_written(tmp_path: Path) -> None:
    store = open_store(Store(tmp_path))
    _keep(store, "a" * 64)
    with pytest.raises(RuntimeError), new_dataset(store) as folder:
        (folder / "images.npy").write_text("half")
        raise RuntimeError
    assert _datasets(store) == {"a" * 16}
    assert current_digest(store) == "a" * 64


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path: Path) -> None:
    store = open_store(Store(tmp_path))
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left = store.folder / "datasets" / f".partial-{ended.pid}-00"
    in_use = store.folder / "datasets" / f".partial-{os.getppid()}-00"
    left.mkdir()
    in_use.mkdir()
    of_a_file = store.folder / f".partial-{ended.pid}-00"
    nameless = store.folder / "datasets" / ".partial-x"
    for file in (of_a_file, nameless):
        file.touch()
    _keep(store, "a" * 64)
    assert not left.exists()
    assert in_use.exists()
    assert not of_a_file.exists()
    assert not nameless.exists()


def test_a_file_that_is_killed_as_it_is_written_is_removed_by_the_next(tmp_path: Path) -> None:
    die = (
        "import os, sys; from pathlib import Path; from fed_assets.hospital.files import Store;"
        "Path.replace = lambda *_: os.kill(os.getpid(), 9);"
        "Store(Path(sys.argv[1])).write(Path(sys.argv[1]) / 'validated.json', b'secret')"
    )
    store = open_store(Store(tmp_path))
    assert subprocess.run([sys.executable, "-c", die, str(tmp_path)]).returncode == -9
    assert b"secret" in b"".join(path.read_bytes() for path in tmp_path.glob(".partial-*"))
    _keep(store, "a" * 64)
    assert list(tmp_path.glob(".partial-*")) == []


def test_a_plain_dataset_that_lacks_a_file_is_replaced(tmp_path: Path) -> None:
    store = open_store(Store(tmp_path))
    _keep(store, "a" * 64, "first")
    images = dataset_folder(store, "a" * 64) / "images.npy"
    images.unlink()
    _keep(store, "a" * 64, "second")
    assert images.read_text() == "second"
    assert _datasets(store) == {"a" * 16}


def test_a_store_without_images_says_so(tmp_path: Path) -> None:
    with pytest.raises(NoImages, match="Materialize the hospital's images"):
        current_digest(open_store(Store(tmp_path)))


def test_a_damaged_file_of_the_store_is_named(tmp_path: Path) -> None:
    store = open_store(Store(tmp_path))
    (store.folder / "current.json").write_text("{")
    with pytest.raises(StorageError, match=r"current\.json"):
        current_digest(store)


def test_validation_is_noted_and_taken_back(tmp_path: Path) -> None:
    store = open_store(Store(tmp_path))
    assert validated_digest(store) is None
    set_validated(store, "a" * 64)
    assert validated_digest(store) == "a" * 64
    set_validated(store, None)
    assert validated_digest(store) is None


def test_the_salt_is_secret_and_stays_the_same(tmp_path: Path) -> None:
    one, other = (open_store(Store(tmp_path / name)) for name in ("one", "other"))
    assert pseudonym_salt(one) == pseudonym_salt(one) != pseudonym_salt(other)
    assert stat.S_IMODE((one.folder / "pseudonym.salt").stat().st_mode) == 0o600
    assert {path.name for path in one.folder.iterdir()} == {"datasets", "pseudonym.salt"}


def test_a_write_that_cannot_end_is_refused_before_it_begins(tmp_path: Path) -> None:
    require_room(Store(tmp_path), 1)
    with pytest.raises(StorageError, match=r"1000000\.0 GB needed.*Free disk space"):
        require_room(Store(tmp_path), 10**15)


def test_a_failed_write_names_the_reason_and_no_file(tmp_path: Path) -> None:
    with (
        pytest.raises(StorageError, match=r"no room.*No space left") as raised,
        writing(Store(tmp_path)),
    ):
        raise OSError(errno.ENOSPC, "No space left on device", "person1_bacteria_1.jpeg")
    assert "person1" not in str(raised.value)


def test_a_store_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot be written"):
        open_store(Store(tmp_path / "file" / "store"))


def test_all_that_a_sealed_store_keeps_is_sealed(tmp_path: Path) -> None:
    store = a_sealed_store(tmp_path)
    images = _keep_sealed(store, "a" * 64, b"pixels")
    set_validated(store, "a" * 64)
    salt = pseudonym_salt(store)
    assert salt == pseudonym_salt(open_store(store))
    assert len(salt) == 32
    assert current_digest(store) == validated_digest(store) == "a" * 64
    assert store.read(images) == b"pixels"
    assert {path.name for path in kept_files(store)} == {
        *("current.json", "validated.json", "pseudonym.salt", "images.npy")
    }
    written = b"".join(path.read_bytes() for path in store.folder.rglob("*") if path.is_file())
    for secret in (b"pixels", b"digest", salt):
        assert secret not in written


def test_a_file_of_an_earlier_dataset_is_not_taken_for_the_current_one(tmp_path: Path) -> None:
    store = a_sealed_store(tmp_path)
    earlier = _keep_sealed(store, "a" * 64, b"earlier")
    current = _keep_sealed(store, "b" * 64, b"current")
    current.write_bytes(earlier.read_bytes())
    with pytest.raises(SealBroken, match=r"Where: datasets/b{16}/images\.npy"):
        store.read(current)


def test_a_sealed_dataset_that_was_changed_is_mended_by_making_it_again(tmp_path: Path) -> None:
    store = a_sealed_store(tmp_path)
    images = _keep_sealed(store, "a" * 64, b"pixels")
    images.write_bytes(images.read_bytes()[:-1] + b"?")
    with pytest.raises(SealBroken):
        store.read(images)
    assert store.read(_keep_sealed(store, "a" * 64, b"pixels")) == b"pixels"
    assert _datasets(store) == {"a" * 16}


def test_a_store_that_was_plain_is_not_taken_for_a_sealed_one(tmp_path: Path) -> None:
    sealed = a_sealed_store(tmp_path)
    set_validated(Store(sealed.folder), "a" * 64)
    with pytest.raises(SealBroken, match=r"was written plain, .* says `storage: sealed`.*aside"):
        open_store(sealed)


def test_a_store_that_was_sealed_is_not_taken_for_a_plain_one(tmp_path: Path) -> None:
    sealed = a_sealed_store(tmp_path)
    set_validated(sealed, "a" * 64)
    with pytest.raises(SealBroken, match=r"was written sealed, .* says `storage: plain`.*aside"):
        open_store(Store(sealed.folder, sealed.hospital))


def test_one_plain_file_in_a_sealed_store_is_named(tmp_path: Path) -> None:
    sealed = a_sealed_store(tmp_path)
    set_validated(sealed, "a" * 64)
    (sealed.folder / "current.json").write_text('{"digest": "b"}')
    with pytest.raises(SealBroken, match=r"sealed store is plain. Where: current\.json"):
        open_store(sealed)


def test_what_is_no_file_in_a_sealed_store_is_named(tmp_path: Path) -> None:
    sealed = a_sealed_store(tmp_path)
    set_validated(sealed, "a" * 64)
    (sealed.folder / "outbox.jsonl").mkdir()
    with pytest.raises(SealBroken, match=r"Where: outbox\.jsonl"):
        open_store(sealed)


def test_a_key_is_drawn_for_a_new_store_alone(tmp_path: Path) -> None:
    store = a_sealed_store(tmp_path)
    (key_file,) = (tmp_path / "keys").iterdir()
    set_validated(store, "a" * 64)
    key_file.unlink()
    open_store(store)
    assert not key_file.exists()
    with pytest.raises(KeyRefused, match=r"validated\.json.*key file is missing.*backup"):
        validated_digest(store)


def test_a_rotated_key_opens_everything_and_the_old_one_nothing(tmp_path: Path) -> None:
    store = a_sealed_store(tmp_path)
    images = _keep_sealed(store, "a" * 64, b"pixels" * 100_000)
    set_validated(store, "a" * 64)
    (key_file,) = (tmp_path / "keys").iterdir()
    old_key, body = key_file.read_bytes(), images.read_bytes()[2048:]
    assert rotate_key(store) == 3
    assert store.read(images) == b"pixels" * 100_000
    assert current_digest(store) == validated_digest(store) == "a" * 64
    assert images.read_bytes()[2048:] == body
    key_file.write_bytes(old_key)
    with pytest.raises(KeyRefused, match="does not hold"):
        store.read(images)


def test_a_rotation_that_cannot_end_keeps_the_old_key_and_can_be_gone_on_with(
    tmp_path: Path,
) -> None:
    store = a_sealed_store(tmp_path)
    images = _keep_sealed(store, "a" * 64, b"pixels")
    set_validated(store, "a" * 64)
    whole = images.read_bytes()
    images.write_bytes(whole[:200] + b"????" + whole[204:])
    with pytest.raises(SealBroken, match=r"images\.npy"):
        rotate_key(store)
    assert current_digest(store) == validated_digest(store) == "a" * 64
    images.write_bytes(whole)
    assert store.read(images) == b"pixels"
    assert rotate_key(store) == 1  # the others are done
    assert store.read(images) == b"pixels"


def test_a_key_is_not_rotated_while_a_dataset_is_written(tmp_path: Path) -> None:
    store = a_sealed_store(tmp_path)
    rotate = (
        "import sys; from pathlib import Path; from fed_assets.hospital.store import rotate_key;"
        "from fed_assets_tests.hospital.keys import a_sealed_store;"
        "sys.exit(rotate_key(a_sealed_store(Path(sys.argv[1]))) != 2)"
    )
    with new_dataset(store) as folder:
        store.write(folder / "images.npy", b"pixels")
        rotating = subprocess.Popen([sys.executable, "-c", rotate, str(tmp_path)])
        with pytest.raises(subprocess.TimeoutExpired):
            rotating.wait(3)
        keep_dataset(store, folder, "a" * 64)
    assert rotating.wait(60) == 0
    set_validated(store, "a" * 64)
    assert store.read(dataset_folder(store, "a" * 64) / "images.npy") == b"pixels"


def test_a_plain_store_has_no_key_to_rotate(tmp_path: Path) -> None:
    with pytest.raises(KeyRefused, match="plain store has no key"):
        rotate_key(open_store(Store(tmp_path)))
