"""What a run makes of hospitals on machines of their own that it does not reach."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fed_assets.errors import HostAway, WorkerFailed
from fed_assets.federation.elsewhere import Elsewhere
from fed_assets.federation.plan import FederationPlan
from fed_assets.federation.site_key import rsa_key
from fed_assets.hosts.authority import open_authority
from fed_assets.hosts.calls import Calls
from fed_assets.hosts.desk_socket import reach_desk
from fed_assets.hosts.identity import take_up
from fed_assets.hosts.issued import Issued
from fed_assets.hosts.kit import make_kit, read_kit
from fed_assets.resources.remote_hospitals import RemoteHospitals
from fed_assets.resources.remote_sites import RemoteSite, share_key
from fed_assets.sandboxes.presets import EYES_ON
from fed_assets_tests.hosts.machines import machine, open_door, within


@pytest.fixture
def plan(tmp_path: Path) -> FederationPlan:
    folder = tmp_path / "run"
    for name in ("north", "south"):
        (folder / "sites" / name).mkdir(parents=True)
    return FederationPlan(
        sandbox="eyes_on",
        transport="mtls",
        job_code="submitted",
        hospitals=("north", "south"),
        stores={"south": str(tmp_path / "store")},
        remote={"north": ""},
        folder=str(folder),
        outbox=str(folder / "outbox"),
        initial_weights=str(folder / "initial.safetensors"),
        rounds=1,
        seed=0,
        recipe={},
        network={},
        classes=2,
        channels=1,
        quorum=1,
    )


def test_without_a_door_those_behind_it_are_missed_and_the_run_goes_on(
    plan: FederationPlan, tmp_path: Path
) -> None:
    way, said = RemoteHospitals(tmp_path / "hosts"), list[str]()
    with way.sites(EYES_ON, plan, ["north"], said.append) as joined:
        assert rsa_key(joined.remote["north"]).key_size >= 2048
        site = Elsewhere(Path(plan.folder) / "sites" / "north")
        assert within(5, lambda: site.ended() == 1)
    assert len(said) == 1
    assert said[0].startswith("north takes no part: No door is open")


class Failing:
    """A machine that does not come up, or while it does the run is interrupted."""

    def __init__(self, *, comes_up: bool) -> None:
        self._comes_up = comes_up
        self.given_up = threading.Event()

    def bring_up(self, hospital: str, lost: Callable[[], None]) -> None:
        if not self._comes_up:
            raise WorkerFailed(f"The job of {hospital} ended as Failed")
        raise KeyboardInterrupt

    def give_up(self) -> None:
        self.given_up.set()


def test_a_machine_that_does_not_come_up_is_missed(plan: FederationPlan, tmp_path: Path) -> None:
    hub, said = tmp_path / "hosts", list[str]()
    with open_door(hub):
        way = RemoteHospitals(hub)
        machines = Failing(comes_up=False)
        with way.sites(EYES_ON, plan, ["north"], said.append, machines):
            site = Elsewhere(Path(plan.folder) / "sites" / "north")
            assert within(5, lambda: site.ended() == 1)
        way.close()
    (line,) = said
    assert line.startswith("north takes no part: The job of north ended as Failed")
    assert not machines.given_up.is_set()


def test_machines_are_given_up_where_the_run_is_interrupted_meanwhile(
    plan: FederationPlan, tmp_path: Path
) -> None:
    machines = Failing(comes_up=True)
    way = RemoteHospitals(tmp_path / "hosts")
    with (
        pytest.raises(KeyboardInterrupt),
        way.sites(EYES_ON, plan, ["north"], lambda _: None, machines),
    ):
        pass
    assert machines.given_up.is_set()


class Slow:
    """A machine that comes up when it is given up, if at all."""

    def __init__(self) -> None:
        self.given_up = threading.Event()

    def bring_up(self, hospital: str, lost: Callable[[str], None]) -> None:
        self.given_up.wait(20)
        raise WorkerFailed(f"The job of {hospital} was cancelled")

    def give_up(self) -> None:
        self.given_up.set()


def test_an_interrupted_run_does_not_wait_for_machines_that_come_up(
    plan: FederationPlan, tmp_path: Path
) -> None:
    machines, began = Slow(), time.monotonic()
    way = RemoteHospitals(tmp_path / "hosts")
    interrupt = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    interrupt.start()
    with (
        pytest.raises(KeyboardInterrupt),
        way.sites(EYES_ON, plan, ["north"], lambda _: None, machines),
    ):
        pass
    assert machines.given_up.is_set()
    assert time.monotonic() - began < 10


@contextmanager
def nonsense(hub: Path, folder: Path) -> Iterator[None]:
    """Has a machine of north's at the door that answers all that it is asked, and with nonsense."""
    with open_door(hub, away_seconds=60) as door:
        content, made = make_kit(open_authority(hub), "north", door.address, version="1")
        Issued(hub).give_kit("north", made.serial_number)
        (folder / "kit").touch(0o600)
        (folder / "kit").write_bytes(content)
        with machine(take_up(read_kit(folder / "kit"), folder / "north")):
            assert door.heard("is connected", 30)
            yield


def test_a_machine_without_a_key_of_its_site_is_missed(
    plan: FederationPlan, tmp_path: Path
) -> None:
    hub, said = tmp_path / "hosts", list[str]()
    with nonsense(hub, tmp_path):
        way = RemoteHospitals(hub)
        with way.sites(EYES_ON, plan, ["north"], said.append) as joined:
            assert rsa_key(joined.remote["north"]).key_size >= 2048
        way.close()
    assert said[0].startswith("north takes no part: A hospital's host sent no key")


def test_what_a_machine_drew_has_to_be_a_key_for_each(tmp_path: Path) -> None:
    hub = tmp_path / "hosts"
    with nonsense(hub, tmp_path):
        calls = Calls(reach_desk(hub))
        site = RemoteSite("north", "s1", tmp_path, print)
        with pytest.raises(HostAway, match="north: it answered with what is no key for each"):
            share_key(calls, [site], {"north": "its key"})
        calls.close()
    assert site.sealed_key == b""
