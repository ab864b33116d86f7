from __future__ import annotations

from pathlib import Path

import pytest

from fed_assets.errors import RunConfigError
from fed_assets.resources.home import StoredOn
from fed_assets.resources.settings import SHIPPED_ROSTER, settings_from
from fed_assets.sandboxes.presets import SHIPPED_CONFIGURABLE

HERE = Path("/somewhere")


def test_an_empty_environment_gives_the_shipped_files_and_a_home_right_here() -> None:
    settings = settings_from({}, working_directory=HERE)
    assert settings.home.root == HERE / ".fed_assets"
    assert (settings.roster, settings.configurable) == (SHIPPED_ROSTER, SHIPPED_CONFIGURABLE)
    assert settings.data is None
    assert settings.roster.is_file()
    assert settings.configurable.is_file()
    assert settings.prices.is_file()


def test_relative_paths_start_from_the_working_directory_and_absolute_ones_stay() -> None:
    environment = {
        "FED_ASSETS_HOME": "home",
        "FED_ASSETS_INSTANCE": "dagster.yaml",
        "FED_ASSETS_ROSTER": "../roster.yaml",
        "FED_ASSETS_DATA": "/data",
        "FED_ASSETS_SANDBOX": "mine.yaml",
        "FED_ASSETS_PRICES": "prices.yaml",
    }
    settings = settings_from(environment, working_directory=HERE)
    assert settings.home.root == HERE / "home"
    assert settings.home.instance_settings == HERE / "dagster.yaml"
    assert settings.roster == HERE / "../roster.yaml"
    assert settings.data == Path("/data")
    assert settings.configurable == HERE / "mine.yaml"
    assert settings.prices == HERE / "prices.yaml"


def test_containers_back_a_home_only_where_the_setting_says_so() -> None:
    assert settings_from({}, working_directory=HERE).home.stored_on is StoredOn.DISK
    blob = settings_from({"FED_ASSETS_STORAGE": "blob"}, working_directory=HERE)
    assert blob.home.stored_on is StoredOn.BLOB
    with pytest.raises(RunConfigError, match="Say disk or blob"):
        settings_from({"FED_ASSETS_STORAGE": "blobs"}, working_directory=HERE)


def test_an_empty_variable_counts_as_unset() -> None:
    names = ("HOME", "STORAGE", "INSTANCE", "ROSTER", "DATA", "SANDBOX", "PRICES")
    empty = {f"FED_ASSETS_{name}": "" for name in names}
    assert settings_from(empty, working_directory=HERE) == settings_from({}, working_directory=HERE)
