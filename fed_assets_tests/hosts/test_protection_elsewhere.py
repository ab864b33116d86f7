"""What protects updates, where hospitals are on hosts of their own: whole lifecycles.

Each host is a home of its own, whose processes reach the others through the door alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from fed_assets.federation.policies import ADMIN
from fed_assets.resources.home import Home
from fed_assets.sandboxes.presets import EYES_OFF
from fed_assets_tests.confining import require_root
from fed_assets_tests.hosts.hubs import Consortium, consortium, free_address, start_here

pytestmark = [pytest.mark.long, pytest.mark.timeout(1500)]
CONFINED = {str(name): str(EYES_OFF.value(name)) for name in EYES_OFF.controls()}
BUDGET = {"epsilon": 8.0, "delta": 1e-5, "max_grad_norm": 1.0}


def left_by(made: Consortium, hospital: str, sandbox: str) -> list[str]:
    """Returns what left a hospital in rounds, by the log on its own host."""
    asked = ("outbox", hospital, "--sandbox", sandbox, "--json")
    code, told = made.tell(hospital, *asked)
    assert code == 0, told
    (log,) = json.loads(told)
    assert log["sandbox"] == sandbox
    in_rounds = [each for each in log["entries"] if each["round_number"] is not None]
    return [each["what"] for each in in_rounds if each["kind"] == "left"]


def keepers_at_hub(made: Consortium) -> set[str]:
    return {path.name for path in (made.home.root / "hospitals").iterdir()}


@pytest.fixture(scope="module")
def masked(places: Path) -> Iterator[Consortium]:
    """Yields two hospitals here and two elsewhere in `confidential_vm`; none has approved code."""
    require_root()
    folder = places / "masked"
    folder.mkdir(mode=0o755)
    with consortium(
        folder,
        start_here,
        address=free_address(),
        here=["north", "west"],
        elsewhere=["east", "south"],
        accepts=["confidential_vm"],
        joined=False,
        rounds=2,
        quorum=3,
    ) as made:
        yield made


def test_a_hospital_that_has_approved_no_code_is_told_so_before_it_serves(
    masked: Consortium,
) -> None:
    code, told = masked.tell("east", "hospital", "join", f"{masked.folder / 'east'}.kit")
    words = " ".join(told.split())
    assert code == 1
    assert "east has approved no code" in words
    assert "fed-assets approve-code confidential_vm east" in words
    assert "Connected" not in told
    code, told = masked.tell("east", "approve-code", "confidential_vm")
    assert code == 0, told
    assert told.count("is approved") == 1  # the hospital's own, whatever roster lies there
    assert Home(masked.folder / "east").approval("east", "confidential_vm").exists()
    masked.join("east")


def test_a_round_is_masked_without_a_remote_hospital_that_has_not_approved_the_code(
    masked: Consortium,
) -> None:
    """Its machine is connected: it looked at its images in another sandbox before."""
    (masked.folder / "south" / "hospital.yaml").write_text("accepts: [minimal, confidential_vm]\n")
    masked.join("south")
    code, told = masked.tell("hub", "approve-code", "confidential_vm")
    assert code == 0, told
    assert told.count("is approved") == 3  # north, west and the coordinator
    code, told = masked.tell("hub", "approve-code", "confidential_vm", "south")
    assert code == 1
    assert "Run the same command there" in " ".join(told.split())
    with masked.started_run("confidential_vm") as run:
        federation = masked.wait_for_round(run, "confidential_vm", 1)
        # What signs in a hospital's name is made on its own host, and stays there.
        keys = {path.parts[-3] for path in federation.glob("sites/*/startup/client.key")}
        assert keys - {ADMIN} == {"north", "west"}
        own = Home(masked.folder / "east").federations("confidential_vm")[0]
        assert (own / "sites" / "east" / "startup" / "client.key").exists()
        told, _ = run.communicate(timeout=900)
    words = " ".join(told.split())
    assert run.returncode == 3, told
    assert "south" in words
    assert "has approved no code" in words
    rounds = masked.rounds("confidential_vm")
    assert [each["participants"].keys() for each in rounds] == [{"north", "west", "east"}] * 2
    assert {each["examples"] for each in rounds[-1]["participants"].values()} == {None}


def test_what_a_masked_hospital_keeps_is_on_its_own_host(masked: Consortium) -> None:
    masked.wait_for("east", "is over")
    assert keepers_at_hub(masked) == {"north", "west", "coordinator"}
    own = Home(masked.folder / "east")
    assert own.key_file("east", "confidential_vm").exists()
    assert left_by(masked, "east", "confidential_vm") == [
        "keys of secure aggregation",
        "sealed shares of its secrets",
        "masked update",
        "figures of the update",
        "shares of secrets of its peers",
    ] * len(masked.rounds("confidential_vm"))


def test_a_masked_round_goes_on_without_a_hospital_whose_host_goes_away(
    masked: Consortium,
) -> None:
    code, told = masked.tell("south", "approve-code", "confidential_vm")
    assert code == 0, told
    known = masked.home.federations("confidential_vm")
    with masked.started_run("confidential_vm", "--rounds", "4") as run:
        masked.wait_for_round(run, "confidential_vm", 1, known)
        masked.serving("east").kill()
        told, _ = run.communicate(timeout=900)
    assert run.returncode == 3, told
    assert "its client ended (signal 9)" in " ".join(told.split())
    rounds = masked.rounds("confidential_vm")
    assert len(rounds) == 4
    assert rounds[0]["participants"].keys() == {"north", "west", "east", "south"}
    assert rounds[-1]["participants"].keys() == {"north", "west", "south"}


@pytest.fixture(scope="module")
def private(places: Path) -> Iterator[Consortium]:
    """Yields one hospital here and two elsewhere, which train privately behind their walls."""
    require_root()
    folder = places / "private"
    folder.mkdir(mode=0o755)
    with consortium(
        folder,
        start_here,
        address=free_address(),
        here=["north"],
        elsewhere=["east", "south"],
        accepts=["configurable"],
        controls=CONFINED | {"update_protection": "differential_privacy", **BUDGET},
        rounds=2,
        quorum=2,
    ) as made:
        yield made


def test_a_hospital_spends_its_budget_on_its_own_host(private: Consortium) -> None:
    code, told = private.run("configurable", "--leave-out", "south")
    assert code == 0, told
    rounds = private.rounds("configurable")
    assert [each["participants"].keys() for each in rounds] == [{"north", "east"}] * 2
    spent = rounds[-1]["participants"]["east"]["epsilon"]
    assert 7.9 < spent <= 8
    own = Home(private.folder / "east").store("east", "configurable")
    assert (own / "privacy.jsonl").exists()
    assert keepers_at_hub(private) == {"north", "coordinator"}
    code, told = private.tell("east", "budget", "east", "configurable", "--json")
    assert code == 0, told
    assert json.loads(told[told.index("{") :])["epsilon"] == spent
    code, told = private.tell("hub", "budget", "east", "configurable")
    assert code == 1
    assert "east is on a host of its own" in " ".join(told.split())


def test_a_remote_hospital_whose_budget_is_spent_ends_the_run_before_it_begins(
    private: Consortium,
) -> None:
    before = private.home.federations("configurable")
    code, told = private.run("configurable")
    assert code == 1
    assert "1 hospitals may take part, and 2 have to" in told
    assert "north, east: The hospital's privacy budget is used up" in told
    assert private.home.federations("configurable") == before


def test_hospitals_elsewhere_encrypt_by_a_key_that_the_hub_never_has(places: Path) -> None:
    require_root()
    folder = places / "encrypted"
    folder.mkdir(mode=0o755)
    with consortium(
        folder,
        start_here,
        address=free_address(),
        here=[],
        elsewhere=["north", "east", "south"],
        accepts=["configurable"],
        controls=CONFINED | {"update_protection": "homomorphic_encryption"},
        rounds=2,
    ) as made:
        with made.started_run("configurable") as run:
            federation = made.wait_for_round(run, "configurable", 1)
            contexts = [path.name for path in made.home.root.rglob("*.tenseal")]
            assert contexts == ["server_context.tenseal"]  # parameters, and no key
            own = Home(folder / "east").federations("configurable")[0]
            key = own / "sites" / "east" / "startup" / "client_context.tenseal"
            assert key.exists()
            told, _ = run.communicate(timeout=900)
        assert run.returncode == 0, told
        rounds = made.rounds("configurable")
        assert [each["missing"] for each in rounds] == [{}, {}]
        for report in rounds[-1]["participants"].values():
            assert report["examples"] is None
            assert report["decryption"] == "as others"
        assert list(federation.rglob("*.tenseal")) == []
        made.wait_for("east", "is over")
        assert not key.exists()
        assert left_by(made, "east", "configurable").count("encrypted update") == 2
        assert keepers_at_hub(made) == {"coordinator"}
