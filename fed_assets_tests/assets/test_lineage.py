"""What whole runs record of what made their models, and that it outlives Dagster's database."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from fed_assets.federation.withdrawals import withdraw
from fed_assets.resources.ledger import read_ledger
from fed_assets_tests.places import LIFECYCLE, RETRAIN, Place, make_place

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]
PATIENCE_SECONDS = 400  # for a whole run, where other work holds the processors
ROUNDS = 60
NAMES = ("north", "east", "south")


def lineages(place: Place) -> dict[str, dict[str, Any]]:
    found = [json.loads(path.read_text()) for path in place.home.lineage.glob("*.json")]
    return {record["run_id"]: record for record in found}


def command(place: Place, *arguments: str) -> tuple[int, str]:
    """Returns the exit code of a command, and all that it told."""
    process = place.start("fed_assets.cli", *arguments)
    try:
        told, errors = process.communicate(timeout=PATIENCE_SECONDS)
    finally:
        process.kill()  # what it started goes with it; one that has ended is left
    return process.returncode, " ".join((told + errors).split())


def succeed(place: Place, *arguments: str) -> str:
    """Returns what a command told that ended well."""
    code, told = command(place, *arguments)
    assert code == 0, told
    return told


def first_round(place: Place) -> Path:
    """Returns the rounds' folder of the run that is under way, as soon as one is published."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not (found := list(place.home.root.glob("federations/*/*/outbox/rounds/0001"))):
        assert time.monotonic() < end
        time.sleep(0.02)
    return found[0].parent


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Returns a place with a run that was killed after its first round, and one that went on."""
    place = make_place(tmp_path_factory.mktemp("lineage") / "place", rounds=4)
    process = place.start(*LIFECYCLE)
    first_round(place)
    family = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate()
    psutil.wait_procs(family, timeout=60)
    succeed(place, *RETRAIN[1:])
    return place


def test_a_run_that_went_on_names_the_rounds_of_the_run_before(finished: Place) -> None:
    (record,) = lineages(finished).values()
    taken_over = record["resumed_from"]["round"]
    assert taken_over >= 1
    runs = [each["run"] for each in record["rounds"]]
    assert runs[:taken_over] == [record["resumed_from"]["run"]] * taken_over
    assert set(runs[taken_over:]) <= {record["run_id"]}
    assert len(record["rounds"]) == 4
    for name in NAMES:
        assert record["hospitals"][name]["rounds"] == [1, 2, 3, 4]


def test_what_it_says_is_what_the_federation_wrote(finished: Place) -> None:
    (record,) = lineages(finished).values()
    roster, model = finished.artifact("federation_roster"), finished.artifact("global_model")
    for name in NAMES:
        assert record["hospitals"][name]["data_digests"] == [roster["digests"][name]]
    last = model["rounds"][-1]
    assert record["weights_digest"] == last["global_digest"]
    sent = record["rounds"][-1]["participants"]
    assert {name: each["update_digest"] for name, each in sent.items()} == {
        name: each["update_digest"] for name, each in last["participants"].items()
    }
    assert sum(each["weight"] for each in sent.values()) == pytest.approx(1, abs=1e-3)
    weights = Path(model["final_weights"]).read_bytes()
    assert record["weights_file_digest"] == hashlib.sha256(weights).hexdigest()
    submitted = [each["answer"] for each in model["commands"] if each["command"] == "submit_job"]
    assert record["job"] == (submitted[-1] if submitted else None)


def test_the_version_has_its_card_and_the_same_run(finished: Place) -> None:
    (model,) = read_ledger(finished.home)
    assert (model.name, model.lineage is not None) == ("minimal@1", True)
    folder = finished.home.models("minimal") / "v1"
    assert json.loads((folder / "card.json").read_text())["model_details"]["run_id"] == model.run_id
    assert "SYNTHETIC DATA" in (folder / "card.html").read_text()


def test_trace_answers_the_same_when_dagsters_database_is_lost(finished: Place) -> None:
    asked = [("minimal@1",), ("minimal@1", "--json"), ("north",), ("north", "--json")]
    before = [succeed(finished, "trace", *arguments) for arguments in asked]
    kept = finished.home.root / "kept"
    shutil.move(finished.home.instance, kept)
    try:
        assert [succeed(finished, "trace", *arguments) for arguments in asked] == before
    finally:
        shutil.rmtree(finished.home.instance, ignore_errors=True)
        shutil.move(kept, finished.home.instance)


def test_a_hospital_that_withdraws_while_a_run_trains_is_in_no_model(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    place = make_place(tmp_path_factory.mktemp("withdrawn") / "place", rounds=ROUNDS, quorum=2)
    process = place.start(*LIFECYCLE)
    rounds = first_round(place)
    withdraw(place.home.withdrawals, "south", by="Ada", because="its board decided so")
    _, told = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 1
    assert "data of a hospital that withdrew. Where: south." in " ".join(told.split())
    assert (
        len(list(rounds.glob("0*"))) < ROUNDS
    )  # it ended with the round, and not with the training
    assert lineages(place) == {}
    assert read_ledger(place.home) == ()

    code, said = command(place, "run", "minimal", "--job", "retrain")
    assert code == 1
    assert "Nothing is trained with data of a hospital that withdrew" in said

    succeed(place, "run", "minimal", "--rounds", "1")
    (record,) = lineages(place).values()
    assert [*record["hospitals"]] == ["north", "east"]
    assert record["withdrawn"] == ["south"]
    assert not record["degraded"]
    assert "it withdrew on" in place.artifact("evaluation_report")["excluded"]["south"]


def test_forget_retires_what_contains_it_and_trains_without_it(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    place = make_place(tmp_path_factory.mktemp("forget") / "place", rounds=1, quorum=2)
    succeed(place, *LIFECYCLE[1:])
    told = succeed(place, "forget", "south", "--yes", "--by", "Ada", "--because", "so")
    assert "minimal is trained without south." in told
    first, second = read_ledger(place.home)
    assert (first.name, "retired" in first.states) == ("minimal@1", True)
    assert [*second.hospitals] == ["north", "east"]
    assert "challenger" in second.states
    assert second.lineage is not None and second.lineage["withdrawn"] == ["south"]
