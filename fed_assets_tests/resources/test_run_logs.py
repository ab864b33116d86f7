from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fed_assets.errors import RunConfigError
from fed_assets.federation.plan import FederationPlan
from fed_assets.federation.resume import keep_plan
from fed_assets.resources.home import Home
from fed_assets.resources.run_logs import find_logs, last_lines, logs_hint

RUN = "1a2b3c4d-0000-0000-0000-000000000000"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def trained(home: Home) -> Callable[..., FederationPlan]:
    """Returns a function that makes what a run leaves behind that trained with two hospitals."""

    def make(run: str = RUN, sandbox: str = "minimal", *, age: float = 0) -> FederationPlan:
        folder = home.federation(sandbox, run)
        stores = {name: str(home.root / "hospitals" / name) for name in ("north", "south")}
        plan = FederationPlan(
            sandbox=sandbox,
            transport="mtls",
            job_code="preinstalled",
            hospitals=("north", "south"),
            stores=stores,
            folder=str(folder),
            outbox=str(folder / "outbox"),
            initial_weights=str(folder / "initial.safetensors"),
            rounds=2,
            seed=7,
            recipe={},
            network={},
            classes=2,
            channels=1,
            quorum=2,
        )
        keep_plan(plan)
        for site in ("localhost", "north", "south"):
            (folder / "sites" / site / "job").mkdir(parents=True)
            for log in ("console.log", "log.txt", "job/log.txt"):
                (folder / "sites" / site / log).write_text(f"{site} {log}\n")
        os.utime(folder, (time.time() - age,) * 2)
        return plan

    return make


@pytest.mark.parametrize("run", [RUN, RUN[:8], "minimal"])
def test_a_hospitals_logs_are_its_console_nvflares_and_its_workers(
    home: Home, trained: Callable[..., FederationPlan], run: str
) -> None:
    plan = trained()
    site = Path(plan.folder) / "sites" / "north"
    assert find_logs(home, run, "north") == [
        site / "console.log",
        site / "log.txt",
        site / "job" / "log.txt",
        Path(plan.stores["north"]) / "worker.log",
    ]


def test_the_servers_logs_are_its_console_nvflares_and_the_sessions(
    home: Home, trained: Callable[..., FederationPlan]
) -> None:
    folder = Path(trained().folder)
    console, *_, session = find_logs(home, RUN, "server")
    assert console == folder / "sites" / "localhost" / "console.log"
    assert session == folder / "session.log"


def test_a_sandbox_stands_for_its_newest_run(
    home: Home, trained: Callable[..., FederationPlan]
) -> None:
    trained("00000001", age=60)
    newest = trained("00000002", age=30)
    trained("00000003", sandbox="eyes_on")
    console, *_ = find_logs(home, "minimal", "south")
    assert console.is_relative_to(newest.folder)


def test_an_unknown_run_is_told_the_known_ones(
    home: Home, trained: Callable[..., FederationPlan]
) -> None:
    trained()
    with pytest.raises(RunConfigError, match=r"no run 99999999 .*1a2b3c4d \(minimal\)"):
        find_logs(home, "99999999", "north")


def test_before_any_run_it_is_said_how_to_make_one(home: Home) -> None:
    with pytest.raises(RunConfigError, match="fed-assets run minimal"):
        find_logs(home, "minimal", "north")


def test_an_unknown_hospital_is_told_the_known_ones(
    home: Home, trained: Callable[..., FederationPlan]
) -> None:
    trained()
    with pytest.raises(RunConfigError, match=r"nowhere took no part.* north, south, server"):
        find_logs(home, RUN, "nowhere")


def test_a_hospital_that_took_part_from_its_own_machine_has_its_logs_there(
    home: Home, trained: Callable[..., FederationPlan]
) -> None:
    plan = trained()
    stores = {name: plan.stores[name] for name in ("north",)}
    keep_plan(replace(plan, stores=stores, remote={"south": ""}))
    assert find_logs(home, RUN, "north")
    with pytest.raises(RunConfigError, match=r"from its own machine.*same command there"):
        find_logs(home, RUN, "south")


def test_the_last_lines_of_a_log(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    assert last_lines(log, 2) is None
    log.write_bytes(b"")
    assert last_lines(log, 2) == []
    log.write_bytes(b"one\ntwo \xff\nthree")
    assert last_lines(log, 2) == ["two \N{REPLACEMENT CHARACTER}", "three"]


def test_a_failure_that_names_a_hospital_is_followed_by_the_command_that_shows_its_logs(
    home: Home, trained: Callable[..., FederationPlan]
) -> None:
    trained()
    hint = logs_hint(home, "minimal", RUN, ["The job process of north ended", "again north"])
    assert hint == "The last lines of north: fed-assets logs 1a2b3c4d north"
    both = logs_hint(home, "minimal", RUN, ["north and south are not ready; ask the server"])
    assert both == (
        "The last lines of north, south, server: fed-assets logs 1a2b3c4d north, and so on"
    )


def test_a_failure_that_names_nobody_or_trained_nothing_is_followed_by_no_command(
    home: Home, trained: Callable[..., FederationPlan]
) -> None:
    plan = trained()
    assert logs_hint(home, "minimal", RUN, ["The disk is full, northward"]) is None
    assert logs_hint(home, "eyes_on", RUN, ["north failed"]) is None
    assert logs_hint(home, "minimal", "", ["north failed"]) is None
    keep_plan(replace(plan, hospitals=("south",), quorum=1))
    assert logs_hint(home, "minimal", RUN, ["north failed"]) is None
