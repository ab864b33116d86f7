"""`fed-assets trace` on what runs left, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fed_assets.federation.withdrawals import rejoin, withdraw
from fed_assets.resources.artifact_store import write_whole
from fed_assets.resources.home import Home
from fed_assets_tests.lineages import RUN, THREE, data_digest, lineage, put_lineage, round_of
from fed_assets_tests.resources.test_ledger import log, put_aliases, put_version

SECOND = "77777777-0000-4000-8000-000000000003"
NORTH = data_digest("north")
Trace = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Returns a home with two models of minimal: version 1 serves, the other has no south."""
    home = Home(tmp_path / "home")
    put_lineage(home, lineage())
    put_version(home, 1, RUN)
    rounds = [round_of(1, THREE[:2], missing={"south": "it did not answer"})]
    put_lineage(home, lineage(SECOND, rounds=rounds))
    log(home, ("registered", 1, None, None), ("promoted", 1, None, 1))
    put_aliases(home, champion=1)
    return home


@pytest.fixture
def trace(home: Home, tmp_path: Path) -> Trace:
    def trace(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "fed_assets.cli", "trace", *arguments],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={"FED_ASSETS_HOME": str(home.root), "COLUMNS": "180", "PATH": "/usr/bin:/bin"},
        )

    return trace


def test_a_model_is_shown_with_the_data_that_made_it(trace: Trace) -> None:
    shown = trace("minimal@1")
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith("minimal@1 (run 1a2b3c4d): champion · SYNTHETIC DATA")
    for said in ("NVFlare job job-1", "code c0de00000000", "seed 7", "AUROC 0.900 (0.850"):
        assert said in shown.stdout
    (north,) = [line for line in shown.stdout.splitlines() if NORTH[:12] in line]
    assert "trained in rounds 1-2" in north
    assert "north 10aaaaaaaaaa 0.167" in shown.stdout


def test_a_hospital_is_shown_with_the_models_that_contain_its_data(trace: Trace) -> None:
    shown = trace("south").stdout
    assert "south: 1 version of its data in 1 model" in shown
    (row,) = [line for line in shown.splitlines() if "minimal@1" in line]
    assert "champion" in row and data_digest("south")[:12] in row
    assert "in 2 models" in trace("north").stdout


def test_a_version_of_its_data_can_be_asked_for(trace: Trace) -> None:
    shown = trace(f"north@{NORTH[:12]}").stdout
    assert f"north: version {NORTH[:12]} of its data in 2 models" in shown


def test_json_is_json_and_nothing_else(trace: Trace) -> None:
    ran = trace("minimal@1", "--json")
    assert json.loads(ran.stdout)["lineage"] == lineage()
    assert json.loads(ran.stdout)["states"] == ["champion"]
    found = json.loads(trace("south", "--json").stdout)
    assert [(each["model"], each["states"], each["how"]) for each in found] == [
        ("minimal@1", ["champion"], "trained in rounds 1-2")
    ]


def test_who_was_missing_and_why_is_said(trace: Trace) -> None:
    shown = trace(SECOND[:8]).stdout
    assert "south: it did not answer" in shown
    assert "degraded: south was missing in round 1" in shown
    assert "nothing: it was let in, and took part in no round" in shown


def test_that_a_hospital_withdrew_is_said(trace: Trace, home: Home) -> None:
    withdraw(home.withdrawals, "north", by="Ada", because="the board decided so")
    assert "north takes no part: it withdrew on" in trace("north").stdout
    rejoin(home.withdrawals, "north", by="Eve", because="a new contract")
    shown = trace("north").stdout
    assert "takes no part" not in shown
    assert "north withdrew, by Ada: the board decided so" in shown
    assert "north joined again, by Eve: a new contract" in shown


def test_a_damaged_record_is_said_and_what_is_known_too(trace: Trace, home: Home) -> None:
    write_whole(home.lineage / f"{RUN}.json", b"{")
    ran = trace("south")
    assert ran.returncode == 1
    assert "minimal@1: The lineage of a run is damaged" in ran.stderr
    assert "took part; its rounds are not known" in ran.stdout
    assert "what its run left is damaged" in trace("minimal@1").stdout


def test_an_edited_record_is_said_and_hides_nothing(trace: Trace, home: Home) -> None:
    edited = json.dumps(lineage()).replace("south", "delta")
    write_whole(home.lineage / f"{RUN}.json", edited.encode())
    ran = trace("south")
    assert ran.returncode == 1
    assert f"minimal@1: south took part, which the hospitals in lineage/{RUN}.json" in ran.stderr
    assert "minimal@1" in ran.stdout


@pytest.mark.parametrize("folder", ["/proc/nope", "a_file"])
def test_where_the_card_cannot_be_written_the_cure_is_another_folder(
    trace: Trace, tmp_path: Path, folder: str
) -> None:
    (tmp_path / "a_file").touch()
    ran = trace("minimal@1", "--card", folder)
    assert ran.returncode == 1
    assert f"The card cannot be written. Where: {folder}. " in ran.stderr
    assert "Name a folder that you may write into" in ran.stderr


def test_what_is_registered_and_nothing_else_is_no_unregistered_model(
    trace: Trace, home: Home
) -> None:
    put_version(home, 2, SECOND)
    assert "minimal@2 (run 77777777): registered" in trace("minimal@2").stdout


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("minimal@9", "There is no model minimal@9. Seen: 2 models. To mend it: Choose one of"),
        ("beef0000", "There is no model beef0000"),
        ("minimal", "minimal is a sandbox, and a trace is of one model or one hospital"),
        ("nord", "No model contains data of a hospital nord. To mend it: Choose one of east, "),
        ("north@ffff", f"Choose one of north@{NORTH[:12]}."),
    ],
)
def test_what_is_unknown_ends_in_one_line_with_what_is_known(
    trace: Trace, name: str, said: str
) -> None:
    ran = trace(name)
    assert (ran.returncode, ran.stdout) == (1, "")
    (line,) = [line for line in ran.stderr.splitlines() if line.strip()]
    assert said in line


def test_the_card_is_written_beside_its_json(trace: Trace, tmp_path: Path) -> None:
    ran = trace("minimal@1", "--card", "cards")
    assert ran.returncode == 0, ran.stderr
    page = (tmp_path / "cards" / "card.html").read_text()
    assert "Model card of minimal@1" in page
    card = json.loads((tmp_path / "cards" / "card.json").read_text())
    assert card["model_details"]["states"] == ["champion"]


def test_a_hospital_has_no_card(trace: Trace) -> None:
    ran = trace("north", "--card", "cards")
    assert ran.returncode == 1
    assert "A card is of a model" in ran.stderr


@pytest.mark.parametrize("name", ["minimal@1", "north"])
def test_it_loads_nothing_that_costs_seconds(home: Home, name: str) -> None:
    """What does answers within 0.6 s of the processor; Dagster alone would take three."""
    statement = (
        "import sys\n"
        f"sys.argv = ['fed-assets', 'trace', {name!r}]\n"
        "from fed_assets.cli import app\n"
        "app(standalone_mode=False)\n"
        "print('loaded', *sys.modules)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", statement],
        capture_output=True,
        text=True,
        check=True,
        env={"FED_ASSETS_HOME": str(home.root)},
    )
    told, _, loaded = ran.stdout.rpartition("loaded ")
    assert name in told
    assert "fed_assets.resources.ledger" in loaded.split()
    heavy = {"dagster", "mlflow", "torch", "monai", "pandas", "matplotlib", "scipy", "sqlalchemy"}
    assert not heavy & set(loaded.split())
