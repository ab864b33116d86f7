"""Whole runs in which a hospital hangs or dies, and what a person is told of it."""

from __future__ import annotations

import json
import re
import signal
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from dagster import AssetKey, AssetObservation, DagsterInstance, DagsterRun

from fed_assets.federation.revocations import reinstate, revoke
from fed_assets_tests.places import LIFECYCLE, Place, make_place

pytestmark = pytest.mark.long

ROUNDS = 4


@dataclass(frozen=True)
class Ended:
    """A lifecycle in which something was done to a hospital after the first round.

    Attributes:
        place: Where.
        folder: The run's.
        code: Its exit code.
        told: The last lines that it printed to stderr.
    """

    place: Place
    folder: Path
    code: int
    told: list[str]

    def run(self, instance: DagsterInstance) -> DagsterRun:
        """Returns Dagster's record of it."""
        run = instance.get_run_by_id(self.place.run_id(self.folder))
        assert run is not None
        return run


def end_with(place: Place, number: signal.Signals) -> Ended:
    """Sends a signal to a hospital's job process after the first round, and waits for the end."""
    process, folder = place.start_until_round(1, *LIFECYCLE)
    (job,) = [
        member
        for member in psutil.Process(process.pid).children(recursive=True)
        if is_job_of(member, folder / "sites" / "south")
    ]
    job.send_signal(number)
    _, told = process.communicate(timeout=150)
    lines = [line for line in told.splitlines() if line.strip()]
    return Ended(place, folder, process.returncode, lines)


def is_job_of(process: psutil.Process, site: Path) -> bool:
    files = {Path(file.path) for file in process.open_files()}
    return any(file.match(f"{site}/*/log.txt") for file in files)


@pytest.fixture(scope="module")
def hanging(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """Returns a run whose hospital `south` hung from the first round on."""
    place = make_place(
        tmp_path_factory.mktemp("hanging") / "place",
        rounds=ROUNDS,
        quorum=2,
        federation={"round_timeout_seconds": 4},
    )
    return end_with(place, signal.SIGSTOP)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """Returns a run whose hospital `south` was killed, where the quorum needs it."""
    place = make_place(tmp_path_factory.mktemp("killed") / "place", rounds=200)
    return end_with(place, signal.SIGKILL)


def test_a_degraded_run_ends_by_saying_who_was_missing_in_which_rounds(hanging: Ended) -> None:
    assert hanging.code == 3
    assert re.fullmatch(
        rf"degraded: south was missing in rounds ([23])-{ROUNDS}: "
        r"it did not answer within 4 s in round \1",
        hanging.told[-1],
    )


def test_its_tags_its_check_and_its_report_say_the_same(hanging: Ended) -> None:
    said = hanging.told[-1].removeprefix("degraded: ")
    rounds = re.findall(r"rounds [\d-]+", said)[0]
    with DagsterInstance.from_config(str(hanging.place.home.instance)) as instance:
        run = hanging.run(instance)
        events = instance.all_logs(run.run_id)
    assert run.tags["fed_assets/outcome"] == "degraded"
    assert run.tags["fed_assets/missing"] == f"south: {rounds}"
    (check,) = [
        event.dagster_event.asset_check_evaluation_data
        for event in events
        if event.dagster_event is not None
        and event.dagster_event.event_type_value == "ASSET_CHECK_EVALUATION"
        and event.dagster_event.asset_check_evaluation_data.check_name == "every_hospital_took_part"
    ]
    assert (check.passed, check.description) == (False, said)
    report = json.loads(hanging.place.run("fed_assets.cli", "report", "minimal", "--json"))
    assert [each["said"] for each in report["shortfalls"]] == [said]
    page = (hanging.place.home.report("minimal") / "report.html").read_text()
    assert f"{said}." in page


def test_a_failed_run_ends_with_the_command_that_shows_the_hospitals_logs(killed: Ended) -> None:
    assert killed.code == 1
    failure, log, hint = killed.told[-3:]
    assert "south" in failure
    assert log.startswith("The run failed; its log is ")
    command = f"fed-assets logs {killed.folder.name} south"
    assert hint == f"The last lines of south: {command}"
    shown = killed.place.run("fed_assets.cli", *command.split()[1:])
    assert str(killed.folder / "sites" / "south" / "console.log") in shown


def last_observation(ended: Ended) -> AssetObservation:
    with DagsterInstance.from_config(str(ended.place.home.instance)) as instance:
        (record,) = instance.fetch_observations(AssetKey("global_model"), limit=1).records
    assert record.asset_observation is not None
    return record.asset_observation


def test_a_failed_run_observes_why_and_nvflares_commands_till_then(killed: Ended) -> None:
    metadata = last_observation(killed).metadata
    assert "south" in str(metadata["failure"].value)
    issued = [command["command"] for command in metadata["commands"].value]
    assert {"login", "submit_job"} <= set(issued)
    assert metadata["logs"].value == f"fed-assets logs {killed.folder.name} HOSPITAL"


def test_a_run_without_a_revoked_hospital_is_degraded_until_that_is_reinstated(
    tmp_path: Path,
) -> None:
    place = make_place(tmp_path / "place", rounds=1)
    revoke(place.home.prepare().revocations, "south")
    process = place.start(*LIFECYCLE)
    _, told = process.communicate(timeout=150)
    assert process.returncode == 3
    assert "degraded: south was left out before training: it is revoked since" in told
    sites = next(place.home.root.glob("federations/minimal/*/sites"))
    assert not (sites / "south").exists()
    assert reinstate(place.home.revocations, "south")
    place.run(*LIFECYCLE)


def test_an_interrupted_run_observes_that_too(tmp_path: Path) -> None:
    place = make_place(tmp_path / "place", rounds=200)
    process, folder = place.start_until_round(1, *LIFECYCLE)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    metadata = last_observation(Ended(place, folder, process.returncode, [])).metadata
    assert "interrupted" in str(metadata["failure"].value)
    issued = [command["command"] for command in metadata["commands"].value]
    assert any(command.startswith("abort_job") for command in issued)
