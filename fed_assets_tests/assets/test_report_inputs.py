"""What a report and a card call the images that a model learned from, and was tested on."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from fed_assets.assets.report_inputs import common_test_name, data_name
from fed_assets.federation.roster import Roster, read_roster

NAMES = ("north", "east", "south")
PUBLIC = {"kind": "medmnist", "dataset": "pneumoniamnist"}
FOLDER = {"kind": "folder", "path": "/data/st_mary_1815"}
DICOM = {"kind": "dicom", "path": "/data/north"}


def a_roster(folder: Path, entries: dict[str, Any], **own: dict[str, Any]) -> Roster:
    changed = copy.deepcopy(entries) | {"data": {"source": PUBLIC}}
    for hospital in changed["hospitals"]:
        if hospital["id"] in own:
            hospital["source"] = own[hospital["id"]]
    path = folder / "roster.yaml"
    path.write_text(yaml.safe_dump(changed))
    return read_roster(path)


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({}, "pneumoniamnist"),
        (dict.fromkeys(NAMES, FOLDER), "own images of 3 hospitals (folder)"),
        (
            {"north": DICOM, "south": FOLDER},
            "pneumoniamnist and own images of 2 hospitals (dicom, folder)",
        ),
        ({"north": DICOM}, "pneumoniamnist and own images of 1 hospital (dicom)"),
    ],
)
def test_training_data_are_named_by_what_each_participant_learns_from(
    tmp_path: Path, entries: dict[str, Any], own: dict[str, Any], said: str
) -> None:
    named = data_name(a_roster(tmp_path, entries, **own), NAMES)
    assert named == said
    assert "1815" not in named


def test_who_takes_no_part_names_nothing(tmp_path: Path, entries: dict[str, Any]) -> None:
    roster = a_roster(tmp_path, entries, north=FOLDER, east=FOLDER)
    assert data_name(roster, ("north", "east")) == "own images of 2 hospitals (folder)"


def test_the_common_test_set_has_a_name_of_its_own(tmp_path: Path, entries: dict[str, Any]) -> None:
    roster = a_roster(tmp_path, entries, **dict.fromkeys(NAMES, FOLDER))
    assert common_test_name(roster, {"synthetic": False}) == "pneumoniamnist"
    assert common_test_name(roster, {"synthetic": True}) == "synthetic chest X-rays"
    assert common_test_name(roster, None) is None
