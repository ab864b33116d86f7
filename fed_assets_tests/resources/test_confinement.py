"""Attempts of every other identity on a hospital: with walls, and the same ones without."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from fed_assets.federation.walls import give
from fed_assets.resources.home import Home
from fed_assets_tests.confining import (
    BECOMES,
    ORDINARY_USER,
    require_landlock,
    require_root,
    run_module,
)
from fed_assets_tests.federation import attempts

SCENE = "fed_assets_tests.resources.confined_home"
OTHERS = ("east", "server", "coordinator", "orchestrator")
Told = dict[str, Any]


def tell(home: Path, kind: str, user: int | None) -> Told:
    home.parent.chmod(0o755)
    if user is not None:
        os.chown(home.parent, user, user)
    ran = run_module(SCENE, str(home), kind, user=user)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


@pytest.fixture(scope="module", params=["users", "landlock"])
def kind(request: pytest.FixtureRequest) -> str:
    """Returns the kind of walls: by users, which takes root, or an ordinary user's Landlock."""
    if request.param == "users":
        require_root()
    else:
        require_landlock()
    return str(request.param)


@pytest.fixture(scope="module")
def walled(kind: str, places: Path) -> Told:
    """Returns what each process could do to a hospital behind walls."""
    (places / kind).mkdir()
    return tell(places / kind / "home", "walls", None if kind == "users" else BECOMES)


@pytest.fixture(scope="module")
def unwalled(kind: str, places: Path) -> Told:
    """Returns what each process could do to the same hospital without walls."""
    place = places / f"{kind}_open"
    place.mkdir()
    return tell(place / "home", "open", None if kind == "users" else BECOMES)


@pytest.mark.parametrize("who", OTHERS)
def test_whatever_another_tries_on_a_hospital_is_denied(walled: Told, who: str) -> None:
    tried = walled[who]["on the victim"]
    assert len(tried) == 14
    assert set(tried.values()) == {"PermissionError"}, tried


@pytest.mark.parametrize("who", OTHERS)
def test_every_attempt_succeeds_where_there_are_no_walls(unwalled: Told, who: str) -> None:
    tried = unwalled[who]["on the victim"]
    assert set(tried.values()) == {"done"}, tried


@pytest.mark.parametrize("who", ["east", "server"])
def test_behind_its_wall_a_process_reaches_its_own_files(walled: Told, who: str) -> None:
    own = walled[who]["on itself"]
    for name in ("read the key", "read the images", "write the images", "list the folder"):
        assert own[name] == "done"
    assert own["read through its root"] == own["signal it"] == "done"


def test_hospitals_and_the_hub_are_users_of_their_own_or_share_an_ordinary_one(
    kind: str, walled: Told
) -> None:
    north, east = walled["victim"]["user"], walled["east"]["user"]
    hubs = {walled[who]["user"] for who in ("server", "coordinator", "orchestrator")}
    if kind == "users":
        assert len({north, east, *hubs, 0}) == 4
        assert walled["east"]["groups"] != walled["server"]["groups"]
    else:
        assert {north, east, *hubs} == {BECOMES or os.geteuid()}


def test_what_holds_the_walls_is_recorded(kind: str, walled: Told) -> None:
    found = walled["confinement"]
    assert (found["kind"], found["capped_because"]) == (kind, "")
    assert found["user"] == walled["orchestrator"]["user"]
    if kind == "landlock":
        assert found["landlock_abi"] >= 3


def test_no_command_line_tells_of_a_store_or_a_key(walled: Told) -> None:
    lines = walled["command lines"]
    assert any("supervisor north" in line for line in lines)
    for secret in (walled["victim"]["key"], walled["victim"]["images"], attempts.SECRET.decode()):
        assert not [line for line in lines if secret in line and "attempts" not in line]


def test_the_same_hospital_is_the_same_user_in_the_next_run(kind: str, walled: Told) -> None:
    if kind != "users":
        pytest.skip("an ordinary user has no others")
    store = Path(walled["victim"]["images"]).parent.parent
    home = Home(store.parent.parent)
    assert store.stat().st_uid == walled["victim"]["user"]
    again = tell(home.root, "walls", None)
    assert again["victim"]["user"] == walled["victim"]["user"]
    assert again["orchestrator"]["user"] == walled["orchestrator"]["user"]


