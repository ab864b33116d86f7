from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from fed_assets.errors import KeyRefused, StorageError
from fed_assets.hospital.custody import HospitalKey
from fed_assets.hospital.files import Store
from fed_assets.hospital.outbox_log import OutboxLog, arrays, read_outbox, text
from fed_assets.hospital.store import open_store, rotate_key
from fed_assets.privacy.chain import (
    EMPTY,
    OUTBOX_LOG,
    TORN,
    Entry,
    entries_of,
    first_fault,
    sha256,
)
from fed_assets_tests.full_disk import no_file_larger_than
from fed_assets_tests.hospital.keys import a_sealed_store

WRITER = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    from fed_assets.hospital.custody import HospitalKey
    from fed_assets.hospital.files import Store
    from fed_assets.hospital.outbox_log import OutboxLog, text

    key = HospitalKey(Path(sys.argv[4]), "north") if len(sys.argv) > 4 else None
    log = OutboxLog(Store(Path(sys.argv[1]), "north", key), f"run {sys.argv[2]}")
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(int(sys.argv[3])):
        log.asked(text("update", b"%d" % number, number))
        log.left(text("update", b"a" * number, number), text("figures of the update", b"b", number))
    """
)


@pytest.fixture(params=["plain", "sealed"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """The store of north."""
    if request.param == "sealed":
        return a_sealed_store(tmp_path)
    return open_store(Store(tmp_path / "north", "north"))


def writer(store: Store, peer: str, times: int) -> list[str]:
    """Returns the command of a process that writes into the log of a store."""
    key = [str(store.keys.path)] if isinstance(store.keys, HospitalKey) else []
    return [sys.executable, "-c", WRITER, str(store.folder), peer, str(times), *key]


def a_log(store: Store, peer: str = "run 1") -> OutboxLog:
    return OutboxLog(store, peer)


def the_file(store: Store) -> Path:
    return store.folder / OUTBOX_LOG


def entries(store: Store) -> list[Entry]:
    assert first_fault(read_outbox(store), hospital="north") is None
    return entries_of(read_outbox(store))


def test_an_entry_says_what_left_and_where_it_went(store: Store) -> None:
    log = a_log(store, "job 7")
    asked = log.asked(text("update", b"global weights", 3))
    left = log.left(text("update", b"local weights", 3))
    first, second = entries(store)
    assert (first.number, first.kind, first.what, first.peer) == (1, "asked", "update", "job 7")
    assert (first.size_bytes, first.digest) == (14, sha256(b"global weights"))
    assert (second.kind, second.round_number, second.hospital) == ("left", 3, "north")
    assert first.previous == EMPTY.hash
    assert asked == first.head
    assert left == second.head


def test_the_size_of_arrays_is_that_of_their_numbers(store: Store) -> None:
    weights = {"a": np.zeros((3, 4), np.float32), "b": np.zeros(2, np.int64)}
    a_log(store).left(arrays("update", weights, "d" * 64, None))
    (entry,) = entries(store)
    assert (entry.size_bytes, entry.digest, entry.round_number) == (64, "d" * 64, None)


def test_the_log_is_for_its_owner_alone(store: Store) -> None:
    before = os.umask(0)
    try:
        a_log(store).asked(text("images", b""))
    finally:
        os.umask(before)
    assert stat.S_IMODE(the_file(store).stat().st_mode) == 0o600


def test_the_log_is_not_written_through_a_link(store: Store) -> None:
    elsewhere = store.folder.parent / "elsewhere"
    elsewhere.write_bytes(b"")
    the_file(store).symlink_to(elsewhere)
    with pytest.raises(StorageError):
        a_log(store).left(text("images", b""))
    assert elsewhere.read_bytes() == b""


def test_two_processes_that_write_at_once_make_one_chain(store: Store) -> None:
    writers = [
        subprocess.Popen(
            writer(store, name, 60),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("one", "two")
    ]
    for each in writers:
        assert each.stdout is not None
        assert each.stdout.readline() == "ready\n"
    for each in writers:
        assert each.stdin is not None
        each.stdin.write("go\n")
        each.stdin.flush()
    for each in writers:
        each.communicate(timeout=60)
        assert each.returncode == 0
    found = entries(store)
    assert len(found) == 2 * 60 * 3
    for name in ("one", "two"):
        own = [entry for entry in found if entry.peer == f"run {name}"]
        assert [entry.round_number for entry in own] == [n for n in range(60) for _ in range(3)]
    changes = sum(one.peer != other.peer for one, other in pairwise(found))
    assert changes > 2  # they did write at once
    for one, other in pairwise(found):
        if one.what == "update" and one.kind == "left":  # what leaves together stands together
            assert (other.what, other.peer) == ("figures of the update", one.peer)


def test_a_writer_that_is_killed_leaves_a_log_that_the_next_one_goes_on_with(
    store: Store,
) -> None:
    command = writer(store, "killed", 1_000_000)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as killed:
        assert killed.stdin is not None
        killed.stdin.write(b"go\n")
        killed.stdin.flush()
        end = time.monotonic() + 30
        while not the_file(store).exists() or the_file(store).stat().st_size < 20_000:
            assert time.monotonic() < end
            time.sleep(0.01)
        killed.kill()
    a_log(store).left(text("images", b"1"))
    assert entries(store)[-1].what == "images"


def tear(store: Store) -> bytes:
    """Cuts the last line of a log off in its middle, as a crash would; returns what is left."""
    left = the_file(store).read_bytes()[:-100]
    the_file(store).write_bytes(left)
    return left.split(b"\n")[-1]


def test_a_line_that_was_cut_off_is_told_of_and_not_built_on(store: Store) -> None:
    log = a_log(store)
    for number in range(3):
        log.left(text("update", b"x", number))
    part = tear(store)
    found = first_fault(read_outbox(store), hospital="north")
    assert found is not None
    assert (found.number, found.what) == (3, "torn")
    log.left(text("update", b"y", 9))
    *_, second, note, last = entries(store)
    assert (second.number, note.number, last.number) == (2, 3, 4)
    assert (note.kind, note.size_bytes, note.digest) == (TORN, len(part), sha256(part))
    assert note.previous == second.hash
    assert last.round_number == 9
    assert part in the_file(store).read_bytes()


def test_a_first_line_that_was_cut_off_is_told_of(store: Store) -> None:
    log = a_log(store)
    log.left(text("update", b"x"))
    tear(store)
    log.left(text("update", b"y"))
    assert [entry.kind for entry in entries(store)] == [TORN, "left"]


def test_a_crash_while_a_crash_is_noted_is_told_of_too(store: Store) -> None:
    log = a_log(store)
    log.left(text("update", b"x"))
    log.left(text("update", b"y"))
    tear(store)
    log.left(text("update", b"z"))
    *lines, note, _, _ = the_file(store).read_bytes().split(b"\n")
    the_file(store).write_bytes(b"\n".join([*lines, note[:30]]))
    log.left(text("update", b"z"))
    assert [entry.kind for entry in entries(store)] == ["left", TORN, "left"]


def test_a_line_that_lacks_its_end_alone_is_gone_on_from(store: Store) -> None:
    log = a_log(store)
    log.left(text("update", b"x"))
    the_file(store).write_bytes(the_file(store).read_bytes()[:-1])
    log.left(text("update", b"y"))
    assert [entry.number for entry in entries(store)] == [1, 2]


@pytest.mark.parametrize("keep", [0, 5])
def test_nothing_leaves_where_the_last_line_was_changed(store: Store, keep: int) -> None:
    log = a_log(store)
    for _ in range(keep + 1):
        log.left(text("update", b"x"))
    whole = the_file(store).read_bytes()
    changed = whole[:-40] + bytes([whole[-40] ^ 1]) + whole[-39:]
    the_file(store).write_bytes(changed)
    with pytest.raises(StorageError, match=f"what follows entry {keep} is no entry") as refused:
        log.left(text("update", b"y"))
    assert "fed-assets outbox north --verify" in str(refused.value)
    assert the_file(store).read_bytes() == changed


def test_a_long_log_is_gone_on_from_by_its_end_alone(store: Store) -> None:
    log = a_log(store)
    for _ in range(100):
        log.left(*[text("update", b"x") for _ in range(10)])
    assert len(the_file(store).read_bytes()) > 4 * 65536
    assert log.left(text("update", b"y")).entries == 1001
    assert len(entries(store)) == 1001


def test_names_cannot_end_an_entry_or_fill_the_log(store: Store) -> None:
    a_log(store, 'run "}\n{' + "x" * 10_000).left(text("images", b""))
    (entry,) = entries(store)
    assert entry.peer.startswith("run ____x")
    assert len(entry.peer) == 80


def test_a_full_disk_is_told_and_the_log_is_as_it_was(store: Store) -> None:
    log = a_log(store)
    log.left(text("update", b"x"))
    before = the_file(store).read_bytes()
    for room in (0, 1, 100):
        with (
            no_file_larger_than(len(before) + room),
            pytest.raises(StorageError, match="nothing leaves the hospital") as refused,
        ):
            log.left(text("update", b"y"))
        assert "Free disk space" in str(refused.value)
        assert the_file(store).read_bytes() == before
    assert log.left(text("update", b"y")).entries == 2


def test_a_store_that_may_not_be_written_is_told(store: Store) -> None:
    shutil.rmtree(store.folder)
    store.folder.write_bytes(b"")
    with pytest.raises(StorageError, match="nothing leaves the hospital"):
        a_log(store).asked(text("images", b""))


def test_a_sealed_log_shows_nothing_and_its_plain_twin_does(tmp_path: Path) -> None:
    for store, shown in (
        (open_store(Store(tmp_path / "plain", "north")), True),
        (a_sealed_store(tmp_path), False),
    ):
        a_log(store, "run 1a2b3c4d").left(text("update", b"x", 3))
        assert (b"run 1a2b3c4d" in the_file(store).read_bytes()) is shown
        assert (b"update" in the_file(store).read_bytes()) is shown
        assert entries(store)[0].peer == "run 1a2b3c4d"


def test_a_line_that_was_not_sealed_is_none_of_a_sealed_log(tmp_path: Path) -> None:
    store, twin = a_sealed_store(tmp_path), open_store(Store(tmp_path / "plain", "north"))
    first = a_log(store).left(text("update", b"x"))
    forged = replace(entries(store)[0], number=2, previous=first.hash)
    for each in (store, twin):
        with the_file(each).open("ab") as file:
            file.write(forged.line() + b"\n")
    assert entries_of(read_outbox(twin)) == [forged]  # it is one that a plain log would take
    found = first_fault(read_outbox(store), hospital="north")
    assert found is not None
    assert (found.number, found.what) == (2, "changed")
    with pytest.raises(StorageError, match="what follows entry 1 is no entry"):
        a_log(store).left(text("update", b"y"))


def test_a_sealed_log_goes_on_under_a_new_key_and_the_old_one_opens_it_no_more(
    tmp_path: Path,
) -> None:
    store = a_sealed_store(tmp_path)
    a_log(store).left(text("update", b"x"))
    (key_file,) = (tmp_path / "keys").iterdir()
    old = key_file.read_bytes()
    assert rotate_key(store) == 1
    a_log(store).left(text("update", b"y"))
    assert [entry.number for entry in entries(store)] == [1, 2]
    new = key_file.read_bytes()
    key_file.write_bytes(old)
    for attempt in (lambda: read_outbox(store), lambda: a_log(store).left(text("update", b"z"))):
        with pytest.raises(KeyRefused):
            attempt()
    key_file.write_bytes(new)
    assert len(entries(store)) == 2


def test_another_hospitals_sealed_log_is_not_taken_for_ones_own(tmp_path: Path) -> None:
    store, another = a_sealed_store(tmp_path), a_sealed_store(tmp_path, "south")
    a_log(another).left(text("update", b"x"))
    the_file(another).rename(the_file(store))
    with pytest.raises(KeyRefused):
        read_outbox(store)
    with pytest.raises(KeyRefused):
        a_log(store).left(text("update", b"y"))


def test_a_log_that_is_not_there_cannot_be_read(store: Store) -> None:
    with pytest.raises(StorageError, match="The outbox log cannot be read"):
        read_outbox(store)
