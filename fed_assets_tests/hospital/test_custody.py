from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from fed_assets.errors import KeyRefused
from fed_assets.hospital.custody import HospitalKey, WrappedKey
from fed_assets_tests.hospital.keys import a_key

DATA_KEY = bytes(range(32))


def test_a_key_is_drawn_once_into_a_file_for_its_owner_alone(tmp_path: Path) -> None:
    key = a_key(tmp_path)
    assert stat.S_IMODE(key.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(key.path.parent.stat().st_mode) == 0o700
    first = key.path.read_bytes()
    key.provide()
    assert key.path.read_bytes() == first
    assert list(key.path.parent.iterdir()) == [key.path]
    other = a_key(tmp_path, "south")
    assert json.loads(other.path.read_text())["keys"] != json.loads(first)["keys"]


def test_what_is_wrapped_comes_back_and_does_not_show(tmp_path: Path) -> None:
    key = a_key(tmp_path)
    wrapped = key.wrap(DATA_KEY)
    assert key.unwrap(wrapped) == DATA_KEY
    assert DATA_KEY not in wrapped.wrapped
    assert wrapped.key_id == key.key_id


def test_a_key_shows_nothing_of_itself(tmp_path: Path) -> None:
    key = a_key(tmp_path)
    (secret,) = json.loads(key.path.read_text())["keys"].values()
    assert secret not in repr(key) + repr(key.wrap(DATA_KEY))


def test_two_processes_that_draw_at_once_have_one_key(tmp_path: Path) -> None:
    draw = (
        "import sys; from pathlib import Path; from fed_assets.hospital.custody import HospitalKey;"
        "key = HospitalKey(Path(sys.argv[1]), 'north'); key.provide(); print(key.key_id)"
    )
    command = [sys.executable, "-c", draw, str(tmp_path / "keys" / "north.json")]
    drawing = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    ids = {process.communicate(timeout=60)[0] for process in drawing}
    assert len(ids) == 1
    assert len(ids.pop().strip()) == 16


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o700 | 0o044, 0o601])
def test_a_key_file_that_is_open_to_others_is_refused_until_it_is_closed(
    tmp_path: Path, mode: int
) -> None:
    key = a_key(tmp_path)
    wrapped = key.wrap(DATA_KEY)
    key.path.chmod(mode)
    for use in (lambda: key.unwrap(wrapped), lambda: key.wrap(DATA_KEY), lambda: key.key_id):
        with pytest.raises(KeyRefused, match=rf"open to others.*mode {mode:04o}.*0600"):
            use()
    key.path.chmod(0o600)
    assert key.unwrap(wrapped) == DATA_KEY


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_another_users_key_file_is_refused(tmp_path: Path) -> None:
    key = a_key(tmp_path)
    os.chown(key.path, 65534, -1)
    with pytest.raises(KeyRefused, match=r"another user.*user 65534"):
        key.wrap(DATA_KEY)


def test_a_missing_key_file_is_refused_with_its_cure(tmp_path: Path) -> None:
    key = a_key(tmp_path)
    wrapped = key.wrap(DATA_KEY)
    key.path.unlink()
    with pytest.raises(KeyRefused, match=r"is missing.*north\.json.*backup") as caught:
        key.unwrap(wrapped)
    assert "move the store aside" in caught.value.cure


def test_a_link_is_no_key_file(tmp_path: Path) -> None:
    key = a_key(tmp_path)
    moved = key.path.rename(tmp_path / "elsewhere.json")
    key.path.symlink_to(moved)
    with pytest.raises(KeyRefused, match="no regular file"):
        key.wrap(DATA_KEY)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b'{"hospital": "north", "keys": {}}',
        b'{"hospital": "north", "keys": {"a": "c2hvcnQ="}}',
        b'{"hospital": "north", "keys": {"a": "no base64!"}}',
        b'{"hospital": "north", "keys": {"a": 3}}',
        b'{"keys": {"a": "AAAA"}}',
    ],
)
def test_a_damaged_key_file_is_refused_and_not_shown(tmp_path: Path, content: bytes) -> None:
    key = a_key(tmp_path)
    key.path.write_bytes(content)
    with pytest.raises(KeyRefused, match="is damaged") as caught:
        key.wrap(DATA_KEY)
    assert "c2hvcnQ" not in str(caught.value)


