"""The settings of Dagster's instance for each way to run it: read by Dagster, and alike."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster import DagsterInvalidConfigError
from dagster._config import process_config, resolve_to_config_type
from dagster._core.instance.config import dagster_instance_config
from dagster._core.instance.ref import InstanceRef

from fed_assets.resources.instance_settings import INSTANCE_SETTINGS
from fed_assets_tests.places import PROJECT

SETTINGS = sorted((PROJECT / "deploy").glob("*/dagster.yaml"))
ALIKE = ("telemetry", "nux", "run_monitoring")


def settle(folder: Path, settings: dict[str, Any]) -> InstanceRef:
    (folder / "dagster.yaml").write_text(yaml.safe_dump(settings))
    dagster_instance_config(str(folder))
    return InstanceRef.from_dir(str(folder))


def require_known(ref: InstanceRef) -> None:
    """Has each part's own class read its settings; a launcher is not made, which needs a cluster.

    Raises:
        DagsterInvalidConfigError: a class does not know a setting, or misses one.
    """
    for data in (ref.storage_data, ref.run_launcher_data, ref.run_coordinator_data):
        assert data is not None
        kind = getattr(importlib.import_module(data.module_name), data.class_name)
        read = process_config(resolve_to_config_type(kind.config_type()), data.config_dict)
        if not read.success:
            raise DagsterInvalidConfigError(data.class_name, read.errors, data.config_dict)


def test_there_is_one_for_each_way() -> None:
    assert {path.parent.name for path in SETTINGS} >= {"postgres", "kubernetes"}


@pytest.mark.parametrize("path", SETTINGS, ids=lambda path: path.parent.name)
def test_dagster_makes_of_it_what_it_says(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = yaml.safe_load(path.read_text())
    shipped = yaml.safe_load(INSTANCE_SETTINGS.read_text())
    assert {name: settings[name] for name in ALIKE} == {name: shipped[name] for name in ALIKE}
    for name in variables(settings):
        monkeypatch.setenv(name, f"postgresql+psycopg2://{name.lower()}@127.0.0.1:1/db")
    require_known(settle(tmp_path, settings))


@pytest.mark.parametrize("path", SETTINGS, ids=lambda path: path.parent.name)
def test_no_secret_is_written_in_it(path: Path) -> None:
    database = yaml.safe_load(path.read_text())["storage"]["postgres"]
    if "auth_provider" in database:  # a token takes the password's place
        assert database["postgres_db"]["password"] == ""
    else:
        assert database == {"postgres_url": {"env": "FED_ASSETS_DATABASE"}}


def test_a_word_that_dagster_does_not_know_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FED_ASSETS_DATABASE", "postgresql+psycopg2://127.0.0.1:1/db")
    settings = yaml.safe_load((PROJECT / "deploy/kubernetes/dagster.yaml").read_text())
    settings["run_launcher"]["config"]["service_account"] = "other"
    with pytest.raises(DagsterInvalidConfigError, match="service_account"):
        require_known(settle(tmp_path, settings))


def variables(settings: Any) -> set[str]:
    """Returns the environment's variables that settings name."""
    if isinstance(settings, dict):
        own = {settings["env"]} if set(settings) == {"env"} else set()
        return own.union(*map(variables, settings.values())) if settings else own
    return set().union(*map(variables, settings)) if isinstance(settings, list) else set()
