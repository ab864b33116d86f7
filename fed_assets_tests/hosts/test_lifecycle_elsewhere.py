"""Whole lifecycles with hospitals on hosts of their own."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from fed_assets.hosts.identity import OWN
from fed_assets_tests.hosts.hubs import (
    Consortium,
    consortium,
    start_here,
    started_run,
    wait_for_round,
)
from fed_assets_tests.hosts.network import HUB, Network, network, why_not

pytestmark = [pytest.mark.long, pytest.mark.timeout(1500)]
CUT_SECONDS = 30.0


@pytest.fixture(scope="module")
def apart() -> Iterator[Network]:
    if reason := why_not():
        pytest.skip(reason)
    with network(["east", "south"]) as made:
        for hospital in ("east", "south"):
            made.tell(hospital, "delay 0.025")  # 50 ms there and back
            made.tell(hospital, "loss 0.005")
        yield made


@pytest.fixture(scope="module")
def sealed(apart: Network, places: Path) -> Iterator[Consortium]:
    """Yields the hub with one hospital, and two on hosts of their own, in the sealed sandbox."""
    with consortium(
        places,
        apart.start,
        address=f"{HUB}:8443",
        here=["north"],
        elsewhere=["east", "south"],
        sandbox="eyes_off",
        rounds=8,
    ) as made:
        yield made


def test_a_sealed_lifecycle_runs_across_hosts_and_one_that_is_cut_off_comes_back(
    sealed: Consortium, apart: Network
) -> None:
    with started_run(sealed, "eyes_off") as run:
        wait_for_round(sealed, run, 1)
        began = time.monotonic()
        apart.tell("east", "cut")
        code, told = sealed.tell("east", "doctor", "--hospital")
        assert code == 1
        assert "nothing came back within" in told
        time.sleep(max(0.0, CUT_SECONDS - (time.monotonic() - began)))
        apart.tell("east", "mend")
        told, _ = run.communicate(timeout=900)
        assert run.returncode == 0, told
    rounds = sealed.rounds("eyes_off")
    assert len(rounds) == 8
    assert rounds[0]["participants"].keys() == rounds[-1]["participants"].keys()
    assert rounds[-1]["participants"].keys() == {"north", "east", "south"}
    sealed.wait_for("east", "Connected with the door", times=2)
    assert "Not connected: nothing was heard" in sealed.log("east")
    assert "Not connected" not in sealed.log("south")
    for hospital in ("east", "south"):
        assert apart.tell(hospital, "count")["opened_from_outside"] == 0


def test_what_a_hospital_keeps_is_on_its_own_host_alone(sealed: Consortium) -> None:
    hub = sealed.home.root
    assert {path.name for path in (hub / "hospitals").iterdir()} == {"north", "coordinator"}
    store = sealed.folder / "east" / "hospitals" / "east" / "eyes_off"
    assert (store / "outbox.jsonl").exists()
    assert (store.parent / "keys" / "eyes_off.json").exists()
    code, told = sealed.tell("east", "outbox", "east", "--sandbox", "eyes_off", "--verify")
    assert code == 0, told
    code, told = sealed.tell("hub", "outbox", "east", "--sandbox", "eyes_off")
    assert code == 1
    assert "Run the same command there" in " ".join(told.split())


def test_no_key_is_left_once_the_federation_is_over(sealed: Consortium) -> None:
    sealed.wait_for("east", "is over")
    for host in ("hub", "east", "south"):
        assert list((sealed.folder / host / "federations").rglob("*.key")) == []
    assert (sealed.folder / "east" / "host" / OWN).exists()


def test_a_host_whose_process_is_killed_serves_again(sealed: Consortium) -> None:
    keeper = psutil.Process(sealed.running["south"].pid)
    (serving,) = [
        each
        for each in keeper.children(recursive=True)
        if "fed_assets.resources.host_process" in each.cmdline()
    ]
    before = sealed.log("south").count("Connected with the door")
    serving.kill()
    sealed.wait_for("south", "is started again in 1 s")
    sealed.wait_for("south", "Connected with the door", times=before + 1)


def test_a_sandbox_that_a_hospital_does_not_accept_goes_without_it(sealed: Consortium) -> None:
    with started_run(sealed, "eyes_on") as run:
        told, _ = run.communicate(timeout=600)
        assert run.returncode == 1
    words = " ".join(told.split())
    assert "This hospital does not accept the sandbox eyes_on" in words
    assert "1 hospitals may take part, and 3 have to" in words


def test_on_one_machine_two_here_and_one_elsewhere_make_a_federation(tmp_path: Path) -> None:
    with consortium(
        tmp_path,
        start_here,
        address="127.0.0.1:18444",
        here=["north", "south"],
        elsewhere=["east"],
        sandbox="eyes_on",
        rounds=2,
    ) as made:
        with started_run(made, "eyes_on") as run:
            told, _ = run.communicate(timeout=900)
            assert run.returncode == 0, told
        assert [len(each["participants"]) for each in made.rounds("eyes_on")] == [2 + 1] * 2
        issued = json.loads((made.home.hosts / "issued.json").read_text())
        assert issued["east"]["kit"] == ""  # it was used, and serves nobody else