def test_another_hospitals_key_file_in_its_place_is_refused(tmp_path: Path) -> None:
    north, south = a_key(tmp_path), a_key(tmp_path, "south")
    south.path.replace(north.path)
    with pytest.raises(KeyRefused, match=r"another hospital's.*of south, and not of north"):
        north.wrap(DATA_KEY)


def test_what_another_key_wrapped_is_refused(tmp_path: Path) -> None:
    north, south = a_key(tmp_path), a_key(tmp_path, "south")
    with pytest.raises(KeyRefused, match="by a key that the hospital does not hold"):
        north.unwrap(south.wrap(DATA_KEY))
    forged = WrappedKey(north.key_id, south.wrap(DATA_KEY).wrapped)
    with pytest.raises(KeyRefused, match="was changed, or is of another hospital"):
        north.unwrap(forged)


@pytest.mark.parametrize("place", [0, 20, 39])
def test_a_wrapped_key_with_a_flipped_bit_is_refused(tmp_path: Path, place: int) -> None:
    key = a_key(tmp_path)
    wrapped = key.wrap(DATA_KEY)
    flipped = bytearray(wrapped.wrapped)
    flipped[place] ^= 1
    with pytest.raises(KeyRefused, match="was changed"):
        key.unwrap(WrappedKey(wrapped.key_id, bytes(flipped)))
    with pytest.raises(KeyRefused, match="was changed"):
        key.unwrap(WrappedKey(wrapped.key_id, wrapped.wrapped[:7]))


def test_the_old_key_opens_until_it_is_forgotten_and_the_new_one_wraps(tmp_path: Path) -> None:
    key = a_key(tmp_path)
    old = key.wrap(DATA_KEY)
    key.renew()
    new = key.wrap(DATA_KEY)
    assert old.key_id != new.key_id == key.key_id
    assert key.unwrap(old) == key.unwrap(new) == DATA_KEY
    key.renew()  # as after a crash: the rotation that is under way goes on
    assert key.key_id == new.key_id
    key.forget_old()
    assert key.unwrap(new) == DATA_KEY
    with pytest.raises(KeyRefused, match="does not hold"):
        key.unwrap(old)
    assert stat.S_IMODE(key.path.stat().st_mode) == 0o600


def test_a_process_that_is_running_sees_the_key_that_another_one_rotated(tmp_path: Path) -> None:
    here = a_key(tmp_path)
    before = here.wrap(DATA_KEY)
    there = HospitalKey(here.path, "north")
    there.renew()
    assert here.key_id == there.key_id != before.key_id


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    key = HospitalKey(tmp_path / "file" / "north.json", "north")
    with pytest.raises(KeyRefused, match="cannot be written"):
        key.provide()


def test_a_copy_of_the_key_that_a_killed_rotation_left_is_removed_by_the_next(
    tmp_path: Path,
) -> None:
    die = (
        "import os, sys; from pathlib import Path;"
        "from fed_assets.hospital.custody import HospitalKey;"
        "Path.replace = lambda *_: os.kill(os.getpid(), 9);"
        "HospitalKey(Path(sys.argv[1]), 'north').renew()"
    )
    key = a_key(tmp_path)
    assert subprocess.run([sys.executable, "-c", die, str(key.path)]).returncode == -9
    assert len(list(key.path.parent.iterdir())) == 2
    key.renew()
    key.forget_old()
    assert list(key.path.parent.iterdir()) == [key.path]
