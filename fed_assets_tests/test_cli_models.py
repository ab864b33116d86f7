"""`fed-assets models` as a person types it, on a real registry."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from fed_assets.cli import app
from fed_assets.errors import FedAssetsError, PromotionRefused, RunConfigError, StorageError
from fed_assets.registry.gate import GATES, Gate
from fed_assets.registry.promotions import LOG, hold
from fed_assets.resources.home import Home
from fed_assets.resources.model_folders import RECORD
from fed_assets.resources.quiet_mlflow import DATABASE
from fed_assets.resources.registered_models import create_version, writing
from fed_assets_tests.registered import ABSENT, OPEN, Bench, a_bench, with_the_rest
from fed_assets_tests.registry.versions import figures

LOSES = Gate("overall", False, -0.03, -0.01, "AUROC is 0.0300 lower than that of version 1")


@pytest.fixture
def bench(mlflow_tables: Path, tmp_path: Path) -> Bench:
    return a_bench(mlflow_tables, tmp_path / "home")


def ask(home: Home, *command: str) -> Result:
    environment = {"FED_ASSETS_HOME": str(home.root), "COLUMNS": "200"}
    return CliRunner().invoke(app, ["models", *command], env=environment)


def told(bench: Bench, *command: str) -> str:
    result = ask(bench.home, *command)
    assert result.exit_code == 0, result.output
    return result.output


def refused(home: Home, *command: str) -> FedAssetsError:
    result = ask(home, *command)
    assert result.exit_code != 0
    assert isinstance(result.exception, FedAssetsError), result.output
    return result.exception


def test_before_anything_is_registered_it_says_so_and_makes_nothing(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    assert "No model of minimal is registered yet." in ask(home, "list", "minimal").output
    assert "No model of any sandbox is registered yet." in ask(home, "list").output
    assert ask(home, "list", "minimal", "--json").output == "[]\n"
    assert "There is no version 1 of minimal" in str(refused(home, "show", "minimal", "1"))
    decided = ("--by", "ann", "--because", "x")
    for command in (("promote", "minimal", "1"), ("rollback", "minimal", *decided)):
        assert "No version was ever registered there" in str(refused(home, *command))
    assert not home.root.exists()


@pytest.mark.parametrize(
    ("command", "error", "said"),
    [
        (("list", "maximal"), FedAssetsError, "maximal"),
        (("promote", "minimal", "1", "--waive", "quorum"), RunConfigError, "Add `--by NAME"),
        (
            ("promote", "minimal", "1", "--waive", "quorum", "--by", "ann"),
            RunConfigError,
            "Add `--by NAME",
        ),
        (
            ("promote", "minimal", "1", "--waive", "nonsense", "--by", "ann", "--because", "x"),
            RunConfigError,
            "no gate nonsense. Seen: --waive nonsense. To mend it: A person may open quorum",
        ),
        (
            ("promote", "minimal", "1", "--waive", "posture", "--by", "ann", "--because", "x"),
            RunConfigError,
            "No person can open the gate posture",
        ),
    ],
)
def test_what_is_asked_badly_is_refused_before_anything_is_looked_at(
    tmp_path: Path, command: tuple[str, ...], error: type[FedAssetsError], said: str
) -> None:
    refusal = refused(Home(tmp_path / "home"), *command)
    assert isinstance(refusal, error)
    assert said in str(refusal)


@pytest.mark.slow
def test_versions_are_listed_with_what_they_are_and_what_bars_them(bench: Bench) -> None:
    bench.promoted(1)
    second = bench.ready(2, OPEN, ABSENT)
    third = bench.register(3)
    bench.registry.retire("minimal", second, "north withdrew")
    rows = json.loads(told(bench, "list", "minimal", "--json"))
    assert [row["version"] for row in rows] == [third, second, 1]
    standing = {row["version"]: row["standing"] for row in rows}
    assert standing == {1: ["champion"], 2: ["retired"], 3: ["challenger"]}
    assert [row["closed"] for row in rows] == [None, ["quorum"], []]
    assert [row["packaged"] for row in rows] == [False, True, True]
    assert rows[1]["retired"] == "north withdrew"
    assert rows == json.loads(told(bench, "list", "--json"))
    shown = re.sub(r"[│\s]+", " ", told(bench, "list", "minimal"))  # cells may be folded
    for said in ("champion", "not judged", "no package", "north withdrew", "SYNTHETIC DATA"):
        assert said in shown


def registered_in(bench: Bench, sandbox: str, seed: int) -> int:
    run = f"{seed:08d}-2222-3333-4444-555555555555"
    tracked, weights = bench.logged(run, seed)
    record = bench.record(run, tracked, weights, sandbox=sandbox)
    return bench.registry.register(record, tracked, weights=weights)


@pytest.mark.slow
def test_without_a_sandbox_the_versions_of_all_are_listed_with_their_sandbox(bench: Bench) -> None:
    bench.promoted(1)
    registered_in(bench, "confidential_vm", 2)
    rows = json.loads(told(bench, "list", "--json"))
    assert [(row["sandbox"], row["version"]) for row in rows] == [
        ("minimal", 1),
        ("confidential_vm", 1),
    ]
    every, one = told(bench, "list"), told(bench, "list", "confidential_vm")
    assert "sandbox" in every
    lines = [re.sub(r"[│\s]+", " ", line).strip() for line in every.splitlines()]
    assert any(line.startswith("minimal 1 champion") for line in lines)
    assert any(line.startswith("confidential_vm 1 challenger") for line in lines)
    assert "sandbox" not in one
    assert "champion" not in one


@pytest.mark.slow
def test_in_eighty_columns_no_name_of_a_gate_is_broken(bench: Bench) -> None:
    closed = [Gate(name, False, None, None, "no") for name in GATES]
    bench.ready(1, *closed)
    registered_in(bench, "confidential_vm", 2)
    for command in (("list", "minimal"), ("list",)):
        environment = {"FED_ASSETS_HOME": str(bench.home.root), "COLUMNS": "80"}
        shown = CliRunner().invoke(app, ["models", *command], env=environment).output
        for name in GATES:
            assert name in shown
        assert max(map(len, shown.splitlines())) <= 80
    bench.registry.keep_judgement("minimal", 1, [], against=None, by="run 2")
    shown = CliRunner().invoke(app, ["models", "list"], env=environment).output
    assert all(name in shown for name in GATES) and "not judged:" in shown
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.slow
def test_gates_that_came_after_a_judgement_are_named_as_not_judged(bench: Bench) -> None:
    bench.promoted(1)
    bench.ready(2)
    bench.register(3)
    later = ["useful_threshold", "quorum"]
    earlier = [gate for gate in with_the_rest() if gate.name not in later]
    for version in (1, 2):
        bench.registry.keep_judgement("minimal", version, earlier, against=1, by="run 2")
    rows = json.loads(told(bench, "list", "minimal", "--json"))
    assert [row["unjudged"] for row in rows] == [None, later, later]
    assert [row["closed"] for row in rows] == [None, [], []]
    shown = " ".join(re.split(r"[\s│]+", told(bench, "list", "minimal")))  # however wide it is
    for name in later:  # of the champion too, which nothing bars as it serves
        assert shown.count(f"not judged: {name}") == 1
    assert f"by the gates {', '.join(later)}" in str(refused(bench.home, "promote", "minimal", "2"))
    shown = told(bench, "show", "minimal", "2")
    for gate in with_the_rest():
        (line,) = [each for each in shown.splitlines() if f" {gate.name} " in each]
        assert ("came after its last judgement" in line) is (gate.name in later)
    record = json.loads(told(bench, "show", "minimal", "2", "--json"))
    assert record["unjudged"] == later
    assert [gate["name"] for gate in record["gates"]] == [gate.name for gate in earlier]
    bench.judge(2)
    assert json.loads(told(bench, "show", "minimal", "2", "--json"))["unjudged"] == []
    assert "came after its last judgement" not in told(bench, "show", "minimal", "2")
    assert "Version 2 of minimal serves now" in told(bench, "promote", "minimal", "2")


@pytest.mark.slow
def test_a_version_that_was_registered_in_part_is_listed_until_its_run_completes_it(
    bench: Bench,
) -> None:
    bench.register(1)
    run = f"{2:08d}-2222-3333-4444-555555555555"
    tracked, weights = bench.logged(run, 2)
    record = bench.record(run, tracked, weights)
    tags = {"dagster_run_id": run, "weights_digest": record.weights_digest}
    with writing(bench.home.tracking) as client:  # what is left of a process that was killed here
        assert create_version(client, "minimal", tracked, tags, bench.home.tracking) == 2
    half, whole = json.loads(told(bench, "list", "minimal", "--json"))
    assert (half["version"], half["whole"], whole["whole"]) == (2, False, True)
    assert "no record" in told(bench, "list", "minimal")
    assert "There is no version 2" in str(refused(bench.home, "show", "minimal", "2"))
    assert "There is no version 2" in str(refused(bench.home, "promote", "minimal", "2"))
    assert bench.registry.register(record, tracked, weights=weights) == 2
    assert json.loads(told(bench, "list", "minimal", "--json"))[0]["whole"]


@pytest.mark.slow
def test_a_version_is_shown_with_its_gates_and_its_history(bench: Bench) -> None:
    bench.promoted(1)
    second = bench.ready(2, LOSES)
    assert "did not pass the gate overall" in str(refused(bench.home, "promote", "minimal", "2"))
    record = json.loads(told(bench, "show", "minimal", str(second), "--json"))
    assert record["weights_digest"] == bench.registry.version("minimal", 2).weights_digest
    assert [gate["name"] for gate in record["gates"]] == list(GATES)
    assert [event["event"] for event in record["history"]] == ["registered", "judged", "refused"]
    shown = told(bench, "show", "minimal", "2")
    assert "Version 2 of minimal: challenger" in shown
    assert "AUROC is 0.0300 lower than that of version 1" in shown
    assert "data are: SYNTHETIC" in shown
    assert "AUROC: 0.950 (0.950" in shown
    assert "refused by" in shown


@pytest.mark.slow
def test_a_version_is_promoted_and_rolled_back_within_seconds(bench: Bench) -> None:
    first = bench.ready(1)
    said = told(bench, "promote", "minimal", str(first))
    assert "Version 1 of minimal serves now, where none did before." in said
    assert "Version 1 of minimal serves already." in told(bench, "promote", "minimal", "1")
    second = bench.ready(2, OPEN, ABSENT)
    refusal = refused(bench.home, "promote", "minimal", str(second), "--because", "it is new")
    assert isinstance(refusal, PromotionRefused)
    assert "west was left out. It was wanted: it is new" in told(bench, "show", "minimal", "2")
    assert "quorum: west was left out" in str(refusal)
    assert "--waive quorum --by NAME --because TEXT" in str(refusal)
    waived = ("--waive", "quorum", "--by", "Ann", "--because", "west has closed")
    assert "in the place of version 1" in told(bench, "promote", "minimal", "2", *waived)
    started = time.monotonic()
    back = told(bench, "rollback", "minimal", "--by", "Ann", "--because", "it errs")
    assert time.monotonic() - started < 10
    assert "Version 1 of minimal serves again, and version 2 no longer." in back
    assert bench.registry.champion("minimal") == 1
    assert "gate quorum waived by Ann: west has closed" in told(bench, "show", "minimal", "2")
    history = bench.registry.history("minimal").events
    assert [(each.event, each.by, each.why) for each in history[-3:]] == [
        ("waived", "Ann", "west has closed"),
        ("promoted", "Ann", "west has closed"),
        ("rolled_back", "Ann", "it errs"),
    ]
    assert bench.registry.history("minimal").of(1)[-2].by  # who types it, where nobody is named


@pytest.mark.slow
def test_who_comes_meanwhile_is_told_who_holds_the_registry(bench: Bench) -> None:
    version = bench.ready(1)
    with hold(bench.home.models("minimal"), by="Ann", doing="rolls back"):
        refusal = refused(bench.home, "promote", "minimal", str(version))
    assert "Ann rolls back since 20" in str(refusal)
    assert f"process {os.getpid()}" in str(refusal)
    assert bench.registry.champion("minimal") is None


@pytest.mark.slow
def test_two_versions_are_held_against_each_other(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fed_assets.cli.models.out.width", 200)  # whoever imported it first
    tracked, weights = bench.logged("one", 1)
    recipe = {"learning_rate": 0.002, "local_epochs": 2}
    record = bench.record("one", tracked, weights, recipe=recipe)
    bench.registry.register(record, tracked, weights=weights)
    tracked, weights = bench.logged("other", 2)
    changes = {
        "recipe": {"learning_rate": 0.01, "local_epochs": 2, "augment": True},
        "participants": ("north", "east"),
        "absent": {"south": "south did not take part: left out"},
        "data_digest": "e" * 64,
        "evaluation": {
            "test": {"images": 40, **figures(0.97)},
            "hospitals": {"north": {"images": 9, **figures(0.88)}},
        },
    }
    record = bench.record("other", tracked, weights, **changes)
    bench.registry.register(record, tracked, weights=weights)
    rows = {
        row["what"]: (row["one"], row["other"], row["difference"])
        for row in json.loads(told(bench, "diff", "minimal", "1", "2", "--json"))
    }
    assert rows["AUROC, common test set"] == (0.95, 0.97, pytest.approx(0.02))  # a gain is above 0
    assert rows["AUROC, north"] == (0.9, 0.88, pytest.approx(-0.02))
    assert rows["AUROC, south"] == (0.9, None, None)
    assert rows["data"] == ("c" * 12, "e" * 12, "differs")
    assert rows["code"][2] is None
    settings = {name: row for name, row in rows.items() if name.startswith("training setting: ")}
    augmentation = "yes (an image is turned, shifted, scaled and brightened a little each time"
    assert settings == {  # in the card's words, and no local epochs, which are those of both
        "training setting: learning rate": ("0.002 at the start", "0.01 at the start", "differs"),
        "training setting: augmentation": (None, f"{augmentation} it is seen)", "differs"),
    }
    assert rows["south took part"] == ("yes", "no", "differs")
    shown = told(bench, "diff", "minimal", "1", "2")
    assert re.search(r"version 1 +.? *version 2 +.? *2 minus 1", shown)
    assert re.search(r"AUROC, common test set +.? *0\.95 +.? *0\.97 +.? *0\.02 ", shown)
    for said in ("weights", "training setting: learning rate", "0.01 at the start", "an image is"):
        assert said in shown
    for raw in ("learning_rate", "augment ", "local"):
        assert raw not in shown
    assert "no version 7" in str(refused(bench.home, "diff", "minimal", "1", "7"))


@pytest.mark.slow
def test_a_damaged_registry_is_one_clear_error(bench: Bench) -> None:
    bench.promoted(1)
    log = bench.home.models("minimal") / LOG
    log.write_bytes(log.read_bytes()[:-9])
    result = ask(bench.home, "list", "minimal")
    assert "last line of the promotion log was cut off" in result.output
    record = bench.registry.folder("minimal", 1) / RECORD
    record.write_text("{")
    assert "is damaged" in str(refused(bench.home, "show", "minimal", "1"))
    (bench.home.tracking / DATABASE).unlink()
    refusal = refused(bench.home, "list", "minimal")
    assert isinstance(refusal, StorageError)
    assert "MLflow's registry of models cannot be used" in str(refusal)
    assert "To mend it: Put mlflow.db back from a backup" in str(refusal)
