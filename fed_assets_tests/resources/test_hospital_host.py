"""A hospital's own machine answers with its own processes, and keeps to what it accepts."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from fed_assets.errors import HostRefused, RosterError
from fed_assets.federation.site_key import rsa_key, throwaway_key
from fed_assets.hosts.calls import Calls
from fed_assets.hosts.desk_socket import reach_desk
from fed_assets.hosts.drawn_key import SEALED_KEY, draw_key
from fed_assets.resources import hospital_host
from fed_assets.resources.home import Home
from fed_assets.resources.remote_hospitals import RemoteHospitals, record_of
from fed_assets.resources.settings import Settings
from fed_assets.sandboxes.presets import EYES_OFF, EYES_ON, find_sandbox
from fed_assets.sandboxes.sandbox import Sandbox
from fed_assets_tests.hosts.machines import open_door, serving, within

IMAGES = {
    "source": {"kind": "phantom", "images": 40, "test_images": 10, "size": 28},
    "share": {"how": "iid", "index": 0, "of": 1, "alpha": 0.5, "seed": 0},
    "image_size": 28,
    "seed": 0,
}

ENCRYPTED = {str(name): str(EYES_ON.value(name)) for name in EYES_ON.controls()}
ENCRYPTED |= {"update_protection": "homomorphic_encryption", "previews": "no"}


@dataclass(frozen=True)
class Joined:
    """A hospital's machine that serves, and the way to it."""

    way: RemoteHospitals
    hub: Path
    home: Home
    encrypted: Sandbox

    def ask(self, task: str, arguments: dict[str, Any], sandbox: Sandbox = EYES_ON) -> Any:
        return self.way.ask(sandbox, "st_mary", task, arguments, "run 1", 300)


@contextmanager
def machine(
    folder: Path, *, one_federation: bool = False
) -> Iterator[tuple[Joined, threading.Thread]]:
    """Yields a machine while it serves, and the thread in which it does."""
    hub, home = folder / "hosts", Home(folder / "home").prepare()
    sandbox = folder / "sandbox.yaml"
    sandbox.write_text(yaml.safe_dump(ENCRYPTED))
    chosen, accepts = Settings(home, configurable=sandbox), ("eyes_on", "configurable")
    with (
        open_door(hub) as door,
        serving(door, "st_mary", chosen, *accepts, one_federation=one_federation) as thread,
    ):
        way = RemoteHospitals(hub)
        yield Joined(way, hub, home, find_sandbox("configurable", configurable=sandbox)), thread
        way.close()


@pytest.fixture(scope="module")
def joined(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Joined]:
    with machine(tmp_path_factory.mktemp("joined")) as (made, _):
        yield made


def test_images_stay_there_and_counts_come_back(joined: Joined) -> None:
    answer = joined.ask("prepare_images", IMAGES)
    assert answer["images"] == 40
    assert answer["outbox"]["entries"] == 2
    assert (joined.home.store("st_mary", "eyes_on") / "outbox.jsonl").exists()
    assert not (joined.hub.parent / "hospitals").exists()


def test_what_its_process_refuses_comes_back_as_it_is(joined: Joined) -> None:
    with pytest.raises(RosterError, match="split"):
        joined.ask("prepare_images", IMAGES | {"split_fractions": {"train": 2.0}})
    with pytest.raises(HostRefused, match="does not accept the sandbox eyes_off"):
        joined.ask("prepare_images", IMAGES, EYES_OFF)
    with pytest.raises(HostRefused, match="may not ask"):
        joined.ask("rotate_key", {})


def open_site(calls: Calls, **changes: Any) -> dict[str, Any]:
    asked = {
        "do": "open",
        "hospital": "st_mary",
        "site": "s1",
        "sandbox": record_of(EYES_ON),
        "run": "run1",
        "hospitals": ["st_mary", "st_john"],
        "quorum": 2,
        "network": "",
    }
    return calls.ask(asked | changes, (), 60)


def test_a_site_makes_its_own_key_and_removes_it(joined: Joined) -> None:
    calls = Calls(reach_desk(joined.hub))
    site = joined.home.federation("eyes_on", "run1") / "sites" / "st_mary"
    public = rsa_key(open_site(calls)["public_key"])
    assert public.key_size >= 2048
    assert os.stat(site / "startup" / "client.key").st_mode & 0o077 == 0
    with pytest.raises(HostRefused, match="has taken part in that run already"):
        open_site(calls, site="s2")
    assert (site / "startup" / "client.key").exists()  # the first one's goes on
    with pytest.raises(HostRefused, match="holds what it may not"):
        started = {"do": "start", "hospital": "st_mary", "site": "s1", "port": 1}
        calls.ask({**started, "files": ["../local/resources.json"]}, [b"{}"], 30)
    calls.close()  # the run is gone: so is its site
    assert within(20, lambda: not (site / "startup" / "client.key").exists())


