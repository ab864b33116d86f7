from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from fed_assets.errors import CodeRefused, KeyRefused
from fed_assets.hospital.attestation.approval import approve, attester_file, read_approval
from fed_assets.hospital.attestation.measurement import measure


def test_each_approval_is_on_record_with_its_time_and_who_gave_it(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "cvm.approval.json"
    assert approve(path, "north", "officer") == {"measurement": measure(), "before": None}
    assert approve(path, "north", "deputy") == {"measurement": measure(), "before": measure()}
    approval = read_approval(path, "north")
    assert [each["by"] for each in approval.approvals] == ["officer", "deputy"]
    assert approval.measurement == measure()
    assert approval.policy["anyOf"][0]["allOf"][-1]["equals"] == measure()


def test_record_and_attesters_key_are_the_hospitals_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "cvm.approval.json"
    approve(path, "north", "officer")
    files = [path, attester_file(path)]
    assert sorted(path.parent.iterdir()) == sorted(files)
    assert [stat.S_IMODE(each.stat().st_mode) for each in files] == [0o600, 0o600]
    secret = json.loads(attester_file(path).read_text())["d"]
    assert secret not in path.read_text()


def test_the_attesters_key_is_drawn_once(tmp_path: Path) -> None:
    path = tmp_path / "cvm.approval.json"
    approve(path, "north", "officer")
    key = attester_file(path).read_bytes()
    approve(path, "north", "officer")
    assert attester_file(path).read_bytes() == key


def test_without_a_record_nothing_is_approved(tmp_path: Path) -> None:
    with pytest.raises(CodeRefused, match="has approved no code"):
        read_approval(tmp_path / "cvm.approval.json", "north")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o666])
def test_a_record_that_others_could_have_changed_is_not_relied_on(
    tmp_path: Path, mode: int
) -> None:
    path = tmp_path / "cvm.approval.json"
    approve(path, "north", "officer")
    path.chmod(mode)
    with pytest.raises(KeyRefused, match=f"mode {mode:04o}"):
        read_approval(path, "north")
    with pytest.raises(KeyRefused, match=f"mode {mode:04o}"):
        approve(path, "north", "officer")
    path.chmod(0o600)
    assert read_approval(path, "north").measurement


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_another_users_record_is_not_relied_on(tmp_path: Path) -> None:
    path = tmp_path / "cvm.approval.json"
    approve(path, "north", "officer")
    os.chown(path, 65534, -1)
    with pytest.raises(KeyRefused, match="user 65534"):
        read_approval(path, "north")


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"hospital": "north", "approvals": [], "policy": {}, "verifier": {}}', "nul"],
)
def test_a_damaged_record_is_told_of(tmp_path: Path, content: str) -> None:
    path = tmp_path / "cvm.approval.json"
    path.touch(mode=0o600)
    path.write_text(content)
    with pytest.raises(KeyRefused, match="is damaged"):
        read_approval(path, "north")


def test_another_hospitals_record_and_a_link_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "cvm.approval.json"
    approve(path, "south", "officer")
    with pytest.raises(KeyRefused, match="is damaged"):
        read_approval(path, "north")
    link = tmp_path / "link.approval.json"
    link.symlink_to(path)
    with pytest.raises(KeyRefused, match="cannot be read"):
        read_approval(link, "south")
