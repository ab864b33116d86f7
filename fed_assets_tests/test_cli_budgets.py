"""Before a comparison runs anything, hospitals are asked whether their privacy budgets allow it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from fed_assets.cli.comparison_budgets import affordable, over_budget, require_within_budget
from fed_assets.cli.step import Step
from fed_assets.errors import BudgetSpent
from fed_assets.federation.azure_ml import AzureML
from fed_assets.federation.roster import Roster, read_roster
from fed_assets.federation.withdrawals import rejoin, withdraw
from fed_assets.hospital.files import Store
from fed_assets.hospital.outbox_log import OutboxLog, text
from fed_assets.hospital.privacy_ledger import PrivacyLedger, Schedule
from fed_assets.hospital.store import LEDGER, open_store
from fed_assets.resources.home import Home
from fed_assets.resources.jobs import AUDIT, LIFECYCLE
from fed_assets.resources.settings import Settings, settings_from
from fed_assets.sandboxes.presets import MINIMAL, find_sandbox
from fed_assets.sandboxes.sandbox import Sandbox
from fed_assets_tests.federation.test_azure_ml import PLACE
from fed_assets_tests.hosts.machines import open_door, serving
from fed_assets_tests.places import Place, make_place

OPEN_PROCESSES = """
transport: mtls
storage: plain
key_custody: none
process: own
previews: no
statistics: full
job_code: submitted
update_protection: differential_privacy
epsilon: 8.0
delta: 0.00001
max_grad_norm: 1.0
aggregation: fedavg
"""


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A home of three hospitals, whose configurable sandbox is private, and open to its user."""
    made = make_place(tmp_path / "place", rounds=2)
    own = tmp_path / "own.yaml"
    own.write_text(OPEN_PROCESSES)
    made.environment["FED_ASSETS_SANDBOX"] = str(own)
    made.home.prepare()
    return made


def chosen(place: Place) -> tuple[Settings, Roster, Sandbox]:
    settings = settings_from(place.environment, working_directory=Path.cwd())
    sandbox = find_sandbox("configurable", configurable=settings.configurable)
    return settings, read_roster(settings.roster), sandbox


def spend(home: Home, hospital: str, sandbox: Sandbox) -> None:
    """Has a hospital's ledger charged for a run, which takes all of the budget."""
    folder = home.store(hospital, sandbox.name)
    folder.mkdir(parents=True, mode=0o700)
    store = open_store(Store(folder, hospital))
    outbox = OutboxLog(store, "job earlier")
    outbox.asked(text("update", b""))
    schedule = Schedule(round_number=1, rounds_to_come=1, sample_rate=0.3, steps=3)
    PrivacyLedger(store, outbox, "earlier").charge(sandbox.protection, schedule, dataset="d" * 64)


def runs(*seeds: int) -> list[Step]:
    return [Step(AUDIT, "configurable"), *(Step(LIFECYCLE, "configurable", n) for n in seeds)]


def test_of_several_seeds_a_private_sandbox_is_measured_with_the_first(place: Place) -> None:
    settings, roster, sandbox = chosen(place)
    both = [MINIMAL, sandbox]
    others = [Step(LIFECYCLE, "minimal", seed) for seed in (0, 1, 2)]
    assert over_budget([*runs(0), *others], both, roster, settings) == []
    (short,) = over_budget([*runs(0, 1, 2), *others], both, roster, settings)
    assert short.steps == (Step(LIFECYCLE, "configurable", 1), Step(LIFECYCLE, "configurable", 2))
    with pytest.raises(BudgetSpent) as refused:
        require_within_budget([short], settings)
    said = str(refused.value)
    assert "configurable with seeds 1, 2 (each run spends all that is left" in said
    assert said.endswith("To mend it: Go on without these runs by `--within-budget`.")
    spent = replace(short, hospitals={"north": "epsilon 8.00 of 8 is spent, and 0.00 is left"})
    with pytest.raises(BudgetSpent, match=r"raise `epsilon` in .*own\.yaml .* pays for one run"):
        require_within_budget([spent], settings)
    plain = sandbox.model_copy(update={"update_protection": "none", "epsilon": None})
    assert over_budget(runs(0, 1), [plain], roster, settings) == []


