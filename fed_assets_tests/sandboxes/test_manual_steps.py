"""What is listed as done by hand: without it the sandbox is refused, or does not work."""

from __future__ import annotations

import json
import os
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from fed_assets.errors import (
    CodeRefused,
    DisclosureRefused,
    IncompatibleControls,
    KeyRefused,
    SandboxError,
)
from fed_assets.hospital.attestation.approval import approve
from fed_assets.hospital.attestation.attested_key import AttestedKey
from fed_assets.hospital.key_vault import KeyVaultKey
from fed_assets.hospital.named_classes import require_named_classes
from fed_assets.sandboxes.manual_steps import Step, manual_steps, number_of
from fed_assets.sandboxes.presets import (
    CONFIDENTIAL_VM,
    CONFIGURABLE,
    EYES_OFF,
    EYES_ON,
    MINIMAL,
    SANDBOX_NAMES,
    SHIPPED_CONFIGURABLE,
    find_sandbox,
)
from fed_assets.sandboxes.sandbox import Sandbox, read_sandbox
from fed_assets_tests.confining import BECOMES, require_landlock, run_module

CAPPED = "fed_assets_tests.resources.capped_home"
HOSPITALS = ("north", "east")
IN_VAULT = {"key_custody": "azure_key_vault", "key_vault": "https://v.vault.azure.net/keys/x"}


def steps_of(sandbox: Sandbox, *sources: str) -> tuple[Step, ...]:
    return manual_steps(sandbox, HOSPITALS, coordinator="coordinator", sources=sources)


def kinds(sandbox: Sandbox, *sources: str) -> list[str]:
    return [step.kind for step in steps_of(sandbox, *sources)]


def test_what_is_asked_of_people_rises_with_what_is_promised() -> None:
    numbers = [number_of(steps_of(find_sandbox(name), "medmnist")) for name in SANDBOX_NAMES]
    # Two hospitals and the coordinator approve code, and somebody lets confined runs be confined.
    assert numbers == [0, 0, 1, 4, 1]


def test_every_step_says_who_and_what_is_typed() -> None:
    steps = [step for name in SANDBOX_NAMES for step in steps_of(find_sandbox(name), "folder")]
    assert all(step.who and step.command for step in steps)
    approve = next(step for step in steps if step.kind == "approve_code")
    assert approve.who == ("north", "east", "coordinator")
    assert approve.command == "fed-assets approve-code confidential_vm HOSPITAL"
    assert approve.as_record()["who"] == ["north", "east", "coordinator"]


def test_without_approval_code_gets_no_key(tmp_path: Path) -> None:
    assert "approve_code" in kinds(CONFIDENTIAL_VM)
    assert "approve_code" not in kinds(EYES_OFF)
    keys = tmp_path / "keys"
    with closing(AttestedKey("north", keys / "cvm.json", keys / "cvm.approval.json")) as key:
        with pytest.raises(CodeRefused, match="approved no code"):
            key.provide()
        approve(key.approval, "north", "a test")
        key.provide()
        key.attest()


def test_without_root_or_landlock_nothing_is_confined(places: Path) -> None:
    assert "allow_walls" in kinds(EYES_OFF)
    assert "allow_walls" not in kinds(EYES_ON)
    require_landlock()
    folder = places / "no_walls"
    folder.mkdir()
    if BECOMES is not None:
        os.chown(folder, BECOMES, BECOMES)
    ran = run_module(CAPPED, str(folder / "home"), "no_landlock", user=BECOMES)
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)["error"]
    assert "process=confined cannot be enforced on this machine" in told
    assert "Run as root, or on a kernel whose Landlock" in told


def test_without_classes_in_the_roster_folders_are_not_read() -> None:
    assert "name_classes" in kinds(EYES_OFF, "medmnist", "folder")
    assert "name_classes" in kinds(EYES_OFF, "dicom")
    assert "name_classes" not in kinds(EYES_OFF, "medmnist", "phantom")
    assert "name_classes" not in kinds(EYES_ON, "folder")
    arguments: dict[str, Any] = {"source": {"kind": "folder", "path": "/data"}}
    with pytest.raises(DisclosureRefused, match="classes"):
        require_named_classes("prepare_images", arguments, EYES_OFF.suppressed_below)
    require_named_classes("prepare_images", arguments, EYES_ON.suppressed_below)
    arguments["classes"] = ["normal", "pneumonia"]
    require_named_classes("prepare_images", arguments, EYES_OFF.suppressed_below)


def test_a_sandbox_of_ones_own_is_written_and_the_shipped_one_is_not(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    with pytest.raises(SandboxError, match="cannot be read"):
        read_sandbox(own)
    own.write_text(SHIPPED_CONFIGURABLE.read_text())
    assert "write_sandbox" not in kinds(find_sandbox(CONFIGURABLE, configurable=own))
    own.write_text(own.read_text().replace("tolerated: 2", "tolerated: 1"))
    assert "write_sandbox" in kinds(find_sandbox(CONFIGURABLE, configurable=own))


def in_vault(**changes: str) -> Sandbox:
    controls = {name: EYES_OFF.value(name) for name in EYES_OFF.controls()}
    controls["previews"] = False
    return Sandbox(name=CONFIGURABLE, **{**controls, **IN_VAULT, **changes})


class EmptyVault:
    """A vault, of Azure's own kinds of answers, in which nobody has made a key."""

    def newest(self, url: str) -> str:
        from azure.core.exceptions import ResourceNotFoundError

        raise ResourceNotFoundError("KeyNotFound")

    def client(self, key_id: str) -> Any:
        raise AssertionError("there is no key to use")


def test_without_a_key_in_the_vault_nothing_is_sealed() -> None:
    with pytest.raises(IncompatibleControls, match="a key of its own"):
        in_vault()
    sandbox = in_vault(key_vault="https://v.vault.azure.net/keys/{hospital}")
    assert kinds(sandbox) == ["write_sandbox", "allow_walls", "make_key", "grant_key"]
    assert number_of(steps_of(sandbox)) == 2 + 2 * 3
    with pytest.raises(KeyRefused, match="Make the key in that vault, and give the identity"):
        KeyVaultKey(sandbox.vault_key("north"), EmptyVault()).provide()


def test_minimal_asks_for_nothing_whatever_the_images() -> None:
    assert kinds(MINIMAL, "folder", "dicom") == []
