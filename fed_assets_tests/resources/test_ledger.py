from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fed_assets.registry.lineage import models_with
from fed_assets.registry.promotions import Event, append, make_folder
from fed_assets.resources.artifact_store import write_whole
from fed_assets.resources.home import Home
from fed_assets.resources.ledger import read_ledger
from fed_assets_tests.lineages import RUN, lineage, put_lineage
from fed_assets_tests.registry.versions import a_version

ANSWER = """
import resource, sys
from pathlib import Path
from fed_assets.resources.home import Home
from fed_assets.resources.ledger import read_ledger
print(len(read_ledger(Home(Path(sys.argv[1])))))
print(*(name for name in ("dagster", "mlflow", "torch", "pandas") if name in sys.modules))
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def put_version(home: Home, number: int, run: str, **changes: Any) -> None:
    version = a_version(number, run_id=run, **changes)
    path = home.models(version.sandbox) / f"v{number}" / "version.json"
    write_whole(path, json.dumps(version.as_record()).encode())


def log(home: Home, *events: tuple[str, int, int | None, int | None]) -> None:
    """Writes a promotion log: what was done to which version, the champion before and after."""
    make_folder(home.models("minimal"))
    append(
        home.models("minimal"),
        [
            Event(event=event, version=version, by="Ada", before=before, champion=after)  # type: ignore[arg-type]
            for event, version, before, after in events
        ],
    )


def put_aliases(home: Home, **aliases: int) -> None:
    """Makes the table of MLflow's that names which version serves."""
    home.tracking.mkdir(parents=True)
    with sqlite3.connect(home.tracking / "mlflow.db") as tables:
        tables.execute("CREATE TABLE registered_model_aliases (alias, version, name)")
        for alias, version in aliases.items():
            row = (alias, version, "fed_assets_minimal")
            tables.execute("INSERT INTO registered_model_aliases VALUES (?, ?, ?)", row)
    tables.close()


def states(home: Home) -> dict[str, tuple[str, ...]]:
    return {model.name: model.states for model in read_ledger(home)}


def test_a_home_without_runs_knows_no_model(home: Home) -> None:
    assert read_ledger(home) == ()


def test_a_run_that_was_not_registered_is_a_model_too(home: Home) -> None:
    put_lineage(home, lineage())
    (model,) = read_ledger(home)
    assert (model.name, model.version, model.states) == (RUN[:8], None, ())


def test_a_version_has_its_runs_lineage(home: Home) -> None:
    put_lineage(home, lineage())
    put_version(home, 3, RUN)
    (model,) = read_ledger(home)
    assert (model.name, model.run_id) == ("minimal@3", RUN)
    assert model.lineage == lineage()


def test_a_version_whose_lineage_is_gone_is_told_of_by_its_own_record(home: Home) -> None:
    put_version(home, 3, RUN, participants=("north",))
    (model,) = read_ledger(home)
    assert (model.lineage, [*model.hospitals]) == (None, ["north"])


def test_what_serves_is_told_by_the_registry_and_what_did_by_the_log(home: Home) -> None:
    for number in (1, 2, 3, 4):
        put_version(home, number, f"{number}" * 8)
    log(home, ("promoted", 1, None, 1), ("promoted", 2, 1, 2), ("retired", 3, 2, 2))
    put_aliases(home, champion=2, challenger=4)
    assert states(home) == {
        "minimal@1": ("former champion",),
        "minimal@2": ("champion",),
        "minimal@3": ("retired",),
        "minimal@4": ("challenger",),
    }
    write_whole(home.models("minimal") / "v2" / "package" / "manifest.json", b"{}")
    assert states(home)["minimal@2"] == ("champion", "deployed")


