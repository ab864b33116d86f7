"""The price list: what it goes on with, what it finds wrong and shows, and its masked rounds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.price_list import HEADINGS, draw_prices, faults, table, title_of
from benchmarks.privacy import ARMS, gone_on_with, keep, measure, missing, protection
from benchmarks.quality import learn, prepared
from fed_assets.federation.roster import read_roster
from fed_assets.hospital.weights import read_weights
from fed_assets.sandboxes.controls import UpdateProtection
from fed_assets_tests.places import make_place

ASKED = {"hospitals": 10, "rounds": 15, "recipe": {"batch_size": 32}, "network": {"norm": "batch"}}


def quality(auroc: float, **changes: Any) -> dict[str, Any]:
    return {"auroc": auroc, "accuracy": auroc - 0.05, "epsilon": None, "digest": "d", **changes}


def costs(**changes: Any) -> dict[str, Any]:
    sizes = {"bytes_up": 1_237_311, "bytes_down": 1_260_450}
    taken = {"seconds": 45.2, "cpu_seconds": 96.6, "left_behind": [], **sizes}
    return {"seed": 0, "digest": "d", "epsilon": None, **taken, **changes}


@pytest.fixture
def record() -> dict[str, Any]:
    """Two seeds of three arms, and the federations of two of them."""
    made: dict[str, Any] = {**ASKED, "arms": {}}
    keep(made, "epsilon_8", 0, quality(0.91, epsilon=7.98, digest="a"))
    keep(made, "epsilon_8", 1, quality(0.93, epsilon=7.99, digest="b"))
    keep(made, "none", 0, quality(0.97))
    keep(made, "none", 1, quality(0.98))
    keep(made, "clip", 0, quality(0.97))
    keep(made, "none", None, costs())
    keep(made, "epsilon_8", None, costs(digest="c", epsilon=7.98))
    return made


def test_arms_stand_in_their_own_order_with_means_deviations_and_costs(
    record: dict[str, Any],
) -> None:
    assert table(record).splitlines() == [
        f"| {' | '.join(HEADINGS)} |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        "| none | 0.975 ± 0.007 | 0.925 ± 0.007 | 45 | 97 | 1,237.3 | 1,260.5 | |",
        "| clip | 0.970 | 0.920 | | | | | |",
        "| differential privacy, epsilon 8 | 0.920 ± 0.014 | 0.870 ± 0.014 | 45 | 97 | 1,237.3 "
        "| 1,260.5 | 7.99 |",
    ]


def test_what_was_measured_is_not_measured_again(record: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "privacy.json"
    arms = ["none", "clip", "epsilon_8"]
    assert missing(gone_on_with(file, ASKED), ["none"], [0, 1]) == [
        ("none", 0),
        ("none", 1),
        ("none", None),
    ]
    file.write_text(json.dumps(record))
    assert missing(gone_on_with(file, ASKED), arms, [0, 1]) == [("clip", 1), ("clip", None)]
    again = gone_on_with(file, ASKED, ["none"])
    assert missing(again, ["none"], [0]) == [("none", 0), ("none", None)]


def test_figures_of_another_recipe_are_not_gone_on_with(
    record: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "privacy.json"
    file.write_text(json.dumps(record))
    with pytest.raises(SystemExit, match="another rounds, recipe"):
        gone_on_with(file, {**ASKED, "recipe": {}, "rounds": 3})
    record["arms"]["none"]["protection"] = protection(UpdateProtection.CLIP).as_record()
    file.write_text(json.dumps(record))
    assert set(gone_on_with(file, ASKED)["arms"]) == {"clip", "epsilon_8"}


@pytest.mark.long
def test_a_run_that_fails_leaves_the_figures_of_the_others(tmp_path: Path) -> None:
    tasks = [("none", 0), ("clip", 0)]
    results = list(measure(tasks, 0, 1, 1, tmp_path / "no_such_folder"))
    assert {task for task, _ in results} == set(tasks)
    for _, result in results:
        with pytest.raises(SystemExit, match=r"pneumoniamnist\.npz was not found"):
            result()


def test_a_goal_that_is_missed_and_weights_that_differ_are_told(record: dict[str, Any]) -> None:
    assert faults(record) == []  # nothing repeats private noise
    record["arms"]["none"]["federation"]["digest"] = "other"
    record["arms"]["epsilon_8"]["federation"]["left_behind"] = ["python"]
    keep(record, "epsilon_8", 1, quality(0.80))
    assert faults(record) == [
        "the goal is missed: epsilon_8 reaches 0.855 of 0.900 AUROC",
        "none: the federation ended with other weights than the one process",
        "epsilon_8: the federation left python behind",
    ]


def test_the_picture_says_what_is_seen(record: dict[str, Any]) -> None:
    assert title_of(record) == (
        "AUROC is 0.975 unprotected, and 0.920 at the least, under differential privacy, epsilon 8"
    )
    picture = draw_prices(record)
    assert picture.content.startswith(b"\x89PNG")
    assert "means of 2" in picture.alt
    assert draw_prices(record).content == picture.content
    del record["arms"]["epsilon_8"], record["arms"]["clip"]
    assert title_of(record) == "Every protection reaches an AUROC of 0.975 or more"


def test_every_arm_has_the_numbers_of_the_presets() -> None:
    assert ARMS["clip"].bounds == {"max_norm": 5.0, "max_statistics_norm": 30.0}
    assert [ARMS[f"epsilon_{number}"].epsilon for number in (8, 3, 1)] == [8.0, 3.0, 1.0]


@pytest.mark.long
def test_a_masked_round_in_one_process_comes_to_what_a_clipped_one_does(tmp_path: Path) -> None:
    place = make_place(tmp_path / "place", data=dict(IMAGES))
    roster = read_roster(Path(place.environment["FED_ASSETS_ROSTER"]))
    ends = {}
    for kind in (
        UpdateProtection.CLIP,
        UpdateProtection.SECURE_AGGREGATION,
        UpdateProtection.NONE,
    ):
        folder = tmp_path / str(kind)
        folder.mkdir()
        stores, facts = prepared(roster, 0, folder, folder)
        bounds = {"max_norm": 0.05, "max_statistics_norm": 0.05}
        given = {} if kind is UpdateProtection.NONE else bounds
        asked = {"rounds": 1, "seed": 0, "folder": folder}
        learn(stores, facts, roster, protection=protection(kind, **given), **asked)
        ends[kind] = read_weights(folder / "weights.safetensors")

    def apart(one: UpdateProtection, other: UpdateProtection) -> float:
        pairs = ((ends[one][name], ends[other][name]) for name in ends[one])
        return max(float(np.abs(a.astype(float) - b.astype(float)).max()) for a, b in pairs)

    assert apart(UpdateProtection.CLIP, UpdateProtection.SECURE_AGGREGATION) < 1e-5
    assert apart(UpdateProtection.CLIP, UpdateProtection.NONE) > 1e-3


IMAGES = {
    "source": {"kind": "phantom", "images": 150, "test_images": 40, "size": 28},
    "share": {"how": "iid"},
}