CAPPED = "fed_assets_tests.resources.capped_home"


def capped(
    places: Path, how: str, user: int | None = None, within: Sequence[str] = (), mode: int = 0o755
) -> Told:
    folder = Path(tempfile.mkdtemp(prefix=f"capped_{how}_", dir=places))
    folder.chmod(mode)
    if user is not None:
        os.chown(folder, user, user)
    ran = run_module(CAPPED, str(folder / "home"), how, user=user, within=within)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def test_an_orchestrator_that_could_not_go_on_without_root_is_refused(places: Path) -> None:
    require_root()
    refused = capped(places, "elsewhere")
    assert refused["error"].startswith("Dagster's process cannot give root up")
    assert "Set DAGSTER_HOME to what `fed-assets home` prints" in refused["error"]
    for how in ("well", "threads"):  # the controls: a user is all threads'
        found = capped(places, how)
        assert found["capped_because"] == ""
        assert found["then"] == found["user"] != 0


def test_what_landlock_does_not_hold_is_recorded(places: Path) -> None:
    require_landlock()
    found = capped(places, "threads", BECOMES)
    assert "more threads than one" in found["capped_because"]


def test_a_second_confined_run_in_one_process_is_refused(places: Path) -> None:
    require_root()
    assert (
        "Start each run of a confined sandbox as a process of its own"
        in (capped(places, "twice")["error"])
    )


def test_without_root_and_without_landlock_the_sandbox_is_refused(places: Path) -> None:
    require_landlock()
    refused = capped(places, "no_landlock", BECOMES)
    assert refused["error"].startswith(
        "Sandbox eyes_off is refused: process=confined cannot be enforced on this machine."
    )
    assert "Landlock's ABI is 0" in refused["error"]
    assert "Run as root, or on a kernel" in refused["error"]
    assert capped(places, "well", BECOMES)["capped_because"] == ""  # the control


def without(*capabilities: str) -> list[str]:
    return ["setpriv", f"--bounding-set=-{',-'.join(capabilities)}"]


def test_root_that_cannot_be_others_is_refused(places: Path) -> None:
    require_root()
    refused = capped(places, "well", within=without("setuid", "chown"))
    assert refused["error"].startswith("Sandbox eyes_off is refused: process=confined")
    assert "root lacks the capabilities CHOWN, SETUID here" in refused["error"]
    assert "what Docker's has" in refused["error"]
    found = capped(places, "well", within=without("sys_module"))  # the control
    assert found["then"] == found["user"] != 0


def test_root_that_may_not_mount_is_refused_where_a_way_is_closed(places: Path) -> None:
    require_root()
    refused = capped(places, "well", within=without("sys_admin"), mode=0o700)
    assert "cannot reach Python, the home or the data (root may not mount)" in refused["error"]
    assert "Put them where every user may pass" in refused["error"]
    assert capped(places, "well", mode=0o700)["then"] != 0  # the control


def test_root_is_refused_where_a_hospitals_folder_takes_no_other_owner(places: Path) -> None:
    """As a mount that knows none; here it is one that takes no change at all."""
    require_root()
    script = 'mkdir -p "$0" && mount -o bind,ro "$0" "$0" && exec "$@"'
    folder = places / "mounted"
    within = ["unshare", "--mount", "sh", "-c", script, str(folder / "hospitals" / "north")]
    ran = run_module(CAPPED, str(folder), "well", within=within)
    refused = json.loads(ran.stdout)
    assert "cannot give hospitals' folders to users of their own (Read-only" in refused["error"]
    assert capped(places, "well")["then"] != 0  # the control


def test_what_a_hospital_left_as_a_link_is_not_given_to_it(places: Path) -> None:
    require_root()
    folder = places / "planted"
    folder.mkdir()
    for name in ("own", "twice"):
        (folder / name).write_text(name)
    outside = places / "outside"
    outside.write_text("root's")
    (folder / "link").symlink_to(outside)
    os.link(folder / "twice", places / "its other name")
    give(folder, 0, ORDINARY_USER, ORDINARY_USER)
    owners = {path.name: path.lstat().st_uid for path in (*folder.iterdir(), outside)}
    assert owners == {"own": ORDINARY_USER, "twice": 0, "link": 0, "outside": 0}
