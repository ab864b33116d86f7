"""The benchmark of quality: what it goes on with, what it shows, and its pooled model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.piecewise import as_done, begun, keep_as_done
from benchmarks.quality import (
    keep,
    known,
    learn_model,
    learn_pooled,
    missing,
    one,
    prepared,
    shared_out,
    whole,
)
from benchmarks.quality_table import ALONE, POOLED, table
from benchmarks.record import write_record
from fed_assets.federation.roster import read_roster
from fed_assets_tests.places import make_place
from fed_assets_tests.test_bench_privacy import IMAGES

ASKED = {"rounds": 15, "recipe": {"batch_size": 32}}


def reached(auroc: float) -> dict[str, Any]:
    return {"auroc": auroc, "accuracy": auroc - 0.1, "training_images": 100}


@pytest.fixture
def record() -> dict[str, Any]:
    """Skewed: two seeds of two models, and one of the pooled; of IID one federation alone."""
    made: dict[str, Any] = {**ASKED, "figures": {}}
    for seed, shift in ((0, 0.0), (1, 0.02)):
        keep(made, ("skewed", "federated", 15, seed), reached(0.96 + shift))
        alone = {"north": reached(0.90 + shift), "south": reached(0.80)}
        keep(made, ("skewed", "alone", 15, seed), alone)
    keep(made, ("skewed", "pooled", 15, 1), reached(0.99))
    keep(made, ("skewed", "federated", 25, 0), reached(0.97))
    keep(made, ("iid", "federated", 15, 0), reached(0.975))
    return made


def test_what_was_measured_is_not_measured_again(record: dict[str, Any], tmp_path: Path) -> None:
    nothing = begun(tmp_path / "quality.json", ASKED, "figures")
    assert len(missing(nothing, [15, 25], [0, 1])) == 2 * 2 * 3 + 2
    write_record(tmp_path / "quality.json", whole(record), ("numpy",))
    gone_on = begun(tmp_path / "quality.json", ASKED, "figures")
    assert missing(gone_on, [15, 25], [0, 1]) == [
        ("skewed", "pooled", 15, 0),
        ("iid", "pooled", 15, 0),
        ("iid", "alone", 15, 0),
        ("iid", "federated", 15, 1),
        ("iid", "pooled", 15, 1),
        ("iid", "alone", 15, 1),
        ("skewed", "federated", 25, 1),
    ]
    assert known(gone_on, ("skewed", "pooled", 15, 1))["figures"]["auroc"] == 0.99
    with pytest.raises(SystemExit, match="measured with another recipe"):
        begun(tmp_path / "quality.json", {**ASKED, "recipe": {}}, "figures")


def test_the_table_has_means_deviations_gains_and_blanks(record: dict[str, Any]) -> None:
    assert table(record).splitlines() == [
        "|  | skewed (as shipped): AUROC | skewed (as shipped): accuracy | IID: AUROC "
        "| IID: accuracy |",
        "| --- | --- | --- | --- | --- |",
        "| federated, 15 rounds | 0.970 ± 0.014 | 0.870 ± 0.014 | 0.975 | 0.875 |",
        "| all images pooled, 15 rounds | 0.990 | 0.890 |  |  |",
        "| each hospital alone, 15 rounds, mean | 0.855 ± 0.007 | 0.755 ± 0.007 |  |  |",
        "| the worst hospital alone | 0.800 ± 0.000 | 0.700 ± 0.000 |  |  |",
        "| the best hospital alone | 0.910 ± 0.014 | 0.810 ± 0.014 |  |  |",
        f"| federated less alone, mean | {' | '.join(['+0.115 (+0.051 to +0.179)'] * 2)} |  |  |",
        "| federated less alone, least | +0.060 | +0.060 |  |  |",  # of no width, which is none
        f"| federated less alone, most | {' | '.join(['+0.170 (+0.043 to +0.297)'] * 2)} |  |  |",
        "| federated less pooled | -0.010 | -0.010 |  |  |",
        "| federated, 25 rounds | 0.970 | 0.870 |  |  |",
    ]


def test_what_ships_stands_at_the_top_of_the_file(record: dict[str, Any]) -> None:
    held = whole(record)
    assert held["auroc_mean"] == pytest.approx(0.97)
    assert held["accuracy_sd"] == pytest.approx(0.0141, abs=1e-4)
    assert json.loads(json.dumps(held, allow_nan=False))["figures"] == record["figures"]


def test_one_part_that_fails_leaves_the_figures_of_the_others(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fails() -> Any:
        raise SystemExit("no images")

    kept: dict[str, Any] = {}
    failed = keep_as_done(
        [("first", lambda: 1), ("second", fails), ("third", lambda: 3)], kept.__setitem__, str
    )
    assert kept == {"first": 1, "third": 3}
    assert failed == ["second: no images"]
    assert capsys.readouterr().err.splitlines() == ["first", "second: no images", "third"]


@pytest.mark.slow
def test_without_the_official_images_nothing_is_measured(tmp_path: Path) -> None:
    (part,) = as_done(one, [("skewed", "federated", 1, 0)], 1, tmp_path)
    assert part[0] == ("skewed", "federated", 1, 0)
    with pytest.raises(SystemExit, match=r"pneumoniamnist\.npz was not found"):
        part[1]()


@pytest.mark.slow
@pytest.mark.parametrize("share", ["skewed", "iid"])
def test_the_pooled_model_learns_from_what_all_hospitals_do(tmp_path: Path, share: str) -> None:
    skewed = {**IMAGES, "share": {"how": "dirichlet", "alpha": 0.5}}
    place = make_place(tmp_path / "place", data=skewed)
    roster = shared_out(read_roster(Path(place.environment["FED_ASSETS_ROSTER"])), share)
    stores, facts = prepared(roster, 0, tmp_path, tmp_path)
    found = {
        name: learn_model(name, stores, facts, roster, rounds=1, seed=0, folder=tmp_path)
        for name in (POOLED, ALONE)
    }
    pooled, alone = found[POOLED], found[ALONE]
    assert list(alone) == ["north", "east", "south"]
    images = [each["training_images"] for each in alone.values()]
    assert pooled["training_images"] == sum(images)
    assert (max(images) - min(images) <= 2) == (share == "iid")
    assert len({pooled["digest"], *(each["digest"] for each in alone.values())}) == 4
    again = learn_pooled(stores, facts, roster, rounds=1, seed=0, folder=tmp_path)
    assert again["digest"] == pooled["digest"]
