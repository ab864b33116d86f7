"""The door to federations: to a warm one where it fits, to one of the run's own elsewhere."""

# No `from __future__ import annotations` here: Dagster reads the annotations of asset functions.

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from dagster import (
    AssetExecutionContext,
    DagsterExecutionInterruptedError,
    DagsterInstance,
    asset,
    materialize,
)

from fed_assets.assets.partitions import SANDBOX_PARTITIONS
from fed_assets.federation import warm
from fed_assets.federation.history import HISTORY_FILE, read_history
from fed_assets.federation.origin import Origin, open_origin
from fed_assets.federation.plan import FederationPlan
from fed_assets.federation.preload import FEDERATION_MODULES, modules_of
from fed_assets.federation.results import FederationResult
from fed_assets.resources.federation import LocalFederation
from fed_assets.resources.home import Home
from fed_assets.resources.session_process import SESSION
from fed_assets_tests.federation.conftest import behave, write_plan
from fed_assets_tests.leftovers import called, family, seconds_until_clean

__all__ = ["behave", "write_plan"]  # fixtures

pytestmark = pytest.mark.long

ON_THE_WARM_ONE = ["submitted", "round", "round"]
ON_ITS_OWN = ["provisioned", "started", *ON_THE_WARM_ONE]
OnEvent = Callable[[AssetExecutionContext, dict[str, Any]], None]


@dataclass(frozen=True)
class CarriedOut:
    """A plan that a run took to the door."""

    result: FederationResult
    events: list[str]
    log: str


@dataclass(frozen=True)
class Door:
    """A home with a warm federation of two hospitals, and how to carry plans out in it."""

    home: Home
    plan: FederationPlan
    origin: Origin

    @property
    def folder(self) -> Path:
        return self.home.warm(self.plan.sandbox)

    def fresh(self, **changes: Any) -> FederationPlan:
        """Returns a plan with a folder and an outbox of its own."""
        folder = self.home.federation(self.plan.sandbox, f"{time.monotonic_ns():x}"[-8:])
        return replace(self.plan, folder=str(folder), outbox=str(folder / "outbox"), **changes)

    def of_the_first(self, hospitals: int) -> FederationPlan:
        """Returns a fresh plan for the first few hospitals alone."""
        stores = dict(list(self.plan.stores.items())[:hospitals])
        return self.fresh(hospitals=tuple(stores), stores=stores)

    def status(self) -> dict[str, Any]:
        seen = warm.status(self.folder)
        assert seen is not None
        return seen

    def carry_out(self, plan: FederationPlan, on_event: OnEvent = lambda *_: None) -> CarriedOut:
        """Carries a plan out as a step of a run; events are heard of with the step's context."""
        results, events = [], []

        @asset(partitions_def=SANDBOX_PARTITIONS)
        def trained(context: AssetExecutionContext, federation: LocalFederation) -> None:
            def hear(event: dict[str, Any]) -> None:
                events.append(event)
                on_event(context, event)

            results.append(federation.run(context, plan, hear, origin=self.origin))

        with DagsterInstance.ephemeral() as instance:
            federation = LocalFederation(home_folder=str(self.home.root))
            run = materialize(
                [trained],
                partition_key=plan.sandbox,
                resources={"federation": federation},
                instance=instance,
            )
            log = "\n".join(entry.user_message for entry in instance.all_logs(run.run_id))
        return CarriedOut(results[0], [event["event"] for event in events], log)


@pytest.fixture(scope="module")
def door(
    tmp_path_factory: pytest.TempPathFactory, write_plan: Callable[..., FederationPlan]
) -> Iterator[Door]:
    root = tmp_path_factory.mktemp("door")
    home = Home(root / "home").prepare()
    home.temporary.mkdir()
    plan = write_plan(root, hospitals=3, quorum=1)
    origin = open_origin([*FEDERATION_MODULES, *modules_of(plan), SESSION], home.temporary)
    opened = Door(home, plan, origin)
    yield opened
    warm.take_down(opened.folder)
    origin.close()
    assert seconds_until_clean(home, within_seconds=5)[1] == []


@pytest.fixture
def up(door: Door) -> dict[str, Any]:
    """Brings the warm federation up where it is not, and returns its status."""
    seen = warm.status(door.folder)
    if seen is None or warm.unfit(seen, door.plan) is not None:
        warm.bring_up(door.plan, door.folder, lambda _: None)
    return door.status()


def test_without_a_warm_federation_a_run_has_one_of_its_own(door: Door) -> None:
    done = door.carry_out(door.fresh())
    assert done.events == ON_ITS_OWN
    assert "warm" not in done.log
    assert warm.status(door.folder) is None


