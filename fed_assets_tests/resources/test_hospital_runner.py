# No `from __future__ import annotations` here: Dagster reads the annotations of asset functions.

import os
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from dagster import (
    AssetExecutionContext,
    AssetSelection,
    DagsterInstance,
    Definitions,
    JobDefinition,
    asset,
    define_asset_job,
    execute_job,
    materialize,
    reconstructable,
)

from fed_assets.errors import (
    DisclosureRefused,
    IdentityRefused,
    KeyRefused,
    RosterError,
    WorkerFailed,
)
from fed_assets.privacy.chain import OUTBOX_LOG, Entry, entries_of, first_fault
from fed_assets.resources.hospital_runner import COORDINATOR, LocalHospitalRunner
from fed_assets.resources.worker_process import WORKER
from fed_assets.sandboxes.controls import KeyCustody, Storage
from fed_assets.sandboxes.presets import EYES_ON, MINIMAL, OPEN_DATA
from fed_assets.sandboxes.sandbox import Sandbox

pytestmark = pytest.mark.long

QUICK = {
    "source": {"kind": "phantom", "images": 40, "test_images": 8, "size": 16},
    "image_size": 16,
}
TEMPLATE = "fed_assets.federation.template"
LONG = {"source": {"kind": "phantom", "images": 500_000, "size": 64}, "image_size": 64}


def running(title: str) -> list[psutil.Process]:
    """Returns the processes of ours that are called so now."""
    family = psutil.Process().children(recursive=True)
    alive = [each for each in family if each.status() != psutil.STATUS_ZOMBIE]
    return [each for each in alive if title in " ".join(each.cmdline())]


def outbox(runner: LocalHospitalRunner, hospital: str, sandbox: Sandbox) -> list[Entry]:
    content = (runner.store(hospital, sandbox) / OUTBOX_LOG).read_bytes()
    assert first_fault(content, hospital=hospital) is None
    return entries_of(content)


@pytest.fixture
def open_runner(tmp_path: Path) -> Iterator[Callable[..., LocalHospitalRunner]]:
    """Yields a function that opens the door to two hospitals; what it starts is ended."""
    opened: list[LocalHospitalRunner] = []

    def open_runner(**limits: float) -> LocalHospitalRunner:
        opened.append(
            LocalHospitalRunner(
                home_folder=str(tmp_path), hospitals=["north", "south"], network="", **limits
            )
        )
        return opened[-1]

    yield open_runner
    for runner in opened:
        runner.close()


@pytest.fixture
def runner(open_runner: Callable[..., LocalHospitalRunner]) -> LocalHospitalRunner:
    return open_runner()


@pytest.mark.parametrize("sandbox", [MINIMAL, EYES_ON], ids=lambda sandbox: sandbox.name)
def test_a_process_ends_with_its_task(runner: LocalHospitalRunner, sandbox: Sandbox) -> None:
    for hospital in ("north", "south", COORDINATOR):
        assert runner.ask(sandbox, hospital, "prepare_images", QUICK)["images"] == 48
        assert running(WORKER) == []
    with pytest.raises(WorkerFailed):
        runner.ask(sandbox, "north", "give_me_images", {})
    assert running(WORKER) == []


def test_on_open_data_one_process_does_task_after_task_for_all_until_the_run_ends(
    runner: LocalHospitalRunner,
) -> None:
    pids = []
    for hospital in ("north", "south", COORDINATOR):
        assert runner.ask(OPEN_DATA, hospital, "prepare_images", QUICK)["images"] == 48
        pids += [each.pid for each in running(WORKER)]
    with pytest.raises(RosterError):
        runner.ask(OPEN_DATA, "north", "prepare_images", {})
    assert len(pids) == 3
    assert {*pids, *(each.pid for each in running(WORKER))} == {pids[0]}
    psutil.Process(pids[0]).kill()
    with suppress(WorkerFailed):  # it may be asked before its end is heard of
        runner.ask(OPEN_DATA, "south", "validate_images", {})
    runner.ask(OPEN_DATA, "south", "validate_images", {})
    assert [each.pid for each in running(WORKER)] != pids[:1]
    runner.close()
    assert running(WORKER) == []