def test_the_rest_goes_on_where_the_user_says_so(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    settings, roster, sandbox = chosen(place)
    steps = [*runs(0, 1), Step(LIFECYCLE, "minimal", 1)]
    with pytest.raises(BudgetSpent):
        affordable(steps, [sandbox], roster, settings, go_on=False)
    left = affordable(steps, [sandbox], roster, settings, go_on=True)
    assert left == [*runs(0), Step(LIFECYCLE, "minimal", 1)]
    assert "Not run, for want of privacy budget: configurable with seed 1 (" in (
        capsys.readouterr().err
    )


def test_why_a_run_is_asked_for_is_said_of_one_that_no_budget_allows(place: Place) -> None:
    kept = place.home.measurement("configurable", 0)
    kept.parent.mkdir(parents=True)
    kept.write_text("{")
    code, printed = place.tell("compare", "--seeds", "2", "--approved-only")
    said = " ".join(printed.split())
    assert code == 1 and "and nothing was run" in said
    reason, refused = said.split("Hospitals' privacy budgets do not allow", 1)
    assert "of configurable, seed 0: What was measured of configurable is damaged" in reason
    assert "configurable with seed 1 (each run spends all" in refused


@pytest.mark.long  # each hospital imports Opacus
def test_hospitals_that_have_spent_it_are_named_before_anything_runs(place: Place) -> None:
    settings, roster, sandbox = chosen(place)
    for name in ("north", "south"):
        spend(place.home, name, sandbox)
    (short,) = over_budget(runs(0), [sandbox], roster, settings)
    assert short.steps == (Step(LIFECYCLE, "configurable", 0),)
    told = "epsilon 8.00 of 8 is spent, and 0.00 is left"
    assert short.hospitals == {"north": told, "south": told}
    # One hospital has its budget whole; where that is a quorum, its run can be.
    alone = roster.model_copy(update={"quorum": 1})
    assert over_budget(runs(0), [sandbox], alone, settings) == []
    # Who withdrew has no say, and who cannot tell what was spent counts as one that spent it.
    for name in ("north", "south"):
        withdraw(place.home.withdrawals, name, by="the data officer", because="a test")
    assert over_budget(runs(0), [sandbox], roster, settings) == []
    for name in ("north", "south"):
        rejoin(place.home.withdrawals, name, by="the data officer", because="a test")
    (place.home.store("north", "configurable") / LEDGER).write_text("{}")
    (short,) = over_budget(runs(0), [sandbox], roster, settings)
    assert "The privacy ledger is not as it was written" in short.hospitals["north"]

    code, printed = place.tell("compare", "--approved-only")
    said = " ".join(printed.split())
    assert code == 1
    assert "configurable with seed 0 (north: The privacy ledger" in said
    spent = said.partition("Seen: ")[2]  # before it, approvals that are missing are told of all
    assert f"south: {told}" in spent and "east" not in spent
    assert "To mend it: Go on without these runs by `--within-budget`" in said
    assert not (place.home.root / "logs").exists()  # no job was started


def test_a_hospital_on_its_own_host_is_asked_there_what_it_has_spent(
    place: Place, tmp_path: Path
) -> None:
    settings, roster, sandbox = chosen(place)
    south = roster.hospitals[2].model_copy(update={"remote": "share"})
    roster = roster.model_copy(update={"hospitals": (*roster.hospitals[:2], south)})
    (found,) = over_budget(runs(0), [sandbox], roster, settings)
    assert found.hospitals.keys() == {"south"}
    assert "No door is open" in found.hospitals["south"]
    own = replace(settings, home=Home(tmp_path / "south").prepare())
    with (
        open_door(settings.home.hosts, away_seconds=75) as door,
        serving(door, "south", own, "configurable"),
    ):
        assert over_budget(runs(0), [sandbox], roster, settings) == []
        shutil.rmtree(own.home.store("south", sandbox.name))
        spend(own.home, "south", sandbox)
        (found,) = over_budget(runs(0), [sandbox], roster, settings)
    assert found.hospitals.keys() == {"south"}
    assert "epsilon 8.00 of 8 is spent" in found.hospitals["south"]
    assert not settings.home.store("south", sandbox.name).exists()


def test_hospitals_in_azure_ml_are_not_asked_and_the_command_says_so(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    settings, roster, sandbox = chosen(place)
    # What lies here of one is of a time before: its ledger is in its own home.
    place.home.store("south", sandbox.name).mkdir(parents=True)
    (place.home.store("south", sandbox.name) / LEDGER).write_text("{}")
    machine = AzureML.model_validate(PLACE)
    south = roster.hospitals[2].model_copy(update={"azure_ml": machine})
    roster = roster.model_copy(update={"hospitals": (*roster.hospitals[:2], south)})
    assert affordable(runs(0), [sandbox], roster, settings, go_on=False) == runs(0)
    told = capsys.readouterr().err
    assert told.startswith(
        "What is left of privacy budgets in configurable was not asked of south:"
    )
    assert "The run asks before anything is learned" in told
    # Nothing is said where nothing private is run, nor of one that withdrew.
    assert affordable(runs(), [sandbox], roster, settings, go_on=False) == runs()
    withdraw(place.home.withdrawals, "south", by="the data officer", because="a test")
    assert affordable(runs(0), [sandbox], roster, settings, go_on=False) == runs(0)
    assert capsys.readouterr().err == ""
