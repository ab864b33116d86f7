"""A key that real brokers and attesters release, each pair in processes of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from fed_assets.errors import CodeRefused, KeyRefused, error_from_record
from fed_assets.hospital.attestation.approval import approve
from fed_assets.hospital.attestation.attested_key import AttestedKey
from fed_assets.hospital.attestation.measurement import measure, package_folder
from fed_assets.hospital.custody import HospitalKey
from fed_assets.hospital.files import Store
from fed_assets.hospital.store import open_store, pseudonym_salt, rotate_key
from fed_assets_tests.leftovers import called

DATA_KEY = bytes(range(32))
# What a hospital's process does that reads its store, or says why it may not.
READ = """
import json, sys
from pathlib import Path
from fed_assets.errors import FedAssetsError
from fed_assets.hospital.files import Store
from fed_assets.hospital.store import open_store, pseudonym_salt
folder = Path(sys.argv[1])
record = {"store": str(folder / "store"), "storage": "sealed", "key_custody": "attested",
          "key_file": str(folder / "keys" / "cvm.json"),
          "approval": str(folder / "keys" / "cvm.approval.json")}
try:
    print(json.dumps({"salt": pseudonym_salt(open_store(Store.of("north", record))).hex()}))
except FedAssetsError as error:
    print(json.dumps(error.as_record()))
"""


def a_key(folder: Path) -> AttestedKey:
    keys = folder / "keys"
    return AttestedKey("north", keys / "cvm.json", keys / "cvm.approval.json")


def in_file(folder: Path) -> HospitalKey:
    return HospitalKey(folder / "keys" / "cvm.json", "north")


@pytest.fixture
def key(tmp_path: Path) -> Iterator[AttestedKey]:
    approve(tmp_path / "keys" / "cvm.approval.json", "north", "a test")
    with closing(a_key(tmp_path)) as key:
        key.provide()
        yield key


def beside() -> list[psutil.Process]:
    """The brokers and attesters that this process has started."""
    children = psutil.Process().children(recursive=True)
    return [each for each in children if "fed_assets.hospital.attestation" in called(each)]


def test_what_is_wrapped_comes_back_to_any_process_of_the_hospital(
    key: AttestedKey, tmp_path: Path
) -> None:
    wrapped = key.wrap(DATA_KEY)
    assert key.unwrap(wrapped) == DATA_KEY
    assert in_file(tmp_path).unwrap(wrapped) == DATA_KEY
    with closing(a_key(tmp_path)) as other:
        assert other.unwrap(wrapped) == DATA_KEY


def test_a_key_that_another_process_rotated_is_asked_for_anew(
    key: AttestedKey, tmp_path: Path
) -> None:
    before = key.wrap(DATA_KEY)
    in_file(tmp_path).renew()
    wrapped = key.wrap(DATA_KEY)
    assert wrapped.key_id == in_file(tmp_path).key_id != before.key_id
    assert key.unwrap(before) == DATA_KEY
    key.forget_old()
    with pytest.raises(KeyRefused, match="does not hold"):
        key.unwrap(before)
    assert key.unwrap(wrapped) == DATA_KEY


def test_a_store_is_rotated_through_the_broker(key: AttestedKey, tmp_path: Path) -> None:
    store = open_store(Store(tmp_path / "store", "north", key))
    salt, before = pseudonym_salt(store), key.key_id
    assert rotate_key(store) == 1
    assert key.key_id != before
    assert pseudonym_salt(store) == salt


def test_broker_and_attester_end_with_whoever_started_them(tmp_path: Path) -> None:
    approve(tmp_path / "keys" / "cvm.approval.json", "north", "a test")
    with closing(a_key(tmp_path)) as key:
        key.provide()
        started = beside()
        assert len(started) == 2
        assert {len(each.net_connections("inet")) for each in started} == {0}
        assert not any(str(tmp_path) in part for each in started for part in each.cmdline())
    _, alive = psutil.wait_procs(started, timeout=5)
    assert alive == []
    killed = "; ".join(
        [
            READ.partition("try:")[0].strip().replace("\n          ", " ").replace("\n", "; "),
            "s = open_store(Store.of('north', record)); pseudonym_salt(s)",
            "print('ready', flush=True); sys.stdin.read()",
        ]
    )
    command = [sys.executable, "-c", killed, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        started = psutil.Process(process.pid).children(recursive=True)
        assert len(started) == 2
        process.send_signal(signal.SIGKILL)
    _, alive = psutil.wait_procs(started, timeout=5)
    assert alive == []


def test_a_broker_that_was_killed_is_started_again_when_it_is_next_asked(
    key: AttestedKey,
) -> None:
    wrapped, killed = key.wrap(DATA_KEY), beside()
    for each in killed:
        each.kill()
    psutil.wait_procs(killed, timeout=5)
    key.attest()
    assert key.unwrap(wrapped) == DATA_KEY
    assert len(beside()) == 2


def test_nothing_comes_of_a_key_before_code_was_approved(tmp_path: Path) -> None:
    with closing(a_key(tmp_path)) as key:
        with pytest.raises(CodeRefused, match="north has approved no code"):
            key.provide()
        assert not (tmp_path / "keys").exists()
        approve(tmp_path / "keys" / "cvm.approval.json", "north", "a test")
        key.provide()
        assert key.unwrap(key.wrap(DATA_KEY)) == DATA_KEY


def read_by(copy: Path, folder: Path) -> dict[str, str]:
    """Returns what a process answers that runs another copy of the package."""
    environment = os.environ | {"PYTHONPATH": str(copy), "PYTHONSAFEPATH": "1"}
    ran = subprocess.run(
        [sys.executable, "-B", "-c", READ, str(folder)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.stdout, ran.stderr
    return dict(json.loads(ran.stdout))


def test_one_changed_training_file_gets_no_key_and_opens_nothing(
    key: AttestedKey, tmp_path: Path
) -> None:
    salt = pseudonym_salt(open_store(Store(tmp_path / "store", "north", key))).hex()
    copy = tmp_path / "copy"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(package_folder(), copy / "fed_assets", ignore=ignored)
    assert read_by(copy, tmp_path) == {"salt": salt}
    training = copy / "fed_assets" / "hospital" / "training.py"
    approved = training.read_bytes()
    training.write_bytes(approved + b"\n# keeps a copy of each image\n")
    refusal = read_by(copy, tmp_path)
    assert refusal["kind"] == "CodeRefused"
    assert refusal["seen"] == f"measurement {measure(copy / 'fed_assets')}, approved {measure()}"
    assert "fed-assets approve-code cvm north" in str(error_from_record(refusal))
    training.write_bytes(approved)
    assert read_by(copy, tmp_path) == {"salt": salt}
