from __future__ import annotations

import os
import resource
import stat
import subprocess
import sys
import textwrap
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from fed_assets.errors import StorageError
from fed_assets.hospital.files import Store
from fed_assets.hospital.outbox_log import OutboxLog, arrays, text
from fed_assets.privacy.chain import (
    EMPTY,
    OUTBOX_LOG,
    TORN,
    Entry,
    entries_of,
    first_fault,
    sha256,
)

WRITER = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    from fed_assets.hospital.files import Store
    from fed_assets.hospital.outbox_log import OutboxLog, text

    log = OutboxLog(Store(Path(sys.argv[1]), "north"), f"run {sys.argv[2]}")
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(int(sys.argv[3])):
        log.asked(text("update", b"%d" % number, number))
        log.left(text("update", b"a" * number, number), text("figures of the update", b"b", number))
    """
)


def a_log(store: Path, peer: str = "run 1") -> OutboxLog:
    return OutboxLog(Store(store, "north"), peer)


def content(store: Path) -> bytes:
    return (store / OUTBOX_LOG).read_bytes()


def entries(store: Path) -> list[Entry]:
    assert first_fault(content(store), hospital="north") is None
    return entries_of(content(store))


def test_an_entry_says_what_left_and_where_it_went(tmp_path: Path) -> None:
    log = a_log(tmp_path, "job 7")
    asked = log.asked(text("update", b"global weights", 3))
    left = log.left(text("update", b"local weights", 3))
    first, second = entries(tmp_path)
    assert (first.number, first.kind, first.what, first.peer) == (1, "asked", "update", "job 7")
    assert (first.size_bytes, first.digest) == (14, sha256(b"global weights"))
    assert (second.kind, second.round_number, second.hospital) == ("left", 3, "north")
    assert first.previous == EMPTY.hash
    assert asked == first.head
    assert left == second.head


def test_the_size_of_arrays_is_that_of_their_numbers(tmp_path: Path) -> None:
    weights = {"a": np.zeros((3, 4), np.float32), "b": np.zeros(2, np.int64)}
    a_log(tmp_path).left(arrays("update", weights, "d" * 64, None))
    (entry,) = entries(tmp_path)
    assert (entry.size_bytes, entry.digest, entry.round_number) == (64, "d" * 64, None)


def test_the_log_is_for_its_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        a_log(tmp_path).asked(text("images", b""))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / OUTBOX_LOG).stat().st_mode) == 0o600


def test_the_log_is_not_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"")
    (tmp_path / OUTBOX_LOG).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError):
        a_log(tmp_path).left(text("images", b""))
    assert (tmp_path / "elsewhere").read_bytes() == b""


def test_two_processes_that_write_at_once_make_one_chain(tmp_path: Path) -> None:
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), name, "60"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("one", "two")
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate(timeout=60)
        assert writer.returncode == 0
    found = entries(tmp_path)
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
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path), "killed", "1000000"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdin is not None
        writer.stdin.write(b"go\n")
        writer.stdin.flush()
        end = time.monotonic() + 30
        while not (tmp_path / OUTBOX_LOG).exists() or len(content(tmp_path)) < 20_000:
            assert time.monotonic() < end
            time.sleep(0.01)
        writer.kill()
    a_log(tmp_path).left(text("images", b"1"))
    assert entries(tmp_path)[-1].what == "images"


def tear(store: Path, *, keep: int = 40) -> bytes:
    """Cuts the last line of a log off in its middle, as a crash would; returns what is left."""
    *lines, last, _ = content(store).split(b"\n")
    (store / OUTBOX_LOG).write_bytes(b"".join(line + b"\n" for line in lines) + last[:keep])
    return last[:keep]


def test_a_line_that_was_cut_off_is_told_of_and_not_built_on(tmp_path: Path) -> None:
    log = a_log(tmp_path)
    for number in range(3):
        log.left(text("update", b"x", number))
    part = tear(tmp_path)
    found = first_fault(content(tmp_path), hospital="north")
    assert found is not None
    assert (found.number, found.what) == (3, "torn")
    log.left(text("update", b"y", 9))
    *_, second, note, last = entries(tmp_path)
    assert (second.number, note.number, last.number) == (2, 3, 4)
    assert (note.kind, note.size_bytes, note.digest) == (TORN, len(part), sha256(part))
    assert note.previous == second.hash
    assert last.round_number == 9
    assert part in content(tmp_path)


def test_a_first_line_that_was_cut_off_is_told_of(tmp_path: Path) -> None:
    log = a_log(tmp_path)
    log.left(text("update", b"x"))
    tear(tmp_path)
    log.left(text("update", b"y"))
    assert [entry.kind for entry in entries(tmp_path)] == [TORN, "left"]


def test_a_crash_while_a_crash_is_noted_is_told_of_too(tmp_path: Path) -> None:
    log = a_log(tmp_path)
    log.left(text("update", b"x"))
    log.left(text("update", b"y"))
    tear(tmp_path)
    log.left(text("update", b"z"))
    lines = content(tmp_path).split(b"\n")
    (tmp_path / OUTBOX_LOG).write_bytes(b"\n".join([*lines[:2], lines[2][:30]]))
    log.left(text("update", b"z"))
    assert [entry.kind for entry in entries(tmp_path)] == ["left", TORN, "left"]


def test_a_line_that_lacks_its_end_alone_is_gone_on_from(tmp_path: Path) -> None:
    log = a_log(tmp_path)
    log.left(text("update", b"x"))
    (tmp_path / OUTBOX_LOG).write_bytes(content(tmp_path)[:-1])
    log.left(text("update", b"y"))
    assert [entry.number for entry in entries(tmp_path)] == [1, 2]


@pytest.mark.parametrize("keep", [0, 5])
def test_nothing_leaves_where_the_last_line_was_changed(tmp_path: Path, keep: int) -> None:
    log = a_log(tmp_path)
    for _ in range(keep + 1):
        log.left(text("update", b"x"))
    changed = content(tmp_path)[:-4] + b"0" + content(tmp_path)[-3:]
    (tmp_path / OUTBOX_LOG).write_bytes(changed)
    with pytest.raises(StorageError, match=f"what follows entry {keep} is no entry") as refused:
        log.left(text("update", b"y"))
    assert "fed-assets outbox north --verify" in str(refused.value)
    assert content(tmp_path) == changed


def test_a_long_log_is_gone_on_from_by_its_end_alone(tmp_path: Path) -> None:
    log = a_log(tmp_path)
    for _ in range(100):
        log.left(*[text("update", b"x") for _ in range(10)])
    assert len(content(tmp_path)) > 4 * 65536
    assert log.left(text("update", b"y")).entries == 1001
    assert len(entries(tmp_path)) == 1001


def test_names_cannot_end_an_entry_or_fill_the_log(tmp_path: Path) -> None:
    a_log(tmp_path, 'run "}\n{' + "x" * 10_000).left(text("images", b""))
    (entry,) = entries(tmp_path)
    assert entry.peer.startswith("run ____x")
    assert len(entry.peer) == 80


def test_a_full_disk_is_told_and_the_log_is_as_it_was(tmp_path: Path) -> None:
    log = a_log(tmp_path)
    log.left(text("update", b"x"))
    before = content(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for room in (0, 1, 100):
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + room, hard))
        try:
            with pytest.raises(StorageError, match="nothing leaves the hospital") as refused:
                log.left(text("update", b"y"))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert "Free disk space" in str(refused.value)
        assert content(tmp_path) == before
    assert log.left(text("update", b"y")).entries == 2


def test_a_store_that_may_not_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "store").write_bytes(b"")
    with pytest.raises(StorageError, match="nothing leaves the hospital"):
        a_log(tmp_path / "store").asked(text("images", b""))
