"""Dagster's instance on a Postgres server: all of a run's records are there, and none at home."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster import DagsterInstance, DagsterRunStatus

from fed_assets_tests.deploy.postgres import postgres
from fed_assets_tests.places import PROJECT, Place, make_place

RUN_SECONDS = 600
SETTINGS = PROJECT / "deploy" / "postgres" / "dagster.yaml"


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    # The server is another user than root, who cannot pass pytest's own folders.
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder, postgres(Path(folder)) as url:
        yield url


@pytest.fixture
def place(tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch) -> Place:
    place = make_place(tmp_path / "place")
    place.environment["FED_ASSETS_INSTANCE"] = str(SETTINGS)
    place.environment["FED_ASSETS_DATABASE"] = database
    monkeypatch.setenv("FED_ASSETS_DATABASE", database)
    return place


def runs(place: Place) -> list[DagsterRunStatus]:
    with DagsterInstance.from_config(str(place.home.instance)) as instance:
        return [each.status for each in instance.get_runs()]


def test_another_password_is_refused_and_no_password_is_told(place: Place, database: str) -> None:
    user, _, host = database.partition("@")
    place.environment["FED_ASSETS_DATABASE"] = f"{user}x@{host}"
    code, told = place.tell("run", "minimal")
    assert code != 0
    assert "password authentication failed" in told
    assert "Traceback" not in told
    assert user.rpartition(":")[2] not in told


def test_without_the_address_the_variable_is_named(place: Place) -> None:
    del place.environment["FED_ASSETS_DATABASE"]
    code, told = place.tell("run", "minimal")
    assert code != 0
    assert "FED_ASSETS_DATABASE" in told
    assert "Traceback" not in told


def test_settings_that_are_not_there_are_named(place: Place, tmp_path: Path) -> None:
    place.environment["FED_ASSETS_INSTANCE"] = str(tmp_path / "none.yaml")
    code, told = place.tell("run", "minimal")
    assert code != 0
    assert "FED_ASSETS_INSTANCE" in told
    assert "none.yaml" in told


@pytest.mark.long
@pytest.mark.parametrize("sandbox", ["minimal", "eyes_off"])
def test_a_whole_run_leaves_its_records_at_the_server_alone(place: Place, sandbox: str) -> None:
    place.run("fed_assets.cli", "approve-code", sandbox)
    process = place.start("fed_assets.cli", "run", sandbox, "--rounds", "1")
    told, errors = process.communicate(timeout=RUN_SECONDS)
    assert process.returncode == 0, told + errors
    assert DagsterRunStatus.SUCCESS in runs(place)
    assert list(place.home.instance.rglob("*.db")) == []