def test_without_the_registry_the_log_tells_which_version_serves_and_it_is_said(home: Home) -> None:
    for number in (1, 2):
        put_version(home, number, f"{number}" * 8)
    log(home, ("promoted", 1, None, 1), ("promoted", 2, 1, 2), ("rolled_back", 1, 2, 1))
    assert states(home)["minimal@1"] == ("champion", "by the promotion log")
    assert states(home)["minimal@2"] == ("former champion", "by the promotion log")
    home.tracking.mkdir()
    (home.tracking / "mlflow.db").write_bytes(b"no database" * 100)
    assert states(home)["minimal@1"] == ("champion", "by the promotion log")


DAMAGED = [b"", b"{", b"[]", b'{"run_id": "1", "sandbox": "minimal"}']


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_lineage_hides_neither_its_model_nor_others(home: Home, content: bytes) -> None:
    put_lineage(home, lineage())
    put_version(home, 3, RUN, participants=("north", "south"))
    write_whole(home.lineage / f"{RUN}.json", content)
    write_whole(home.lineage / "other.json", content)
    lost, known = read_ledger(home)
    assert (lost.name, [*lost.hospitals], lost.told) == ("other", [], False)
    assert (known.name, [*known.hospitals]) == ("minimal@3", ["north", "south"])
    for model in (lost, known):
        assert "The lineage of a run is damaged" in str(model.damage)
    assert [each.model.name for each in models_with([lost, known], "east")] == ["other"]


def test_a_lineage_that_was_edited_hides_no_hospital(home: Home) -> None:
    text = json.dumps(lineage())
    put_version(home, 3, RUN)
    put_lineage(home, lineage())
    assert read_ledger(home)[0].differences == ()
    write_whole(home.lineage / f"{RUN}.json", text.replace("south", "delta").encode())
    (model,) = read_ledger(home)
    assert {"south", "delta"} <= model.hospitals.keys()
    file = f"lineage/{RUN}.json"
    said = (
        f"south took part, which the hospitals in {file} and the rounds in {file} do not tell. Put"
    )
    assert said in str(model.differences)
    record = json.loads(text)
    del record["hospitals"]["south"]
    write_whole(home.lineage / f"{RUN}.json", json.dumps(record).encode())
    (model,) = read_ledger(home)
    assert "south" in model.hospitals
    (difference,) = model.differences
    assert difference.startswith(f"south took part, which the hospitals in {file} does not tell. ")


@pytest.mark.parametrize(
    "edited",
    [
        {"run_id": "another"},
        {"hospitals": ["north"]},
        {"hospitals": {"north": {"rounds": "1"}}},
        {"rounds": [1]},
        {"rounds": [{"participants": 1}]},
    ],
)
def test_a_lineage_of_another_form_or_run_is_damaged(home: Home, edited: dict[str, Any]) -> None:
    write_whole(home.lineage / f"{RUN}.json", json.dumps(lineage() | edited).encode())
    put_version(home, 3, RUN, participants=("north",))
    (model,) = read_ledger(home)
    assert (model.lineage, [*model.hospitals]) == (None, ["north"])
    assert "not its form" in model.damage[0]


@pytest.mark.parametrize("content", [*DAMAGED, None])
def test_a_damaged_record_of_a_version_hides_no_model(home: Home, content: bytes | None) -> None:
    put_version(home, 3, RUN)
    path = home.models("minimal") / "v3" / "version.json"
    if content is None:
        path.unlink()
    else:
        write_whole(path, content)
    (model,) = read_ledger(home)
    assert (model.name, model.told) == ("minimal@3", False)
    assert "The record of a registered version is damaged" in model.damage[0]
    (part,) = models_with([model], "south")
    assert part.how == "may have taken part: no record tells who did"


def test_a_damaged_log_hides_no_model(home: Home) -> None:
    put_version(home, 3, RUN)
    write_whole(home.models("minimal") / "promotions.jsonl", b"{\n")
    (model,) = read_ledger(home)
    assert (model.name, len(model.damage)) == ("minimal@3", 1)


def test_it_answers_without_dagster_and_mlflow(home: Home) -> None:
    put_lineage(home, lineage())
    ran = subprocess.run(
        [sys.executable, "-c", ANSWER, str(home.root)],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ,
    )
    assert ran.stdout.split() == ["1"]
