"""Hospitals on hosts of their own, as a person types it on either side."""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from fed_assets.hosts.kit import read_kit
from fed_assets.resources.home import Home
from fed_assets_tests.federation.test_azure_ml import PLACE
from fed_assets_tests.places import Place, make_place


@pytest.fixture(scope="module")
def port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return int(unused.getsockname()[1])


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, port: int) -> Place:
    hospitals = [{"id": "north", "name": "north"}]
    hospitals.append({"id": "east", "name": "east", "remote": "share"})
    in_azure_ml = {"azure_ml": PLACE, "source": {"kind": "phantom"}}
    hospitals.append({"id": "west", "name": "west", **in_azure_ml})
    door = {"door": f"localhost:{port}"}
    return make_place(
        tmp_path_factory.mktemp("hosts") / "place", hospitals=hospitals, federation=door
    )


@pytest.fixture(scope="module")
def machine(hub: Place) -> Place:
    """Returns the home of a hospital's machine."""
    home = hub.home.root.parent / "machine"
    known = {name: each for name, each in hub.environment.items() if "FED_ASSETS" not in name}
    known["COLUMNS"] = "300"  # tables on one line a row
    return replace(hub, home=Home(home), environment=known | {"FED_ASSETS_HOME": str(home)})


def tell(place: Place, *command: str) -> tuple[int, str]:
    """Returns how a command ended, and all that it told."""
    told, errors = (process := place.start("fed_assets.cli", *command)).communicate(timeout=100)
    return process.returncode, told + errors


def words(told: str) -> str:
    return " ".join(told.split())


def test_a_kit_is_written_for_a_hospital_elsewhere_alone(hub: Place, port: int) -> None:
    path = hub.home.root.parent / "east.kit"
    code, told = tell(hub, "federation", "kit", "east", "--to", str(path))
    assert code == 0, told
    kit = read_kit(path)
    assert (kit.hospital, kit.address) == ("east", f"localhost:{port}")
    assert kit.fingerprint in told
    assert os.stat(path).st_mode & 0o077 == 0
    code, told = tell(hub, "federation", "kit", "east", "--to", str(path))
    assert code == 1
    assert "File exists" in words(told)
    code, told = tell(hub, "federation", "kit", "north")
    assert code == 1
    assert "has no hospital north on a host of its own. " in words(told)
    code, told = tell(hub, "federation", "kit", "west")
    assert code == 1
    assert "gets a kit for each federation by itself" in words(told)


def test_who_is_reinstated_is_told_to_join_again_where_its_machine_gave_up(hub: Place) -> None:
    again = "have `fed-assets hospital join` started there again; it needs no new kit"
    for hospital, where, said in (
        ("east", (), True),
        ("east", ("--sandbox", "minimal"), False),  # its machine stays connected
        ("north", (), False),
    ):
        assert tell(hub, "federation", "revoke", hospital, *where)[0] == 0
        code, told = tell(hub, "federation", "reinstate", hospital, *where)
        assert code == 0, told
        assert (again in words(told)) == said


def test_a_federation_with_hospitals_elsewhere_does_not_stay_up(hub: Place) -> None:
    code, told = tell(hub, "federation", "up", "minimal")
    assert code == 1
    assert "join each run by certificates of its own" in words(told)


def test_what_a_hospital_keeps_elsewhere_is_asked_for_there(hub: Place) -> None:
    for command in (("outbox", "east"), ("rotate-key", "eyes_off", "east")):
        code, told = tell(hub, *command)
        assert code == 1
        assert "east is on a host of its own" in words(told)


def test_what_a_hospital_keeps_in_azure_ml_is_not_said_to_be_nothing(
    hub: Place, tmp_path: Path
) -> None:
    asked = (
        *(("outbox", "west"), ("budget", "west", "configurable")),
        *(("rotate-key", "eyes_off", "west"), ("approve-code", "confidential_vm", "west")),
    )
    for command in asked:
        code, told = tell(hub, *command)
        assert code == 1
        said = words(told).replace("│ ", "")
        assert "The machine of west is in Azure ML" in said
        assert f"{PLACE['home']} of the workspace {PLACE['workspace']}" in said
        assert "keeps nothing" not in said
    # Where its home is mounted, it is the hospital's own, and looked into.
    home = tmp_path / "mounted"
    home.mkdir(mode=0o700)
    (home / "hospital").write_text("west")
    known = hub.environment | {"FED_ASSETS_HOME": str(home)}
    code, told = tell(replace(hub, environment=known), "outbox", "west")
    assert code == 1
    assert "west has no outbox log" in words(told)
    (home / "hospital").write_text("north")
    code, told = tell(replace(hub, environment=known), "outbox", "west")
    assert "The machine of west is in Azure ML" in words(told)


def test_who_approves_its_code_elsewhere_is_named(hub: Place) -> None:
    code, told = tell(hub, "approve-code", "confidential_vm")
    assert code == 0, told
    for name in ("east", "west"):
        assert f"{name}: nothing was approved, for its machine is another" in words(told)


def test_a_machine_says_what_it_lacks_to_join(hub: Place, machine: Place, port: int) -> None:
    code, told = tell(machine, "hospital", "join")
    assert code == 1
    assert "This machine has not joined yet" in told
    code, told = tell(machine, "doctor", "--hospital")
    assert code == 1
    assert "nobody knows where the door is" in words(told)
    kit = str(hub.home.root.parent / "east.kit")
    Path(kit).chmod(0o644)  # as a copy of it is, where nobody sees to that
    for command in (("hospital", "join", kit), ("doctor", "--hospital", "--kit", kit)):
        code, told = tell(machine, *command)
        assert code == 1
        assert "is open to others" in words(told)
        assert "chmod 600" in words(told)
    Path(kit).chmod(0o600)
    code, told = tell(machine, "hospital", "join", kit, "--fingerprint", "00")
    assert code == 1
    assert "not of yours" in words(told)
    code, told = tell(machine, "hospital", "join", kit)
    assert code == 1
    assert "hospital.yaml" in told
    settings = Path(machine.home.root, "hospital.yaml")
    settings.write_text(f'accepts: [minimal]\nfingerprint: "{"00" * 32}"\n')
    code, told = tell(machine, "hospital", "join", kit)
    assert code == 1
    assert "not of yours" in words(told)
    settings.write_text("accepts: [minimal]\n")
    code, told = tell(machine, "hospital", "join", kit)  # the door is not open
    assert code == 1
    assert "refused" in told
    assert f"localhost:{port}" in told
    code, told = tell(machine, "doctor", "--hospital")
    assert code == 1
    assert "federation door" in words(told).replace("│ ", "")


def test_a_door_needs_an_address(tmp_path: Path) -> None:
    place = make_place(tmp_path / "place")
    code, told = tell(place, "federation", "door")
    assert code == 1
    assert "The roster names no door" in told