@pytest.mark.parametrize("run", ["../../x", "", "a/b"])
def test_a_run_names_no_other_folder(joined: Joined, run: str) -> None:
    calls = Calls(reach_desk(joined.hub))
    with pytest.raises(HostRefused, match="names no folder"):
        open_site(calls, run=run)
    calls.close()


def test_a_federation_without_the_hospital_is_not_joined(joined: Joined) -> None:
    calls = Calls(reach_desk(joined.hub))
    with pytest.raises(HostRefused, match="this hospital is not"):
        open_site(calls, run="run2", hospitals=["st_john", "st_luke"])
    calls.close()


def test_a_hospital_draws_a_key_for_all_and_takes_no_other(joined: Joined) -> None:
    calls = Calls(reach_desk(joined.hub))
    names = ["st_mary", "st_john", "st_luke"]
    opening = {"sandbox": record_of(joined.encrypted), "run": "run3", "hospitals": names}
    own = open_site(calls, **opening)["public_key"]
    site = {"hospital": "st_mary", "site": "s1"}
    keys = {"st_mary": own, "st_john": throwaway_key(), "st_luke": throwaway_key()}

    def draw(public_keys: dict[str, str]) -> dict[str, str]:
        sealed = calls.ask({"do": "draw", **site, "public_keys": public_keys}, (), 60)["sealed"]
        return {str(name): str(each) for name, each in sealed.items()}

    for wrong in (keys | {"st_mary": throwaway_key()}, keys | {"hub": own}, {"st_mary": own}):
        with pytest.raises(HostRefused, match="for others than this federation's hospitals"):
            draw(wrong)
    sealed = draw(keys)
    assert sealed.keys() == set(names)
    with pytest.raises(HostRefused, match="does not take"):  # once, in a federation
        draw(keys)

    def start(files: dict[str, bytes]) -> None:
        calls.ask({"do": "start", **site, "port": 1, "files": list(files)}, [*files.values()], 60)

    another = draw_key("run3", keys)["st_mary"]  # as whoever runs it could
    for files in ({SEALED_KEY: another}, {}):
        with pytest.raises(HostRefused, match="Another key was sent"):
            start(files)
    with pytest.raises(HostRefused, match="holds what it may not"):
        start({"client_context.tenseal": b"a key"})
    place = joined.home.federation("configurable", "run3") / "sites" / "st_mary" / "startup"
    assert [path.name for path in place.iterdir()] == ["client.key"]
    calls.close()


def test_no_key_is_drawn_where_hospitals_share_none(joined: Joined) -> None:
    calls = Calls(reach_desk(joined.hub))
    own = open_site(calls, run="run4")["public_key"]
    keys = {"st_mary": own, "st_john": throwaway_key()}
    asked = {"do": "draw", "hospital": "st_mary", "site": "s1", "public_keys": keys}
    with pytest.raises(HostRefused, match="does not take"):
        calls.ask(asked, (), 60)
    calls.close()


def test_a_machine_of_one_federation_ends_with_it(tmp_path: Path) -> None:
    with machine(tmp_path, one_federation=True) as (made, thread):
        calls = Calls(reach_desk(made.hub))
        unknown = {"do": "close", "hospital": "st_mary", "site": "of the run before"}
        assert calls.ask(unknown, (), 30) == {}
        open_site(calls)
        thread.join(1)
        assert thread.is_alive()  # that another one is over is nothing to it
        calls.close()  # the run is gone: so is its site
        thread.join(30)
        assert not thread.is_alive()
    assert not list(made.home.root.rglob("client.key"))


def test_a_machine_whose_federation_is_never_opened_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hospital_host, "OPEN_SECONDS", 1.0)
    with machine(tmp_path, one_federation=True) as (_, thread):
        thread.join(10)
        assert not thread.is_alive()
    (tmp_path / "other").mkdir()
    with machine(tmp_path / "other") as (_, thread):
        thread.join(3)
        assert thread.is_alive()  # one that stays waits for ever
