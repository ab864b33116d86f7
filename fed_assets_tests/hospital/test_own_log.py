from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fed_assets.errors import KeyRefused
from fed_assets.hospital.files import Store
from fed_assets.hospital.own_log import keep_traceback, log_place, read_log
from fed_assets_tests.hospital.keys import a_sealed_store

PRINTS = """
import os, sys
from pathlib import Path
from fed_assets.hospital.custody import HospitalKey
from fed_assets.hospital.files import Store
from fed_assets.hospital.own_log import logged
folder, key_file = map(Path, sys.argv[1:3])
store = Store(folder, "north", HospitalKey(key_file, "north") if key_file.is_file() else None)
for number in range(2):
    try:
        with logged(store):
            print(f"print of person{number}")
            os.write(2, b"a library in C names person7\\n")
            if number:
                raise RuntimeError("person9")
    except RuntimeError:
        pass
"""


def run_and_print(store: Store, key_file: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PRINTS, str(store.folder), str(key_file)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)


def all_bytes(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_a_sealed_store_seals_what_is_printed_and_the_hospital_can_read_it(tmp_path: Path) -> None:
    store = a_sealed_store(tmp_path)
    key_file = tmp_path / "keys" / "north.json"
    ran = run_and_print(store, key_file)
    assert ran.stdout + ran.stderr == ""
    assert b"person" not in all_bytes(tmp_path)
    log = read_log(store)
    assert log.index("print of person0") < log.index("print of person1")
    assert log.count("a library in C names person7") == 2
    assert "RuntimeError: person9" in log
    command = [sys.executable, "-m", "fed_assets.hospital.own_log", "north"]
    shown = subprocess.run(
        [*command, str(store.folder), str(key_file)], capture_output=True, text=True, timeout=60
    )
    assert shown.stdout == log
    key_file.unlink()
    refused = subprocess.run(
        [*command, str(store.folder), str(key_file)], capture_output=True, text=True, timeout=60
    )
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "key file is missing" in refused.stderr


def test_a_plain_store_appends_it_to_one_file(tmp_path: Path) -> None:
    store = Store(tmp_path)
    ran = run_and_print(store, tmp_path / "none")
    assert ran.stdout + ran.stderr == ""
    log = (tmp_path / "worker.log").read_text()
    assert log == read_log(store)
    assert log.count("a library in C names person7") == 2
    assert log.count("RuntimeError: person9") == 1
    assert log_place(store) == str(tmp_path / "worker.log")


def test_a_traceback_is_sealed_too(tmp_path: Path) -> None:
    store = a_sealed_store(tmp_path)
    try:
        raise RuntimeError("person9")
    except RuntimeError:
        keep_traceback(store)
    assert b"person9" not in all_bytes(tmp_path)
    assert "RuntimeError: person9" in read_log(store)
    assert log_place(store) == str(store.folder / "logs")


def test_a_part_that_is_moved_or_of_another_hospital_is_not_shown(tmp_path: Path) -> None:
    store, south = a_sealed_store(tmp_path), a_sealed_store(tmp_path, "south")
    for each in (store, south):
        try:
            raise RuntimeError(each.hospital)
        except RuntimeError:
            keep_traceback(each)
    (part,) = (south.folder / "logs").iterdir()
    os.replace(part, store.folder / "logs" / part.name)
    with pytest.raises(KeyRefused, match="Where: logs/"):
        read_log(store)
