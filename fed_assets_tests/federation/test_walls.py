"""What a template does behind walls, and what it refuses: real processes of real users."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fed_assets.errors import ProcessNotStarted
from fed_assets.federation.ended import ENDED_FOLDER, read_ended, write_ended
from fed_assets.federation.forked import Forked, start_template
from fed_assets.federation.happenings import tell
from fed_assets.federation.program import Program
from fed_assets.federation.walls import USERS, Wall, Walls
from fed_assets_tests.confining import ORDINARY_USER, require_root

ATTEMPTS = "fed_assets_tests.federation.attempts"
SITE = "fed_assets_tests.federation.walled_site"
SITES, HUB, NORTH = ORDINARY_USER + 1, ORDINARY_USER + 2, ORDINARY_USER + 3


@pytest.fixture(scope="module")
def template(places: Path) -> Iterator[Forked]:
    """Yields a template with walls around `north`, which may run one module, and `server`."""
    with closing(walled(places, at_once=True)) as opened:
        yield opened


@pytest.fixture
def lazy(places: Path) -> Iterator[Forked]:
    """Yields such a template that has loaded nothing yet."""
    with closing(walled(places, at_once=False)) as opened:
        yield opened


def walled(places: Path, *, at_once: bool) -> Forked:
    require_root()
    ways = [sys.base_prefix, *filter(None, sys.path)]
    walls = Walls(
        USERS,
        {
            "north": Wall(NORTH, NORTH, (SITES,), modules=(SITE,)),
            "server": Wall(HUB, SITES, (HUB,)),
        },
        HUB,
        tuple(ways),
    )
    assert Walls.from_record(json.loads(json.dumps(walls.as_record()))) == walls
    return start_template([SITE, ATTEMPTS], places, walls=walls, at_once=at_once)


@pytest.fixture
def folder(places: Path) -> Iterator[Path]:
    """Yields a site's folder as the hub made it: a key, and where its jobs' ends are noted."""
    made = places / "run" / "sites" / "north"
    (made / "startup").mkdir(parents=True)
    (made / ENDED_FOLDER).mkdir()
    (made / "startup" / "client.key").write_text("a private key")
    (made.parent.parent / "tmp" / "north").mkdir(parents=True)
    for path, folders, names in os.walk(places / "run"):
        for name in (".", *folders, *names):
            entry = Path(path, name)
            os.chown(entry, HUB, SITES)
            entry.chmod(0o700 if entry.is_dir() else 0o600)
    yield made
    shutil.rmtree(places / "run")


def program(folder: Path, **changes: Any) -> Program:
    place = str(folder.parent.parent / "tmp" / "north")
    return replace(
        Program(SITE, SITE, (), str(folder), place, str(folder / "console"), job_module=SITE),
        **changes,
    )


def told(origin: Forked, site: str, wanted: Program) -> dict[str, Any]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        process = origin.start(site, replace(wanted, answers=True), theirs)
        theirs.close()
        process.pid(20)
        ours.settimeout(20)
        line = ours.makefile().readline()
        ours.shutdown(socket.SHUT_WR)
        assert process.gone(20)
    return json.loads(line)


def test_walls_stand_before_a_template_that_loads_later_is_told_anything_else(
    lazy: Forked, folder: Path
) -> None:
    forged = {"preload": [SITE, ATTEMPTS], "then": [], "at_once": True, "walls": None}
    tell(lazy.lent(), forged)
    with pytest.raises(ProcessNotStarted):  # where there are no walls, nothing is refused
        told(lazy, "elsewhere", program(folder))
    assert told(lazy, "north", program(folder))["users"] == [NORTH] * 3


def test_a_site_is_its_own_user_in_a_folder_that_was_handed_to_it(
    template: Forked, folder: Path
) -> None:
    seen = told(template, "north", program(folder))
    assert seen == {
        "users": [NORTH] * 3,
        "groups": [NORTH] * 3,
        "beside": [SITES],
        "capabilities": 0,
        "can regain them": False,
        "key": "a private key",
        "leads there": True,
    }
    assert folder.stat().st_uid == NORTH
    assert folder.parent.stat().st_uid == HUB  # what is the hub's on the way stays so


def test_what_a_site_leaves_is_removed_by_its_own_supervisor(
    template: Forked, folder: Path
) -> None:
    told(template, "north", program(folder))
    assert not (folder / "startup" / "client.key").exists()
    assert list((folder.parent.parent / "tmp" / "north").iterdir()) == []
    assert (folder / "console").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"module": ATTEMPTS},
        {"arguments": (ATTEMPTS,)},
        {"job_module": ATTEMPTS},
        {"environment": {"LD_PRELOAD": "/tmp/mine.so"}},
    ],
)
def test_a_hospital_runs_nothing_but_its_own_programs(
    template: Forked, folder: Path, change: dict[str, Any]
) -> None:
    with pytest.raises(ProcessNotStarted):
        told(template, "north", program(folder, **change))
    assert folder.stat().st_uid == HUB  # nothing changed hands
    assert told(template, "north", program(folder))["users"] == [NORTH] * 3  # the control


def test_a_site_without_a_wall_has_no_processes(template: Forked, folder: Path) -> None:
    with pytest.raises(ProcessNotStarted):
        told(template, "stranger", program(folder))


def test_a_link_in_place_of_a_folder_gives_nothing_away(
    template: Forked, folder: Path, places: Path
) -> None:
    (elsewhere := places / "roots").mkdir(mode=0o700, exist_ok=True)
    (elsewhere / "file").write_text("root's")
    (folder.parent / "linked").symlink_to(elsewhere)
    os.lchown(folder.parent / "linked", HUB, SITES)
    shutil.rmtree(folder.parent.parent / "places", ignore_errors=True)
    (folder.parent.parent / "places").symlink_to(elsewhere)
    os.lchown(folder.parent.parent / "places", HUB, SITES)
    with pytest.raises((ProcessNotStarted, json.JSONDecodeError)):
        told(template, "north", program(folder.parent / "linked"))
    for path in (elsewhere, elsewhere / "file"):
        assert (path.stat().st_uid, path.stat().st_gid) == (0, 0)
        assert path.stat().st_mode & 0o777 in (
            0o700,
            0o644,
            0o600,
        )  # as it was made, by whatever umask
    assert told(template, "north", program(folder))["users"] == [NORTH] * 3  # the control


def test_the_hub_reads_how_a_sites_jobs_ended_and_nothing_else_of_it(
    template: Forked, folder: Path
) -> None:
    told(template, "north", program(folder, arguments=(SITE, "ends a job")))
    run = folder.parent.parent
    looking = replace(
        program(folder),
        arguments=("look", "sites/north"),
        folder=str(run),
        temporary=str(run / "tmp" / "server"),
        console=str(run / "console"),
        job_module="",
    )
    seen = told(template, "server", looking)
    assert seen == {"ended": 3, "key": "PermissionError", "console": "PermissionError"}


def test_where_nobody_is_walled_in_ends_are_noted_as_ever(tmp_path: Path) -> None:
    write_ended(tmp_path, "job", 3)
    assert (read_ended(tmp_path, "job") or {})["code"] == 3
