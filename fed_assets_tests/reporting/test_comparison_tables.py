from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from fed_assets.comparison.matrix import grid
from fed_assets.comparison.profiles import shipped_profiles
from fed_assets.reporting.comparison_tables import comparison_tables
from fed_assets_tests.comparison.conftest import SANDBOXES
from fed_assets_tests.reporting.comparisons import measurements, record_of
from fed_assets_tests.sentences import said_of

MEASURED = [name for name in SANDBOXES if name != "eyes_off"]


@pytest.fixture(scope="module")
def record() -> dict[str, Any]:
    two = {name: shipped_profiles()[name] for name in ("clinician", "equal")}
    return record_of(measurements(), profiles=two)


@pytest.fixture(scope="module")
def tables(record: dict[str, Any]) -> dict[str, list[dict[str, str]]]:
    found = comparison_tables(record)
    return {name: list(csv.DictReader(io.StringIO(text))) for name, text in found.items()}


def test_every_cell_stands_there_with_every_digit(record, tables) -> None:
    for name in ("decision", "hospitals"):
        rows = tables[f"{name}.csv"]
        assert len(rows) == len(record[name]) > 100
        for row, given in zip(rows, record[name], strict=True):
            assert list(row) == list(given)
            for key in ("value", "low", "high", "normalized"):
                assert row[key] == ("" if given[key] is None else repr(given[key]))
            assert row["values"] == "; ".join(map(str, given["values"]))


def test_what_is_missing_is_empty_and_no_zero(tables) -> None:
    for name in ("decision_measured.csv", "decision_normalized.csv"):
        (absent,) = [row for row in tables[name] if row["sandbox"] == "eyes_off"]
        assert {value for key, value in absent.items() if key != "sandbox"} == {""}
        assert all(row["energy_joules"] == "" for row in tables[name])
    absent = [row for row in tables["hospitals_normalized.csv"] if row["hospital"] == "hospital_03"]
    assert absent[0]["sandbox"] == "minimal" and absent[0]["auroc"] == ""
    assert absent[1]["auroc"] != ""


def test_the_normalized_matrices_have_a_row_per_node_and_a_column_per_criterion(
    record, tables
) -> None:
    sandboxes, criteria, values = grid(record["decision"], by="sandbox")
    wide = tables["decision_normalized.csv"]
    assert [row["sandbox"] for row in wide] == sandboxes == list(SANDBOXES)
    assert list(wide[0]) == ["sandbox", *criteria]
    assert [[row[name] for name in criteria] for row in wide] == [
        ["" if each is None else repr(each) for each in row] for row in values
    ]
    nodes = tables["hospitals_normalized.csv"]
    assert "-0.0" not in {value for row in (*wide, *nodes) for value in row.values()}
    assert len(nodes) == 5 * record["nodes"] == 50
    known = [float(row["auroc"]) for row in nodes if row["auroc"]]
    assert (min(known), max(known)) == (0.0, 1.0)


def test_what_each_profile_comes_to_stands_there(record, tables) -> None:
    choices = {row["profile"]: row for row in tables["choices.csv"]}
    for name, of in record["profiles"].items():
        assert choices[name]["sentence_es"] == of["sentence"]["es"]
        said = " ".join([choices[name]["sentence_en"], choices[name]["caveats_en"]])
        assert said.strip() == said_of(of)
        assert choices[name]["claim"] == of["claim"]["verdict"]
        ranks = [row for row in tables["rank_probabilities.csv"] if row["profile"] == name]
        assert len(ranks) == 4 * 4 * 4
        of_one = [row for row in ranks if (row["method"], row["sandbox"]) == ("all", "minimal")]
        assert [row["rank"] for row in of_one] == ["1", "2", "3", "4"]
        assert sum(float(row["probability"]) for row in of_one) == pytest.approx(1)
        weights = [row for row in tables["weights.csv"] if row["profile"] == name]
        for column in ("weight", "used"):
            assert sum(float(row[column]) for row in weights) == pytest.approx(1)
        alike = record["left_out"]["constant"] + record["left_out"]["by_chance"]
        unused = {row["criterion"] for row in weights if float(row["used"]) == 0}
        assert alike and set(alike) <= unused
        (choice,) = [row for row in tables["choices.csv"] if row["profile"] == name]
        lost = sum(float(row["weight"]) for row in weights if row["criterion"] in alike)
        assert float(choice["weight_that_tells_nothing"]) == pytest.approx(lost)
        left_out = [row for row in tables["rank_reversals.csv"] if row["profile"] == name]
        assert [row["left_out"] for row in left_out] == sorted(MEASURED * 3)
        kinds = [row["of"] for row in tables["influence.csv"] if row["profile"] == name]
        assert kinds.count("groups") == 4 and kinds.count("criteria") > 15


def test_runs_and_settings_stand_there(record, tables) -> None:
    runs = tables["runs.csv"]
    assert len(runs) == len(record["measurements"]) == 7
    assert runs[0]["data_synthetic"] == "false"
    assert runs[0]["machine"] == "system Linux-6.12-x86_64; cores 2"
    assert runs[0]["versions"] == "torch 2.13.0"
    settings = {row["name"]: row["value"] for row in tables["settings.csv"]}
    assert (settings["draws"], settings["methods"]) == ("100", "topsis; vikor; promethee_ii")


def test_a_table_without_rows_is_left_out() -> None:
    found = comparison_tables(record_of([]))
    assert "decision.csv" in found and "sandboxes.csv" in found
    assert not {"hospitals.csv", "hospitals_normalized.csv", "ranking.csv", "runs.csv"} & set(found)
    assert all(text.count("\n") > 1 for text in found.values())
