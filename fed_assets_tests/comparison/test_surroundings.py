from __future__ import annotations

from typing import Any

from fed_assets.comparison.comparison import Comparison, compare, from_record, recompute
from fed_assets.comparison.settings import Settings
from fed_assets.comparison.surroundings import Surroundings, currency_of

FEW = Settings(draws=100)
STEP = {"kind": "approve_code", "who": ["north"], "command": "fed-assets approve-code x"}
LEVEL = {"ladder": "in_transit", "level": 3, "highest": 4}
KNOWN = Surroundings(
    controls={
        name: {"transport": {"declared": "mtls", "enforced": None, "measured": LEVEL}}
        for name in ("minimal", "eyes_on")
    },
    steps={"minimal": [STEP], "eyes_on": [STEP]},
    currency="CHF",
    machine={"cores": 2},
    versions={"torch": "2.13.0"},
)


def compared(records: list[dict[str, Any]], surroundings: Surroundings = KNOWN) -> Comparison:
    return compare(
        records, sandboxes=("minimal", "eyes_on"), settings=FEW, surroundings=surroundings
    )


def test_what_a_definition_declares_is_shown_where_nothing_ran_and_nowhere_else(measured) -> None:
    found = compared([measured("minimal")])
    minimal, eyes_on = found.features
    assert (minimal["declared"], minimal["enforced"]) == (["clear"], True)  # as its run has it
    assert (eyes_on["declared"], eyes_on["enforced"]) == (["mtls"], None)
    assert eyes_on["measured"] == [LEVEL]  # an audit takes no run
    standings = {row["sandbox"]: row["standing"] for row in found.sandboxes}
    assert standings["eyes_on"] == "not_measured"
    # A definition is no measurement.
    assert all(row["value"] is None for row in found.decision if row["sandbox"] == "eyes_on")


def test_steps_by_hand_are_those_of_the_run_or_of_the_definition(measured) -> None:
    run = measured("minimal")
    assert compared([run]).steps == {"minimal": [STEP], "eyes_on": [STEP]}
    run["effort"]["steps"] = []
    assert compared([run]).steps == {"minimal": [], "eyes_on": [STEP]}


def test_money_has_its_currency_for_a_unit(measured) -> None:
    def unit(found: Comparison) -> set[str]:
        rows = [*found.decision, *({**each, "criterion": each["name"]} for each in found.criteria)]
        return {row["unit"] for row in rows if row["criterion"] == "cost"}

    run = measured("minimal")
    assert unit(compared([run])) == {"CHF"}
    assert unit(compared([run], Surroundings())) == {"price"}  # no table, no currency
    run["prices"] = {"currency": "EUR", "example": True}
    assert unit(compared([run], Surroundings())) == {"EUR"} == {currency_of([run])}


def test_a_stored_comparison_keeps_what_it_was_made_among(measured) -> None:
    found = compared([measured("minimal")])
    assert found.surroundings["machine"] == {"cores": 2}
    assert recompute(from_record(found.as_record())) == found