def test_the_process_started_for_a_hospital_is_that_hospital_under_own_and_all_under_shared(
    runner: LocalHospitalRunner,
) -> None:
    south: dict[str, Any] = {"hospital": "south", "arguments": QUICK, "timeout_seconds": 60}
    with closing(
        runner.worker(MINIMAL, "north", "prepare_images")
    ) as shared:  # the positive control
        assert shared.ask("prepare_images", **south)["images"] == 48
    with (
        closing(runner.worker(EYES_ON, "north", "prepare_images")) as own,
        pytest.raises(IdentityRefused, match=r"Seen: this process is north\."),
    ):
        own.ask("prepare_images", **south)


def test_processes_of_two_hospitals_descend_from_two_supervisors(
    runner: LocalHospitalRunner,
) -> None:
    with (
        closing(runner.worker(EYES_ON, "north", "prepare_images")) as north,
        closing(runner.worker(EYES_ON, "south", "prepare_images")) as south,
    ):
        above = [psutil.Process(each.pid).parent() for each in (north, south)]
        titles = [" ".join(each.cmdline()) for each in above if each]
    assert "supervisor north" in titles[0]
    assert "supervisor south" in titles[1]


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
    for stranger in ("west", "../north", ""):
        with pytest.raises(IdentityRefused, match="The roster has no hospital"):
            runner.ask(sandbox, stranger, "prepare_images", QUICK)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("sandbox", [MINIMAL, EYES_ON], ids=lambda sandbox: sandbox.name)
def test_previews_follow_the_sandbox(runner: LocalHospitalRunner, sandbox: Sandbox) -> None:
    hidden = sandbox.model_copy(update={"name": f"hidden_{sandbox.name}", "previews": False})
    for each in (sandbox, hidden):
        runner.ask(each, "north", "prepare_images", QUICK)
    assert runner.ask(sandbox, "north", "contact_sheet", {"images": 4})["images"] == 4
    with pytest.raises(DisclosureRefused) as refused:
        runner.ask(hidden, "north", "contact_sheet", {"images": 4})
    last = outbox(runner, "north", hidden)[-1]
    assert last.what == "error (preview)"
    assert refused.value.outbox == {"entries": last.number, "hash": last.hash}


def test_storage_and_custody_follow_the_sandbox(
    runner: LocalHospitalRunner, tmp_path: Path
) -> None:
    sealed = EYES_ON.model_copy(
        update={"name": "sealed", "storage": Storage.SEALED, "key_custody": KeyCustody.HOSPITAL}
    )
    for sandbox in (EYES_ON, sealed):
        for hospital in ("north", "south"):
            assert runner.ask(sandbox, hospital, "prepare_images", QUICK)["images"] == 48
    magic = {
        path.read_bytes()[:8] == b"FEDSEAL1": path.parent.parent.parent.name
        for path in tmp_path.rglob("images.npy")
    }
    assert magic == {True: "sealed", False: "eyes_on"}
    keys = [tmp_path / "hospitals" / name / "keys" / "sealed.json" for name in ("north", "south")]
    assert [stat.S_IMODE(key.stat().st_mode) for key in keys] == [0o600, 0o600]
    keys[1].replace(keys[0])
    with pytest.raises(KeyRefused, match="another hospital's"):
        runner.ask(sealed, "north", "contact_sheet", {"images": 4})
    places = runner.kept_by_all(sealed, ["north"])
    assert places["key_files"] == {"north": str(keys[0])}
    assert runner.kept_by_all(EYES_ON, ["north"])["key_files"] == {}


def test_a_process_that_passed_the_time_limit_is_followed_by_a_new_one(
    open_runner: Callable[..., LocalHospitalRunner], tmp_path: Path
) -> None:
    runner = open_runner(task_timeout_seconds=3)
    with pytest.raises(WorkerFailed, match="time limit"):
        runner.ask(MINIMAL, "north", "prepare_images", LONG)
    assert running(WORKER) == []
    assert list(tmp_path.rglob(".partial-*")) == []
    assert runner.ask(MINIMAL, "north", "prepare_images", QUICK)["images"] == 48