def test_a_healthy_warm_federation_takes_the_run(door: Door, up: dict[str, Any]) -> None:
    done = door.carry_out(door.fresh())
    assert done.events == ON_THE_WARM_ONE
    assert f"The run goes to the warm federation, which is up since {up['since']}" in done.log
    after = door.status()
    assert (after["pid"], after["jobs"]) == (up["pid"], up["jobs"] + 1)
    own = door.carry_out(door.fresh(sandbox="minimal"))
    assert own.events == ON_ITS_OWN, "another sandbox has none"
    assert own.result.final_digest == done.result.final_digest


def test_one_for_other_hospitals_is_provisioned_anew(door: Door, up: dict[str, Any]) -> None:
    plan = door.of_the_first(2)
    done = door.carry_out(plan)
    assert done.events == ON_THE_WARM_ONE
    assert "provisioned anew: changed since: hospitals, stores." in done.log
    assert {*done.result.rounds[-1]["participants"]} == {*plan.hospitals}
    after = door.status()
    assert after["pid"] != up["pid"]
    assert not psutil.pid_exists(up["pid"])
    assert after["hospitals"] == ["hospital_01", "hospital_02"]


def test_one_that_has_lost_a_hospital_is_provisioned_anew(door: Door, up: dict[str, Any]) -> None:
    (client,) = [
        member
        for member in family(psutil.Process(up["pid"]))
        if "client_train uid=hospital_02" in called(member)
    ]
    client.kill()
    while not door.status()["missing"]:
        time.sleep(0.05)
    done = door.carry_out(door.fresh())
    assert done.events == ON_THE_WARM_ONE
    assert "provisioned anew: not there any more: hospital_02." in done.log
    assert done.result.status == "complete"
    assert door.status()["pid"] != up["pid"]


@pytest.fixture
def at_work(
    door: Door, up: dict[str, Any], behave: Callable[..., None]
) -> Iterator[dict[str, Any]]:
    """Has the warm federation work for somebody whose third round does not end."""
    submitted, leave = threading.Event(), threading.Event()

    def hold(event: dict[str, Any]) -> None:
        submitted.set()
        assert leave.wait(60)
        raise EOFError

    def first() -> None:
        with suppress(EOFError):
            warm.run(door.folder, door.fresh(rounds=3), hold)

    behave(door.plan, "hospital_01", {3: "hang"})
    thread = threading.Thread(target=first)
    thread.start()
    assert submitted.wait(60)
    yield up
    leave.set()
    thread.join()
    behave(door.plan, "hospital_01", {})


@pytest.mark.parametrize(
    ("hospitals", "said"),
    [
        (3, "does not take the run: it works for another run."),
        (2, "works for another run, and is unfit: changed since: hospitals, stores."),
    ],
    ids=["fit", "unfit"],
)
def test_one_that_is_at_work_is_left_to_it(
    door: Door, at_work: dict[str, Any], hospitals: int, said: str
) -> None:
    done = door.carry_out(door.of_the_first(hospitals))
    assert done.events == ON_ITS_OWN
    assert said in done.log
    assert done.result.status == "complete"
    seen = door.status()
    assert (seen["busy"], seen["pid"]) == (True, at_work["pid"])


def test_where_none_can_be_brought_up_the_run_goes_on_with_its_own(
    door: Door, up: dict[str, Any]
) -> None:
    place = door.folder / "federation"
    aside = place.rename(door.folder / "aside")
    place.write_text("no folder")
    try:
        done = door.carry_out(door.of_the_first(1))
    finally:
        place.unlink()
    assert done.events == ON_ITS_OWN
    assert "It could not be: " in done.log
    assert "The run goes on with one of its own." in done.log
    assert warm.status(door.folder) is None
    assert aside.is_dir()
    shutil.rmtree(aside)


@pytest.mark.parametrize("warmed", [True, False])
def test_a_run_that_is_to_be_canceled_ends_even_where_no_interrupt_reaches_it(
    door: Door, request: pytest.FixtureRequest, behave: Callable[..., None], warmed: bool
) -> None:
    if warmed:
        request.getfixturevalue("up")
    else:
        warm.take_down(door.folder)
    behave(door.plan, "hospital_01", {2: "hang"})
    asked = []

    def cancel(context: AssetExecutionContext, event: dict[str, Any]) -> None:
        if event["event"] == "round":
            context.instance.report_run_canceling(context.run)
            asked.append(time.monotonic())

    plan = door.fresh()
    with pytest.raises(DagsterExecutionInterruptedError):
        door.carry_out(plan, cancel)
    assert time.monotonic() - asked[0] < 10
    behave(door.plan, "hospital_01", {})
    issued = [each.command for each in read_history(Path(plan.folder) / HISTORY_FILE)]
    assert any(command.startswith("abort_job") for command in issued)
    assert (warm.status(door.folder) is not None) == warmed
