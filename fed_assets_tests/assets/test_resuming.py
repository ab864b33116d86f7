"""Runs that are killed in mid-training, executed again, killed again, and trained to their end."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from dagster import DagsterInstance, ExecuteInProcessResult

from fed_assets.definitions import build_definitions
from fed_assets.federation.roster import read_roster
from fed_assets.resources.home import Home
from fed_assets.resources.settings import Settings
from fed_assets_tests.places import LIFECYCLE, RETRAIN, Place, make_place

pytestmark = pytest.mark.long

ROUNDS = 6
REEXECUTION = "fed_assets_tests.assets.reexecution"


def rounds_in(folder: Path) -> list[int]:
    published = (folder / "outbox" / "rounds").glob("[0-9]*")
    return sorted(int(path.name) for path in published)


@dataclass(frozen=True)
class KilledTwice:
    """A lifecycle that was killed, executed again, killed again, and retrained.

    Attributes:
        place: Where.
        first: Folder of the lifecycle that was killed, and the rounds that it had by then.
        second: The same of Dagster's re-execution.
    """

    place: Place
    first: tuple[Path, list[int]]
    second: tuple[Path, list[int]]


@pytest.fixture(scope="module")
def killed_twice(tmp_path_factory: pytest.TempPathFactory) -> KilledTwice:
    here = make_place(tmp_path_factory.mktemp("killed") / "place", rounds=ROUNDS)
    first = here.kill_after_round(2, *LIFECYCLE)
    rounds = rounds_in(first)
    again = here.kill_after_round(rounds[-1] + 1, REEXECUTION, here.run_id(first))
    done = rounds_in(again)
    here.run(*RETRAIN)
    return KilledTwice(here, (first, rounds), (again, done))


def plan_of(folder: Path) -> dict[str, Any]:
    plan: dict[str, Any] = json.loads((folder / "plan.json").read_text())
    return plan


def test_a_killed_run_keeps_every_round_that_was_published(killed_twice: KilledTwice) -> None:
    for _, rounds in (killed_twice.first, killed_twice.second):
        assert rounds == list(range(1, rounds[-1] + 1))
        assert rounds[-1] < ROUNDS


def test_dagsters_re_execution_goes_on_after_the_last_round(killed_twice: KilledTwice) -> None:
    (first, done), (second, _) = killed_twice.first, killed_twice.second
    assert plan_of(first)["start_round"] == 1
    assert plan_of(second)["start_round"] == done[-1] + 1
    weights = "outbox/rounds/0002/global.safetensors"
    assert os.path.samefile(first / weights, second / weights)


def test_retrain_goes_on_from_where_the_re_execution_was_killed(
    killed_twice: KilledTwice,
) -> None:
    second, done = killed_twice.second
    value = killed_twice.place.artifact("global_model")
    run = killed_twice.place.run_id(second)
    assert value["resumed_from"] == {"run": run, "round": done[-1]}
    logs = (killed_twice.place.home.root / "logs").glob("*.log")
    line = f"Goes on after round {done[-1]} of {ROUNDS}, from run {run[:8]}"
    assert any(line in each.read_text() for each in logs)


def test_the_result_holds_every_round_and_is_that_of_a_run_which_nobody_killed(
    killed_twice: KilledTwice, tmp_path: Path
) -> None:
    value = killed_twice.place.artifact("global_model")
    assert [record["round_number"] for record in value["rounds"]] == list(range(1, ROUNDS + 1))
    report = killed_twice.place.artifact("evaluation_report")
    assert report["rounds"] == ROUNDS
    assert not report["degraded"]
    assert len(report["curves"]["loss"]["mean"]) == ROUNDS
    assert len(killed_twice.place.artifact("north/local_rounds")) == ROUNDS
    whole = make_place(tmp_path / "place", rounds=ROUNDS)
    whole.run(*LIFECYCLE)
    expected = whole.artifact("global_model")
    assert expected["resumed_from"] is None
    assert value["final_digest"] == expected["final_digest"]
    digests = [[record["global_digest"] for record in each["rounds"]] for each in (value, expected)]
    assert digests[0] == digests[1]


def test_a_killed_runs_nvflare_commands_are_listed_with_the_others(
    killed_twice: KilledTwice,
) -> None:
    listed = json.loads(
        killed_twice.place.run("fed_assets.cli", "federation", "history", "minimal", "--json")
    )
    assert len(listed) == 3
    for run in listed:
        issued = [command["command"] for command in run["commands"]]
        assert {"login", "check_status server", "submit_job"} <= set(issued)


def test_a_killed_runs_logs_can_be_read(killed_twice: KilledTwice) -> None:
    shown = killed_twice.place.run("fed_assets.cli", "logs", killed_twice.first[0].name, "east")
    assert f"{killed_twice.first[0]}/sites/east/console.log" in shown
    assert "worker.log" in shown


def test_a_retrain_after_success_starts_anew(
    killed_twice: KilledTwice,
) -> None:
    killed_twice.place.run(*RETRAIN)
    value = killed_twice.place.artifact("global_model")
    assert value["resumed_from"] is None
    newest = killed_twice.place.home.federations("minimal")[0]
    assert plan_of(newest)["start_round"] == 1


@pytest.fixture
def execute(tmp_path: Path) -> Any:
    """Returns a function that executes a job in this process, in a home of its own."""
    roster = make_place(tmp_path / "place", rounds=ROUNDS).environment["FED_ASSETS_ROSTER"]
    home = Home(tmp_path / "place" / "home").prepare()
    settings = Settings(home=home, roster=Path(roster))
    definitions = build_definitions(settings, read_roster(settings.roster))

    def execute(job: str, **training: Any) -> ExecuteInProcessResult:
        with DagsterInstance.from_config(str(home.instance)) as instance:
            return definitions.resolve_job_def(job).execute_in_process(
                instance=instance,
                partition_key="minimal",
                run_config={"ops": {"federated_training": {"config": training}}},
                raise_on_error=False,
            )

    return execute


def test_a_run_that_failed_after_its_last_round_is_reported_on_without_training_again(
    execute: Any, tmp_path: Path
) -> None:
    home = Home(tmp_path / "place" / "home")
    home.tracking.rmdir()
    home.tracking.write_text("no folder")
    failed = [execute("federated_lifecycle", rounds=1) for _ in range(2)]
    assert [each.success for each in failed] == [False, False]
    for each in failed:  # a lifecycle never goes on from another
        assert (home.federation("minimal", each.run_id) / "sites").exists()
    home.tracking.unlink()
    home.tracking.mkdir()
    mended = execute("retrain", rounds=1)
    assert mended.success
    value = mended.output_for_node("federated_training", "global_model")
    assert value["resumed_from"] == {"run": failed[1].run_id, "round": 1}
    assert value["commands"] == ()
    assert not (home.federation("minimal", mended.run_id) / "sites").exists()
    report = mended.output_for_node("evaluation_report")
    assert report["resumed_from"] == value["resumed_from"]
    assert report["seconds"] > 0
