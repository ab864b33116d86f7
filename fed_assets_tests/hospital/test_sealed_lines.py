from __future__ import annotations

import os
from pathlib import Path

import pytest

from fed_assets.errors import SealBroken
from fed_assets.hospital.files import Store
from fed_assets.hospital.sealed_lines import Lines, lines_of
from fed_assets_tests.hospital.keys import a_sealed_store


def lines_in(store: Store, name: str = "log") -> Lines:
    path = store.folder / name
    store.write(path, b"", once=True)
    file = os.open(path, os.O_RDONLY)
    try:
        return lines_of(store, path, file)
    finally:
        os.close(file)


def test_sealed_lines_come_back_as_they_were_and_begin_behind_the_file(tmp_path: Path) -> None:
    store = a_sealed_store(tmp_path)
    lines = lines_in(store)
    written = b"".join(lines.sealed(line) + b"\n" for line in (b'{"a":1}', b"", b"second"))
    assert written.count(b"\n") == 3
    assert b"second" not in written
    assert lines_in(store).opened(written) == b'{"a":1}\n\nsecond\n'
    assert lines.start == (store.folder / "log").stat().st_size


def test_lines_of_a_plain_store_stand_as_they_are(tmp_path: Path) -> None:
    lines = lines_in(Store(tmp_path, "north"))
    assert (lines.start, lines.sealed(b"a line"), lines.opened(b"1\n2")) == (0, b"a line", b"1\n2")


def test_no_line_is_sealed_twice_alike(tmp_path: Path) -> None:
    lines = lines_in(a_sealed_store(tmp_path))
    assert lines.sealed(b"x") != lines.sealed(b"x")


def test_of_a_changed_foreign_or_plain_line_nothing_is_left(tmp_path: Path) -> None:
    store = a_sealed_store(tmp_path)
    lines = lines_in(store)
    sealed = lines.sealed(b"a line")
    changed = sealed[:20] + bytes([sealed[20] ^ 1]) + sealed[21:]
    foreign = lines_in(store, "another").sealed(b"a line")
    for bad in (changed, foreign, b'{"plain":1}', b"}", sealed + b"}"):
        assert lines.opened(b"\n".join([sealed, bad, sealed])) == b"a line\n}\na line"


def test_a_line_that_was_cut_off_stays_as_it_is(tmp_path: Path) -> None:
    lines = lines_in(a_sealed_store(tmp_path))
    part = lines.sealed(b"a line")[:-1]
    assert lines.opened(part) == part


def test_a_file_that_was_not_sealed_as_this_one_is_refused(tmp_path: Path) -> None:
    store = a_sealed_store(tmp_path)
    lines_in(store, "another")
    (store.folder / "another").rename(store.folder / "log")
    with pytest.raises(SealBroken, match="another object"):
        lines_in(store)
    (store.folder / "log").write_bytes(b"plain")
    with pytest.raises(SealBroken, match="no sealed file"):
        lines_in(store)
