"""A hospital's machine in Azure ML, at the double: its job joins at a real door, and serves."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from fed_assets.errors import (
    CloudRefused,
    DoorUnreachable,
    HostAway,
    HostRefused,
    KitRefused,
    RunConfigError,
    WorkerFailed,
)
from fed_assets.hosts.desk import Desk
from fed_assets.hosts.door import Door
from fed_assets.resources.azure_hosts import AzureHosts
from fed_assets.resources.azure_runner import AzureMLHospitalRunner
from fed_assets.resources.home import Home
from fed_assets.resources.host_terms import kits_for, terms_for
from fed_assets.resources.remote_hospitals import RemoteHospitals
from fed_assets.resources.settings import Settings
from fed_assets.sandboxes.presets import EYES_OFF, EYES_ON
from fed_assets.sandboxes.sandbox import Sandbox
from fed_assets_tests.azure_ml.service import Fault
from fed_assets_tests.azure_ml.setting import HOSPITAL, Setting, azure_setting, write_command
from fed_assets_tests.azure_storage import Azurite
from fed_assets_tests.hosts.machines import within
from fed_assets_tests.networks import SMALL_RESNET

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::dagster.PreviewWarning"),
]
PHANTOMS = {
    "source": {"kind": "phantom", "images": 40, "test_images": 8, "size": 16},
    "image_size": 16,
    "seed": 0,
}


@dataclass
class Hub:
    """A hub with an open door, and a hospital whose machine is at the double."""

    setting: Setting
    home: Home
    door: Door
    said: list[str]
    way: RemoteHospitals
    lost: threading.Event = field(default_factory=threading.Event)
    why: str = ""

    def lose(self, why: str) -> None:
        self.why = why
        self.lost.set()

    def machines(self, runner: AzureMLHospitalRunner | None = None) -> AzureHosts:
        runner = runner or self.setting.runner()
        return AzureHosts(runner, [HOSPITAL], self.way, 300, self.said.append)

    def bring_up(self, **changes: Any) -> None:
        with self.machines(self.setting.runner(**changes)) as machines:
            machines.bring_up(HOSPITAL, self.lose)

    def statuses(self) -> list[str]:
        return [job.status for job in self.setting.double.jobs.values()]

    def log(self) -> str:
        return "".join(
            (job.folder / "std_log.txt").read_text() for job in self.setting.double.jobs.values()
        )

    def let(self, **entries: Any) -> None:
        """Has the hospital write what it lets its machine do."""
        (self.setting.home / "hospital.yaml").write_text(yaml.safe_dump(entries))


@pytest.fixture
def hub(
    tmp_path: Path,
    azurite: Azurite,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Hub]:
    with ExitStack() as stack:
        setting = stack.enter_context(azure_setting(tmp_path, azurite, monkeypatch))
        home, roster = Home(tmp_path / "hub").prepare(), tmp_path / "roster.yaml"
        chosen, said = Settings(home, roster), list[str]()
        desk = Desk(home.hosts, terms_for(chosen), kits_for(chosen))
        stack.callback(desk.close)
        door = Door(home.hosts, home.revocations, desk, ("127.0.0.1", 0), said.append)
        stack.callback(door.close)
        north = {
            "id": HOSPITAL,
            "name": "North",
            "source": {"kind": "phantom"},
            "azure_ml": setting.place.model_dump(mode="json"),
        }
        entries = {
            "title": "One in Azure ML",
            "data": {"source": {"kind": "phantom"}},
            "hospitals": [north],
            "network": SMALL_RESNET,
            "federation": {"door": f"127.0.0.1:{door.port}"},
        }
        roster.write_text(yaml.safe_dump(entries))
        way = RemoteHospitals(home.hosts)
        stack.callback(way.close)
        made = Hub(setting, home, door, said, way)
        made.let(accepts=["eyes_on"])
        yield made
        assert setting.double.strange == []
        assert setting.azurite.names(setting.party) == set()  # its kit lay there


def open_site(hub: Hub, site: str = "s1", sandbox: Sandbox = EYES_ON) -> None:
    hub.way._connected().ask(
        {
            "do": "open",
            "hospital": HOSPITAL,
            "site": site,
            "sandbox": sandbox.model_dump(mode="json"),
            "run": "run1",
            "hospitals": [HOSPITAL, "south"],
            "quorum": 2,
            "network": "",
        },
        (),
        120,
    )


def close_site(hub: Hub, site: str = "s1") -> None:
    header = {"do": "close", "hospital": HOSPITAL, "site": site}
    hub.way._connected().ask(header, (), 60)


@pytest.mark.long
def test_a_job_joins_by_its_kit_serves_one_federation_and_ends(hub: Hub) -> None:
    assert hub.way.is_connected(HOSPITAL) is False
    with hub.machines() as machines:
        machines.bring_up("south", hub.lose)  # whose machine is its own affair
        assert hub.setting.double.jobs == {}
        machines.bring_up(HOSPITAL, hub.lose)
        assert hub.way.is_connected(HOSPITAL) is True
        asked = hub.way.ask(EYES_ON, HOSPITAL, "prepare_images", PHANTOMS, "run 1", 120)
        assert asked["images"] == 48
        other = RemoteHospitals(hub.home.hosts)
        with pytest.raises(HostAway, match="works for another run"):
            other.kit(HOSPITAL)
        other.close()
        open_site(hub)
        close_site(hub)
    assert hub.statuses() == ["Completed"]
    (job,) = hub.setting.double.jobs.values()
    assert job.described["command"] == (
        f"python -m fed_assets.resources.azure_host north {hub.setting.place.messages} "
        '"${{outputs.home}}" "${{inputs.images}}"'
    )
    # Who it was is gone with its compute; what the hospital keeps is in its own home, and not here.
    store = hub.setting.home / "hospitals" / HOSPITAL / "eyes_on"
    assert (store / "outbox.jsonl").is_file()
    assert not hub.home.hospitals.exists()
    assert not list(hub.setting.home.rglob("*.pem"))
    assert [path for path in hub.setting.home.iterdir() if path.name == "federations"] == []
    assert not hub.lost.is_set()
    # The next federation's machine gets a kit of its own.
    hub.let(accepts=["eyes_on"], fingerprint="00" * 32)
    with pytest.raises(KitRefused, match="not of yours"):
        hub.bring_up()
    assert hub.statuses() == ["Completed", "Completed"]


def test_a_machine_that_opens_no_site_says_why_and_ends_by_itself(hub: Hub) -> None:
    with hub.machines() as machines:
        machines.bring_up(HOSPITAL, hub.lose)
        with pytest.raises(HostRefused, match="does not accept the sandbox eyes_off"):
            open_site(hub, sandbox=EYES_OFF)
        assert hub.lost.wait(60)
    assert hub.statuses() == ["Completed"]


def test_a_machine_that_the_hospital_lets_do_nothing_does_not_join(hub: Hub) -> None:
    (hub.setting.home / "hospital.yaml").unlink()
    with pytest.raises(RunConfigError, match=r"settings.*hospital\.yaml"):
        hub.bring_up()
    assert not any("connected" in line for line in hub.said)


def test_a_machine_that_does_not_reach_the_door_says_at_which_step(hub: Hub) -> None:
    hub.door.close()
    with pytest.raises(DoorUnreachable, match=r"is not ready: port.*Connection refused"):
        hub.bring_up()


def test_the_kit_of_another_hospital_is_not_taken(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    south = hub.home.root.parent / "roster.yaml"
    entries = yaml.safe_load(south.read_text())
    (north,) = entries["hospitals"]
    messages = north["azure_ml"]["messages"] + "-south"
    own = north["azure_ml"] | {"workspace": "south-ws", "messages": messages}
    entries["hospitals"].append(north | {"id": "south", "azure_ml": own})
    south.write_text(yaml.safe_dump(entries))
    monkeypatch.setattr(hub.way, "kit", lambda _: RemoteHospitals.kit(hub.way, "south"))
    with pytest.raises(KitRefused, match=r"sent the start-up kit of another hospital.*south"):
        hub.bring_up()
    assert not any("connected" in line for line in hub.said)


def test_a_kit_is_made_for_hospitals_in_azure_ml_alone(hub: Hub) -> None:
    with pytest.raises(KitRefused, match="no machine of south in Azure ML"):
        hub.way.kit("south")


def test_a_job_that_fails_at_its_start_is_said(hub: Hub) -> None:
    write_command(hub.setting.double.image, "exit 1")
    with pytest.raises(WorkerFailed, match=r"of north ended as Failed in the task serve"):
        hub.bring_up()
    hub.setting.double.faults.append(Fault("PUT", 403, "AuthorizationFailed"))
    with pytest.raises(CloudRefused, match=r"status 403.*AzureML Data Scientist"):
        hub.bring_up()


def test_a_pool_without_nodes_is_given_up(hub: Hub) -> None:
    hub.setting.double.compute_is_free.clear()
    with pytest.raises(WorkerFailed, match="waited for its compute for more than 1 s; it was canc"):
        hub.bring_up(start_timeout_seconds=1)
    assert hub.statuses() == ["Canceled"]


def test_a_machine_whose_compute_is_taken_away_is_lost(hub: Hub) -> None:
    with hub.machines() as machines:
        machines.bring_up(HOSPITAL, hub.lose)
        (job,) = hub.setting.double.jobs.values()
        job.preempt()
        assert hub.lost.wait(60)
    assert "lost its compute" in hub.why
    assert within(10, lambda: any("lost its compute" in line for line in hub.said))
    assert hub.statuses() == ["Canceled"]


def test_a_machine_whose_job_somebody_cancels_is_lost(hub: Hub) -> None:
    with hub.machines() as machines:
        machines.bring_up(HOSPITAL, hub.lose)
        (job,) = hub.setting.double.jobs.values()
        job.cancel()
        assert hub.lost.wait(60)
    assert within(10, lambda: any("ended as Canceled" in line for line in hub.said))


def test_machines_are_cancelled_where_their_run_fails(hub: Hub) -> None:
    with pytest.raises(ZeroDivisionError), hub.machines() as machines:
        machines.bring_up(HOSPITAL, hub.lose)
        raise ZeroDivisionError
    assert hub.statuses() == ["Canceled"]
    assert not hub.lost.is_set()
    assert not any("has ended" in line for line in hub.said)


def test_who_gives_up_does_not_wait_for_a_machine(hub: Hub) -> None:
    hub.setting.double.compute_is_free.clear()
    with hub.machines() as machines:
        threading.Timer(1, machines.give_up).start()
        with pytest.raises(WorkerFailed, match="ended before it joined"):
            machines.bring_up(HOSPITAL, hub.lose)
    assert hub.statuses() == ["Canceled"]