def test_a_killed_template_is_followed_by_a_new_one(runner: LocalHospitalRunner) -> None:
    assert runner.ask(EYES_ON, "north", "prepare_images", QUICK)["images"] == 48
    (template,) = running(TEMPLATE)
    template.kill()
    template.wait()
    assert runner.ask(EYES_ON, "north", "prepare_images", QUICK)["images"] == 48


def test_a_killed_supervisor_is_followed_by_a_new_one(runner: LocalHospitalRunner) -> None:
    with closing(runner.worker(EYES_ON, "north", "prepare_images")) as worker:
        supervisor = psutil.Process(worker.pid).parent()
        assert supervisor is not None
        supervisor.kill()
        with pytest.raises(WorkerFailed, match=r"ended \(signal 9\)"):
            worker.ask("prepare_images", hospital="north", arguments=QUICK, timeout_seconds=60)
    assert runner.ask(EYES_ON, "north", "prepare_images", QUICK)["images"] == 48


def test_all_that_was_started_ends_with_dagsters_run(tmp_path: Path) -> None:
    during: list[psutil.Process] = []

    @asset
    def images(context: AssetExecutionContext, hospitals: LocalHospitalRunner) -> dict[str, Any]:
        answer = hospitals.ask(MINIMAL, "north", "prepare_images", QUICK)
        during.extend(running(TEMPLATE) + running("supervisor coordinator"))
        return answer

    @asset
    def broken(images: dict[str, Any]) -> None:
        raise RuntimeError("the run fails")

    runner = LocalHospitalRunner(home_folder=str(tmp_path), hospitals=["north"], network="")
    with DagsterInstance.ephemeral() as instance:
        result = materialize(
            [images, broken],
            resources={"hospitals": runner},
            instance=instance,
            raise_on_error=False,
        )
    assert not result.success
    assert len(during) == 3  # two templates, a supervisor
    assert not any(process.is_running() for process in during)


def north_job() -> JobDefinition:
    """Returns a job that asks the hospital north; its home is the test's."""

    @asset
    def images(hospitals: LocalHospitalRunner) -> int:
        return int(hospitals.ask(MINIMAL, "north", "prepare_images", QUICK)["images"])

    runner = LocalHospitalRunner(
        home_folder=os.environ["FED_ASSETS_HOME"], hospitals=["north"], network=""
    )
    return Definitions(
        [images],
        jobs=[define_asset_job("north_job", AssetSelection.all())],
        resources={"hospitals": runner},
    ).resolve_job_def("north_job")


def test_nothing_is_opened_for_a_run_that_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FED_ASSETS_HOME", str(tmp_path / "home"))
    # As `dagster job execute` does, which sets the resources up again to show what came out.
    with (
        DagsterInstance.local_temp(str(tmp_path)) as instance,
        execute_job(reconstructable(north_job), instance) as result,
    ):
        assert result.success
        assert running(TEMPLATE) == []


def test_hospitals_that_are_asked_at_once_all_answer(runner: LocalHospitalRunner) -> None:
    def images(number: int) -> int:
        hospital = "north" if number % 2 else "south"
        return int(runner.ask(EYES_ON, hospital, "prepare_images", QUICK)["images"])

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(images, range(24))) == [48] * 24
    for hospital in ("north", "south"):
        assert len(outbox(runner, hospital, EYES_ON)) == 24


@pytest.mark.parametrize("sandbox", [MINIMAL, EYES_ON], ids=lambda sandbox: sandbox.name)
def test_a_hospital_notes_which_run_asked_and_tells_how_far_its_log_has_come(
    tmp_path: Path, sandbox: Sandbox
) -> None:
    answers: list[dict[str, Any]] = []

    @asset
    def images(hospitals: LocalHospitalRunner) -> None:
        answers.append(hospitals.ask(sandbox, "north", "prepare_images", QUICK))

    runner = LocalHospitalRunner(home_folder=str(tmp_path), hospitals=["north"], network="")
    with DagsterInstance.ephemeral() as instance:
        result = materialize([images], resources={"hospitals": runner}, instance=instance)
    asked, left = outbox(runner, "north", sandbox)
    assert (asked.kind, left.kind) == ("asked", "left")
    assert asked.peer == left.peer == f"run {result.run_id}"
    assert answers[0]["outbox"] == {"entries": 2, "hash": left.hash}
