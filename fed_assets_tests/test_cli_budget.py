"""`fed-assets budget` as a hospital's data officer types it, where there is nothing to show."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from fed_assets.cli import app
from fed_assets.sandboxes.presets import EYES_ON
from fed_assets_tests.places import Place, make_place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = make_place(tmp_path / "place")
    controls = {str(name): str(EYES_ON.value(name)) for name in EYES_ON.controls()}
    file = tmp_path / "private.yaml"
    file.write_text(yaml.safe_dump(controls | {"update_protection": "differential_privacy"}))
    made.environment["FED_ASSETS_SANDBOX"] = str(file)
    return made


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("north", "minimal"), "north has no privacy budget in minimal"),
        (("north", "configurable"), "north keeps nothing in configurable"),
        (("west", "configurable"), "west"),
    ],
)
def test_where_there_is_no_budget_it_says_why(
    place: Place, command: tuple[str, str], said: str
) -> None:
    result = CliRunner().invoke(app, ["budget", *command], env=place.environment)
    assert result.exit_code == 1
    assert said in result.output + str(result.exception)
