"""The benchmark of rules under attack: what it goes on with, and how it shows its record."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import robust
from benchmarks.attacked_rules import draw_rules, recipe_table, table, title_of
from benchmarks.quality import learned_with
from benchmarks.robust import RULES, attacks_on, gone_on_with, missing, report
from fed_assets.reporting.robust_rules import ATTACKS, NAMES, WITHSTANDING
from fed_assets.sandboxes.controls import Aggregation
from fed_assets.sandboxes.protection import Rule

ASKED = {"rounds": 15}


def reached(*accuracies: float, seed: int = 0) -> dict[str, dict[str, dict[str, float]]]:
    """Returns figures by attack and seed, of as many attacks as there are accuracies."""
    figures = [{str(seed): {"accuracy": each, "auroc": each + 0.05}} for each in accuracies]
    return {attack: dict(*figures[at : at + 1]) for at, attack in enumerate(ATTACKS)}


FIGURES = {
    "fedavg": reached(0.93, 0.375, 0.62),
    "weighted_median": reached(0.92, 0.915, 0.91),
    "trimmed_mean": reached(0.925, 0.92, 0.88),
    "multi_krum": reached(0.92, 0.91),
    "fedprox": {"none": reached(0.931)["none"]},
    "fedopt": {"none": {}},
}


@pytest.fixture
def record() -> dict[str, Any]:
    return ASKED | report(FIGURES)


def test_a_rule_holds_that_loses_little_and_no_word_is_said_before_all_is_measured(
    record: dict[str, Any],
) -> None:
    rules = record["rules"]
    assert (rules["weighted_median"]["held"], rules["trimmed_mean"]["held"]) == (True, False)
    assert rules["fedavg"]["accuracy_lost"] == pytest.approx(0.555)
    assert "held" not in rules["multi_krum"] and "held" not in rules["fedprox"]
    assert set(rules["fedavg"]["none"]) == {"accuracy", "auroc"}


def test_figures_are_means_of_the_seeds_that_a_rule_was_measured_with_under_each_attack() -> None:
    again = reached(0.94, 0.915, 0.895, seed=2)
    median = FIGURES["weighted_median"]
    both = {attack: median[attack] | again[attack] for attack in ATTACKS}
    rule = report({"weighted_median": both})["rules"]["weighted_median"]
    assert rule["seeds"] == [0, 2]
    assert rule["none"]["accuracy"] == pytest.approx(0.93)
    assert rule["flipped"]["auroc"] == pytest.approx(0.9525)
    assert rule["accuracy_lost"] == pytest.approx(0.0275)
    assert rule["held"]
    both["flipped"] = median["flipped"]  # an interrupted benchmark
    rule = report({"weighted_median": both})["rules"]["weighted_median"]
    assert (rule["seeds"], rule["none"]["accuracy"]) == ([0], 0.92)


def test_the_tables_say_what_was_not_measured(record: dict[str, Any]) -> None:
    assert table(record).splitlines() == [
        "| rule | nobody hostile | updates 20 times as large, in the other direction | false "
        "labels, and 20 times the images claimed | accuracy lost | held (0.03 at most) | seeds |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| `fedavg` | 0.930 / 0.980 | 0.375 / 0.425 | 0.620 / 0.670 | 0.555 | no | 0 |",
        "| `weighted_median` | 0.920 / 0.970 | 0.915 / 0.965 | 0.910 / 0.960 | 0.010 | yes | 0 |",
        "| `trimmed_mean` | 0.925 / 0.975 | 0.920 / 0.970 | 0.880 / 0.930 | 0.045 | no | 0 |",
        "| `multi_krum` | 0.920 / 0.970 | 0.910 / 0.960 | not measured | not measured | not "
        "measured | 0 |",
    ]
    assert recipe_table(record).splitlines()[2:] == [
        "| `fedavg` | 0.930 | 0.980 | 0 |",
        "| `fedprox` | 0.931 | 0.981 | 0 |",
        "| `fedopt` | not measured | not measured | not measured |",
    ]


def test_the_picture_says_what_is_seen(record: dict[str, Any]) -> None:
    fall = "2 hostile hospitals bring the plain mean to 0.38; "
    assert title_of(record) == f"{fall}the weighted median holds"
    picture = draw_rules(record)
    assert picture.content.startswith(b"\x89PNG")
    assert draw_rules(record).content == picture.content
    assert "15 rounds; 2 of middling" in picture.alt
    both = ASKED | report({**FIGURES, "multi_krum": reached(0.92, 0.92, 0.92)})
    assert title_of(both) == f"{fall}the weighted median and multi-Krum hold"
    none = ASKED | report({**FIGURES, "weighted_median": reached()})
    assert title_of(none) == f"{fall}no rule holds"


def test_a_benchmark_goes_on_with_what_is_missing(record: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "robust.json"
    empty = gone_on_with(file, ASKED)
    assert len(missing(empty, list(RULES), [0])) == 14
    file.write_text(json.dumps(record))
    known = gone_on_with(file, ASKED)
    assert missing(known, list(RULES), [0]) == [("multi_krum", "flipped", 0), ("fedopt", "none", 0)]
    assert missing(known, ["fedprox"], [0, 1]) == [("fedprox", "none", 1)]
    with pytest.raises(SystemExit, match="another rounds"):
        gone_on_with(file, {"rounds": 3})


def test_what_is_measured_is_what_a_federation_aggregates_by() -> None:
    assert set(RULES) == set(NAMES) == {str(each) for each in Aggregation}
    for rule, numbers in RULES.items():
        whole = Rule.by_default(Aggregation(rule), **numbers)
        assert Rule.of(whole.as_record()) == whole
        assert attacks_on(rule) == (tuple(ATTACKS) if numbers or rule in RULES_SHOWN else ("none",))


RULES_SHOWN = ("fedavg", *WITHSTANDING)


def test_the_record_alone_is_shown_and_drawn(
    record: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    record |= learned_with()
    out, picture = tmp_path / "robust.json", tmp_path / "robust.png"
    command = ["robust", "--show", "--out", str(out), "--picture", str(picture)]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit, match="holds no figures"):
        robust.main()
    assert not picture.exists()
    out.write_text(json.dumps(record))
    written = out.read_bytes()
    with pytest.raises(SystemExit, match=r"^0$"):
        robust.main()
    assert table(record) in capsys.readouterr().out
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert out.read_bytes() == written
