# No `from __future__ import annotations` here: Dagster reads the annotations of asset functions.

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from dagster import AssetExecutionContext, DagsterInstance, asset, materialize

from fed_assets.errors import DisclosureRefused, IdentityRefused, WorkerFailed
from fed_assets.resources.hospital_runner import COORDINATOR, LocalHospitalRunner
from fed_assets.sandboxes.presets import EYES_ON, MINIMAL
from fed_assets.sandboxes.sandbox import Sandbox

QUICK = {
    "source": {"kind": "phantom", "images": 40, "test_images": 8, "size": 16},
    "image_size": 16,
}
LONG = {"source": {"kind": "phantom", "images": 500_000, "size": 64}, "image_size": 64}


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children()}


@pytest.fixture
def open_runner(tmp_path: Path) -> Iterator[Callable[..., LocalHospitalRunner]]:
    """Yields a function that opens the door to two hospitals; what it starts is ended."""
    opened: list[LocalHospitalRunner] = []

    def open_runner(**limits: float) -> LocalHospitalRunner:
        opened.append(
            LocalHospitalRunner(home_folder=str(tmp_path), hospitals=["north", "south"], **limits)
        )
        return opened[-1]

    yield open_runner
    for runner in opened:
        runner.close()


@pytest.fixture
def runner(open_runner: Callable[..., LocalHospitalRunner]) -> LocalHospitalRunner:
    return open_runner()


def test_a_shared_process_acts_for_all_and_lives_on(runner: LocalHospitalRunner) -> None:
    before = children()
    seen = set()
    for hospital in ("north", "south", COORDINATOR):
        assert runner.ask(MINIMAL, hospital, "prepare_images", QUICK)["images"] == 48
        seen |= children() - before
    assert len(seen) == 1
    runner.close()
    assert children() == before


def test_a_process_of_its_own_ends_with_its_task(runner: LocalHospitalRunner) -> None:
    before = children()
    for hospital in ("north", "south"):
        assert runner.ask(EYES_ON, hospital, "prepare_images", QUICK)["images"] == 48
        assert children() == before


def test_a_process_of_its_own_ends_when_its_task_fails(runner: LocalHospitalRunner) -> None:
    before = children()
    with pytest.raises(WorkerFailed):
        runner.ask(EYES_ON, "north", "give_me_images", {})
    assert children() == before


def test_the_process_started_for_a_hospital_is_that_hospital_under_own_and_all_under_shared(
    runner: LocalHospitalRunner,
) -> None:
    south: dict[str, Any] = {"hospital": "south", "arguments": QUICK, "timeout_seconds": 60}
    with runner._worker(MINIMAL, "north") as shared:  # the positive control
        assert shared.ask("prepare_images", **south)["images"] == 48
    with (
        runner._worker(EYES_ON, "north") as own,
        pytest.raises(IdentityRefused, match=r"Seen: this process is north\."),
    ):
        own.ask("prepare_images", **south)


@pytest.mark.parametrize("sandbox", [MINIMAL, EYES_ON], ids=lambda sandbox: sandbox.name)
def test_each_hospital_writes_into_its_own_store_and_nowhere_else(
    runner: LocalHospitalRunner, tmp_path: Path, sandbox: Sandbox
) -> None:
    runner.ask(sandbox, "north", "prepare_images", QUICK)
    stores = {path.parent for path in tmp_path.rglob("current.json")}
    assert stores == {runner.store("north", sandbox)}
    assert not list(tmp_path.glob(f"hospitals/south/{sandbox.name}/*"))


@pytest.mark.parametrize("sandbox", [MINIMAL, EYES_ON], ids=lambda sandbox: sandbox.name)
def test_a_hospital_that_the_roster_lacks_is_refused_and_nothing_is_started(
    runner: LocalHospitalRunner, tmp_path: Path, sandbox: Sandbox
) -> None:
    before = children()
    for stranger in ("west", "../north", ""):
        with pytest.raises(IdentityRefused, match="The roster has no hospital"):
            runner.ask(sandbox, stranger, "prepare_images", QUICK)
    assert children() == before
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("sandbox", [MINIMAL, EYES_ON], ids=lambda sandbox: sandbox.name)
def test_previews_follow_the_sandbox(runner: LocalHospitalRunner, sandbox: Sandbox) -> None:
    hidden = sandbox.model_copy(update={"name": f"hidden_{sandbox.name}", "previews": False})
    for each in (sandbox, hidden):
        runner.ask(each, "north", "prepare_images", QUICK)
    assert runner.ask(sandbox, "north", "contact_sheet", {"images": 4})["images"] == 4
    with pytest.raises(DisclosureRefused):
        runner.ask(hidden, "north", "contact_sheet", {"images": 4})


def test_a_shared_process_that_passed_the_time_limit_is_followed_by_a_new_one(
    open_runner: Callable[..., LocalHospitalRunner],
) -> None:
    runner = open_runner(task_timeout_seconds=3)
    before = children()
    with pytest.raises(WorkerFailed, match="time limit"):
        runner.ask(MINIMAL, "north", "prepare_images", LONG)
    assert runner.ask(MINIMAL, "north", "prepare_images", QUICK)["images"] == 48
    assert len(children() - before) == 1


def test_shared_processes_end_with_dagsters_run(tmp_path: Path) -> None:
    before = children()
    during: set[int] = set()

    @asset
    def images(context: AssetExecutionContext, hospitals: LocalHospitalRunner) -> dict[str, Any]:
        answer = hospitals.ask(MINIMAL, "north", "prepare_images", QUICK)
        during.update(children() - before)
        return answer

    @asset
    def broken(images: dict[str, Any]) -> None:
        raise RuntimeError("the run fails")

    runner = LocalHospitalRunner(home_folder=str(tmp_path), hospitals=["north"])
    with DagsterInstance.ephemeral() as instance:
        result = materialize(
            [images, broken],
            resources={"hospitals": runner},
            instance=instance,
            raise_on_error=False,
        )
    assert not result.success
    assert len(during) == 1
    assert children() == before
