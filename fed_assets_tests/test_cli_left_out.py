"""What a comparison goes on without, on request alone, and says so: never as if it was not run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fed_assets.assets.comparison import LeftOut
from fed_assets.cli.compare import show_comparison
from fed_assets.cli.comparison_approvals import approved
from fed_assets.cli.comparison_rosters import fitting
from fed_assets.cli.comparison_steps import left_out
from fed_assets.cli.step import Step
from fed_assets.comparison.comparison import compare
from fed_assets.comparison.profiles import shipped_profiles
from fed_assets.comparison.sentence import words
from fed_assets.comparison.settings import Settings as Weighing
from fed_assets.comparison.surroundings import (
    BUDGET_SPENT,
    NOT_APPROVED,
    ROSTER_UNFIT,
    RUN_FAILED,
    Surroundings,
)
from fed_assets.errors import CodeRefused
from fed_assets.federation.roster import Hospital, Roster, read_roster
from fed_assets.federation.withdrawals import withdraw
from fed_assets.hospital.attestation.approval import approve as give_approval
from fed_assets.hospital.attestation.measurement import measure
from fed_assets.reporting.comparison_page import render_comparison
from fed_assets.resources.jobs import AUDIT, LIFECYCLE, REFERENCES
from fed_assets.resources.settings import Settings, settings_from
from fed_assets.sandboxes.controls import Aggregation, Process
from fed_assets.sandboxes.presets import MINIMAL, SANDBOX_NAMES, find_sandbox
from fed_assets_tests.comparison.conftest import figures_of
from fed_assets_tests.federation.test_azure_ml import PLACE
from fed_assets_tests.places import Place, make_place
from fed_assets_tests.sentences import said_of

CONFINED = find_sandbox("confidential_vm")
# Without walls, so that what a test puts on record is the hospital's own.
ATTESTED = CONFINED.model_copy(update={"process": Process.OWN})
BOTH = [MINIMAL, ATTESTED]
AUDITED = Step(AUDIT, ATTESTED.name)
OTHER = "ab" * 32  # the measurement of code that is installed no more
RUNS = [Step(LIFECYCLE, each.name, 0) for each in BOTH]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = make_place(tmp_path / "place", rounds=2)
    made.home.prepare()
    return made


def asked(place: Place) -> tuple[Roster, Settings]:
    settings = settings_from(place.environment, working_directory=Path.cwd())
    return read_roster(settings.roster), settings


def approve(place: Place, *names: str) -> None:
    for name in names:
        give_approval(place.home.approval(name, ATTESTED.name), name, "a test")


def approve_other_code(place: Place, *names: str) -> None:
    """Puts hospitals back to when they had approved what was installed before."""
    for name in names:
        record = place.home.approval(name, ATTESTED.name)
        record.write_text(record.read_text().replace(measure(), OTHER))


def test_code_that_nobody_approved_refuses_a_comparison_and_the_command_mends_it(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = [AUDITED, *RUNS]
    approve(place, "north", "coordinator")
    with pytest.raises(CodeRefused) as refused:
        approved(steps, BOTH, *asked(place), go_on=False)
    said = str(refused.value)
    assert "and nothing was run" in said
    assert "Seen: confidential_vm (east, south: none approved)." in said
    assert "Run `fed-assets approve-code confidential_vm east south`; or go on" in said
    with pytest.raises(
        CodeRefused, match=r"confidential_vm \(east, south: none"
    ):  # nor is it audited
        approved([AUDITED], BOTH, *asked(place), go_on=False)
    # Nothing is asked of a sandbox that is neither run nor audited, nor of one that measures none.
    assert approved([RUNS[0]], BOTH, *asked(place), go_on=False) == [RUNS[0]]
    assert capsys.readouterr().err == ""
    # On request the others go on.
    assert approved(steps, BOTH, *asked(place), go_on=True) == [RUNS[0]]
    told = capsys.readouterr().err
    assert told == (
        "Not run, for want of approved code: confidential_vm (east, south: none approved)\n"
    )
    approve(place, "east", "south")
    assert approved(steps, BOTH, *asked(place), go_on=False) == steps


def test_an_approval_of_other_code_than_is_installed_is_found_before_anything_runs(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    approve(place, "north", "south", "coordinator")
    approve_other_code(place, "south")
    seen = (
        f"confidential_vm (east: none approved; south: approved {OTHER[:12]}, "
        f"installed {measure()[:12]})"
    )
    with pytest.raises(CodeRefused) as refused:
        approved([AUDITED, *RUNS], BOTH, *asked(place), go_on=False)
    assert f"Seen: {seen}." in str(refused.value)
    assert "Run `fed-assets approve-code confidential_vm east south`; or go on" in str(
        refused.value
    )
    record = place.home.approval("south", ATTESTED.name)
    before = record.read_bytes()
    assert approved([AUDITED, *RUNS], BOTH, *asked(place), go_on=True) == [RUNS[0]]
    assert capsys.readouterr().err == f"Not run, for want of approved code: {seen}\n"
    assert record.read_bytes() == before  # it was looked at, and that is all
    approve(place, "east", "south")  # as the command does
    assert approved([AUDITED, *RUNS], BOTH, *asked(place), go_on=False) == [AUDITED, *RUNS]


def test_a_record_that_cannot_be_relied_on_approves_nothing_and_a_quorum_goes_on(
    place: Place,
) -> None:
    approve(place, "north", "east", "south", "coordinator")
    roster, settings = asked(place)
    place.home.approval("east", ATTESTED.name).write_text("{")
    with pytest.raises(CodeRefused, match="east: The record of approved code is damaged"):
        approved(RUNS, BOTH, roster, settings, go_on=False)
    two = roster.model_copy(update={"quorum": 2})
    assert approved(RUNS, BOTH, two, settings, go_on=False) == RUNS


def test_a_quorum_that_approved_is_enough_and_who_withdrew_is_not_asked(place: Place) -> None:
    roster, settings = asked(place)
    approve(place, "north", "east")
    two = roster.model_copy(update={"quorum": 2})
    with pytest.raises(CodeRefused, match=r"confidential_vm \(south, coordinator: none approved"):
        approved(RUNS, BOTH, two, settings, go_on=False)  # without the coordinator no run goes on
    approve(place, "coordinator")
    assert approved(RUNS, BOTH, two, settings, go_on=False) == RUNS
    with pytest.raises(CodeRefused):
        approved(RUNS, BOTH, roster, settings, go_on=False)
    withdraw(place.home.withdrawals, "south", by="the data officer", because="a test")
    assert approved(RUNS, BOTH, roster, settings, go_on=False) == RUNS


def test_whose_approval_cannot_be_looked_for_from_here_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    away = [
        {"id": "east", "name": "East", "remote": "share"},
        {"id": "south", "name": "South", "azure_ml": PLACE, "source": {"kind": "phantom"}},
    ]
    place = make_place(
        tmp_path / "place",
        hospitals=[{"id": "north", "name": "North"}, *away],
        federation={"door": "hub.example:8002"},
    )
    approve(place, "north", "coordinator")
    assert approved(RUNS, BOTH, *asked(place), go_on=False) == RUNS
    told = capsys.readouterr().err
    assert told.startswith("Approvals of the code of confidential_vm were not looked for at east, ")
    assert "at east, south, whose own machines alone keep them" in told
    # An audit is of the hospitals here, and `minimal` measures no code.
    for steps in ([AUDITED], [RUNS[0]]):
        assert approved(steps, BOTH, *asked(place), go_on=False) == steps
    withdraw(place.home.withdrawals, "south", by="the data officer", because="a test")
    withdraw(place.home.withdrawals, "east", by="the data officer", because="a test")
    assert approved(RUNS, BOTH, *asked(place), go_on=False) == RUNS
    assert capsys.readouterr().err == ""


def test_the_command_refuses_before_anything_runs(place: Place) -> None:
    code, printed = place.tell("compare")
    said = " ".join(printed.split())
    assert code == 1
    # Three hospitals cannot bear what `configurable` tolerates, which nobody is asked for.
    assert "as the roster does not fit it: configurable. The quorum is too small for " in said
    assert "confidential_vm (north, east, south, coordinator: none approved)" in said
    assert "`fed-assets approve-code confidential_vm north east south coordinator`" in said
    assert "`--approved-only`" in said
    code, _ = place.tell("approve-code", CONFINED.name)  # as hospitals' own users, where they are
    assert code == 0
    approve_other_code(place, "south")
    code, printed = place.tell("compare")
    said = " ".join(printed.split())
    assert code == 1
    assert f"confidential_vm (south: approved {OTHER[:12]}, installed {measure()[:12]})" in said
    assert "`fed-assets approve-code confidential_vm south`" in said
    assert not list((place.home.root / "logs").glob("run-*"))


def test_a_sandbox_that_the_roster_does_not_fit_is_named_and_left_out_before_anything_runs(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    roster, _ = asked(place)
    robust = MINIMAL.model_copy(
        update={"name": "robust", "aggregation": Aggregation.TRIMMED_MEAN, "tolerated": 2}
    )
    of_robust = [Step(AUDIT, robust.name), Step(LIFECYCLE, robust.name, 1)]
    wanted = [*of_robust, *RUNS, Step(REFERENCES)]
    assert fitting(wanted, [robust, *BOTH], roster) == [*RUNS, Step(REFERENCES)]
    assert list(left_out(wanted, RUNS, ROSTER_UNFIT)) == [
        {"sandbox": "robust", "seed": 1, "why": ROSTER_UNFIT}
    ]
    told = capsys.readouterr().err
    assert told.startswith("Not run, as the roster does not fit it: robust. The quorum is too ")
    assert "Seen: quorum 3. To mend it: Raise the roster's `quorum`" in told
    # Nothing is said of one that is not to be run, nor where the roster does.
    assert fitting(RUNS, [robust, *BOTH], roster) == RUNS
    five = (*roster.hospitals, *(Hospital(id=name, name=name) for name in ("west", "centre")))
    larger = roster.model_copy(update={"hospitals": five})
    assert fitting(wanted, [robust, *BOTH], larger) == wanted
    assert capsys.readouterr().err == ""


def test_a_run_that_failed_outweighs_other_seeds_that_were_left_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    record = compare(
        [figures_of(name, 0) for name in ("minimal", "eyes_on")],
        sandboxes=("minimal", "eyes_on", "configurable"),
        profiles={"equal": shipped_profiles()["equal"]},
        settings=Weighing(draws=100),
        surroundings=Surroundings(
            controls={"configurable": {"transport": {"declared": "mtls", "enforced": None}}},
            failed={"configurable": [RUN_FAILED]},
            left_out=[{"sandbox": "configurable", "seed": 1, "why": BUDGET_SPENT}],
        ),
    ).as_record()
    row = record["sandboxes"][2]
    assert (row["failed"], row["left_out"]) == ([RUN_FAILED], None)
    for language, standing, features, missing, kept_out, no_reason in (
        (
            "en",
            "not measured: its run failed",
            "not told, as its run failed",
            "configurable is missing: its run failed.",
            "Not measured: configurable.",
            "is used up",
        ),
        (
            "es",
            "sin medir: su ejecución falló",
            "sin indicar, porque su ejecución falló",
            "configurable falta: su ejecución falló.",
            "Sin medir: configurable.",
            "está agotado",
        ),
    ):
        page = render_comparison(record, language)
        assert standing in page and features in page and missing in page
        assert kept_out in said_of(record["profiles"]["equal"], language)
        show_comparison(record, language)
        told = " ".join(capsys.readouterr().out.split())
        assert no_reason not in page and no_reason not in told
        # That a run was left out is said all the same.
        caution = words(language)["cautions"]["budget_spent_left_out"]
        assert caution.format(sandboxes="configurable") in told


@pytest.mark.parametrize(
    "why, english, spanish",
    [
        (
            BUDGET_SPENT,
            "its hospitals' privacy budget is used up",
            "el presupuesto de privacidad de sus hospitales está agotado",
        ),
        (
            NOT_APPROVED,
            "its hospitals have not approved the code",
            "sus hospitales no aprobaron el código",
        ),
        (
            ROSTER_UNFIT,
            "the roster does not fit it",
            "la lista de hospitales no encaja con él",
        ),
    ],
)
def test_what_was_left_out_says_why_on_page_terminal_and_in_json_and_never_that_it_was_not_run(
    why: str, english: str, spanish: str, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [
        {"sandbox": "configurable", "seed": 0, "why": why},
        {"sandbox": "eyes_on", "seed": 1, "why": why},  # with seed 0 it was measured before
    ]
    assert [LeftOut(**run).model_dump() for run in runs] == runs  # which the job takes
    controls = {"configurable": {"transport": {"declared": "mtls", "enforced": None}}}
    found = compare(
        [figures_of(name, 0) for name in ("minimal", "eyes_on", "confidential_vm")],
        sandboxes=[name for name in SANDBOX_NAMES if name != "eyes_off"],
        profiles={"equal": shipped_profiles()["equal"]},
        settings=Weighing(draws=100),
        surroundings=Surroundings(left_out=runs, controls=controls),
    ).as_record()
    record = json.loads(json.dumps(found))
    rows = {row["sandbox"]: row for row in record["sandboxes"]}
    assert rows["configurable"]["left_out"] == why
    assert rows["minimal"]["left_out"] is rows["eyes_on"]["left_out"] is None
    assert record["surroundings"]["left_out"] == runs
    assert {"kind": f"{why}_left_out", "sandboxes": ["configurable", "eyes_on"]} in found[
        "cautions"
    ]
    of_configurable = [row for row in record["decision"] if row["sandbox"] == "configurable"]
    assert {row["value"] for row in of_configurable} == {None}  # and no zero
    for language, because, standing, missing, not_run, sentence in (
        (
            "en",
            english,
            f"left out: {english}",
            f"configurable is missing: it was left out, as {english}.",
            "not run",
            "Left out because",
        ),
        (
            "es",
            spanish,
            f"fuera: {spanish}",
            f"configurable falta: se dejó fuera porque {spanish}.",
            "sin ejecutar",
            "Fuera porque",
        ),
    ):
        page = render_comparison(record, language).replace("&#39;", "'")
        assert standing in page and missing in page and not_run not in page
        assert sentence in said_of(record["profiles"]["equal"], language)
        show_comparison(record, language)
        told = capsys.readouterr().out
        cells = [row.split("│")[2].strip() for row in told.splitlines() if row.count("│") == 3]
        assert because in " ".join(cells)
        assert not_run not in told
