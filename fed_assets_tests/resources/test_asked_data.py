"""What a roster asks to be made of which images is known without reading any."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fed_assets.federation.data_sources import FolderSource, MedMnistSource
from fed_assets.federation.roster import Hospital, Roster, Share, read_roster
from fed_assets.resources.asked_data import asked_data
from fed_assets.resources.settings import SHIPPED_ROSTER
from fed_assets_tests.places import make_place


@pytest.fixture
def roster(tmp_path: Path) -> Roster:
    made = make_place(tmp_path / "place")
    return read_roster(Path(made.environment["FED_ASSETS_ROSTER"]))


def of_data(roster: Roster, **changes: Any) -> Roster:
    return roster.model_copy(update={"data": roster.data.model_copy(update=changes)})


def digest(roster: Roster, data: Path | None = None) -> str | None:
    return asked_data(roster, data=data, cache=Path("/nowhere"))


def test_what_changes_images_gives_another_one(roster: Roster) -> None:
    source = roster.data.source
    more = Hospital(id="west", name="west")
    own = roster.hospitals[0].model_copy(update={"source": FolderSource(kind="folder", path="/x")})
    fractions = {"train": 0.8, "validation": 0.1, "test": 0.1}
    found = [
        digest(each)
        for each in (
            roster,
            of_data(roster, share=Share(seed=1)),
            of_data(roster, share=Share(alpha=5.0)),
            of_data(roster, image_size=64),
            of_data(roster, split_fractions=fractions),
            of_data(roster, source=source.model_copy(update={"images": 250})),
            of_data(roster, common_test=False),
            of_data(roster, expectations={"blank_share": 0.5}),
            roster.model_copy(update={"hospitals": (*roster.hospitals, more)}),
            roster.model_copy(update={"hospitals": roster.hospitals[:2]}),
            roster.model_copy(update={"hospitals": roster.hospitals[::-1]}),
            roster.model_copy(update={"hospitals": (own, *roster.hospitals[1:])}),
        )
    ]
    assert None not in found and len(set(found)) == len(found)


def test_what_changes_no_image_gives_the_same(roster: Roster) -> None:
    renamed = [each.model_copy(update={"name": f"{each.id} clinic"}) for each in roster.hospitals]
    changed = roster.model_copy(
        update={"hospitals": tuple(renamed), "rounds": 3, "threshold": 0.3, "title": "Another"}
    )
    assert digest(changed) == digest(roster)


def test_an_official_file_is_the_same_wherever_it_lies_and_no_made_up_images(
    tmp_path: Path,
) -> None:
    import os

    given = Path(os.environ.get("FED_ASSETS_DATA", "../shared/data")) / "pneumoniamnist.npz"
    if not given.is_file():
        pytest.skip("the official PneumoniaMNIST is not here")
    shipped = read_roster(SHIPPED_ROSTER)
    (tmp_path / given.name).write_bytes(given.read_bytes())
    assert digest(shipped, tmp_path) == digest(shipped, given.parent) is not None
    assert digest(shipped) not in (None, digest(shipped, tmp_path))  # images are made up


def test_what_is_not_here_cannot_be_told(roster: Roster) -> None:
    missing = MedMnistSource(kind="medmnist", dataset="bloodmnist")
    assert digest(of_data(roster, source=missing)) is None
