from __future__ import annotations

import copy
import json
import math
from typing import Any

import pytest

from fed_assets.comparison.comparison import Comparison, compare, from_record, recompute
from fed_assets.comparison.profiles import profiles_from, shipped_profiles
from fed_assets.comparison.settings import Settings
from fed_assets.errors import ConfigurationError, MeasurementError
from fed_assets_tests.comparison.conftest import figures_of, with_resamples
from fed_assets_tests.sentences import said_of

SANDBOXES = ("minimal", "eyes_on", "eyes_off", "confidential_vm", "configurable")
FEW = Settings(draws=200)
TWO = {name: shipped_profiles()[name] for name in ("equal", "operations")}


def compared(records: list[dict], **more: Any) -> Comparison:
    return compare(records, **({"sandboxes": SANDBOXES, "profiles": TWO, "settings": FEW} | more))


def firsts(comparison: Comparison) -> dict[str, dict[str, float]]:
    return {name: dict(of["first"]) for name, of in comparison.profiles.items()}


@pytest.fixture(scope="module")
def whole() -> Comparison:
    records = [figures_of(sandbox, seed) for sandbox in SANDBOXES for seed in (0, 1, 2)]
    return compared(list(map(with_resamples, records)), profiles=None)


def test_a_comparison_holds_every_part_of_the_decision(whole) -> None:
    assert [row["sandbox"] for row in whole.sandboxes] == list(SANDBOXES)
    assert {row["standing"] for row in whole.sandboxes} == {"may_win"}
    assert whole.nodes == 10
    assert set(whole.profiles) == set(shipped_profiles())
    assert whole.left_out["not_measured"] == ["energy_joules", "cost"]
    assert "bytes_up" in whole.left_out["constant"]
    assert {row["spread_from"] for row in whole.spreads} == {"seeds"} and whole.cautions == []
    for of in whole.profiles.values():
        assert sum(of["first"].values()) == pytest.approx(1)
        assert sum(of["weights"].values()) == pytest.approx(1)
        assert {len(rows) for rows in of["ranking"].values()} == {5}
        assert set(of["sentence"]) == {"en", "es"} == set(of["verdict"])
        assert len(of["reversals"]) == 5
        assert len(of["influence"]["groups"]) == 4


def closeness(record: dict[str, Any], profile: str) -> dict[str, float]:
    """Returns TOPSIS's scores, worked out from what the page shows: its matrix, and weights."""
    alike = [*record["left_out"]["constant"], *record["left_out"]["by_chance"]]
    weights = {
        name: weight
        for name, weight in record["profiles"][profile]["weights"].items()
        if name not in alike
    }
    found = {}
    for sandbox in record["profiles"][profile]["first"]:
        shown = {
            row["criterion"]: row["normalized"] or 0.0  # a gap counts as the worst
            for row in record["decision"]
            if row["sandbox"] == sandbox
        }
        to_best = math.hypot(*(of * (1 - shown[name]) for name, of in weights.items()))
        to_worst = math.hypot(*(of * shown[name] for name, of in weights.items()))
        found[sandbox] = to_worst / (to_best + to_worst)
    return found


def test_topsis_ranks_by_the_very_matrix_that_is_shown(five) -> None:
    five[4]["security"]["keeps_its_word"] = False  # it stretches no scale
    five[3]["effort"] = None
    five[2]["quality"]["calibration_error"] = None
    record = compared(five, profiles=None).as_record()
    for name, of in record["profiles"].items():
        scores = {row["sandbox"]: row["score"] for row in of["ranking"]["topsis"]}
        assert len(scores) == 4
        assert closeness(record, name) == pytest.approx(scores)


def test_it_says_which_method_has_whom_first_where_they_disagree(measured) -> None:
    def compromise(first: float, second: float, sandbox: str) -> dict[str, Any]:
        record = measured(sandbox)
        record["quality"] = {"auroc": {"value": first}, "accuracy": {"value": second}}
        return record

    # The third is nobody's worst: VIKOR, which weighs regrets, has it first.
    runs = [
        compromise(0.95, 0.60, "minimal"),
        compromise(0.65, 0.90, "eyes_on"),
        compromise(0.80, 0.747, "eyes_off"),
        compromise(0.71, 0.66, "confidential_vm"),
    ]
    entries = {
        "mine": {"groups": {"quality": 1}, "criteria": {"quality": {"auroc": 1, "accuracy": 1}}}
    }
    mine = profiles_from(entries, where="mine.yaml")
    of = compared(runs, profiles=mine).profiles["mine"]
    assert of["methods_agree"] is False
    assert of["first_by_method"] == {
        method: [row["sandbox"] for row in rows if row["rank"] == 1]
        for method, rows in of["ranking"].items()
    }
    assert "do not agree on who comes first" in said_of(of)
    assert "minimal by TOPSIS" in said_of(of)
    assert "eyes_off by VIKOR" in said_of(of)
    assert "eyes_off según VIKOR" in said_of(of, "es")
    best = compared([best_of_all(runs[0]), *runs[1:]], profiles=mine).profiles["mine"]
    assert best["methods_agree"] is True and "agree" not in said_of(best)


def test_profiles_come_to_other_choices(whole) -> None:
    likeliest = {name: max(of, key=of.get) for name, of in firsts(whole).items()}
    assert likeliest["operations"] == "minimal"
    assert likeliest["security_officer"] in {"eyes_off", "confidential_vm"}


def test_a_comparison_is_rebuilt_from_its_file_to_the_last_digit(whole) -> None:
    text = json.dumps(whole.as_record(), allow_nan=False)  # no NaN and no infinity in it
    stored = from_record(json.loads(text))
    assert stored == whole
    assert json.dumps(stored.as_record()) == text
    assert recompute(stored) == whole


def test_a_comparison_is_reckoned_again_with_other_profiles_and_settings(whole) -> None:
    mine = profiles_from({"mine": {"groups": {"quality": 1}}}, where="mine.yaml")
    again = recompute(whole, profiles=mine, settings=Settings(draws=100, seed=9))
    assert list(again.profiles) == ["mine"]
    assert again.settings["seed"] == 9
    assert again.decision == whole.decision
    assert recompute(again) == again


@pytest.mark.parametrize("change", [{"format": 99}, {"decision": ...}])
def test_a_file_of_another_form_is_refused(whole, change) -> None:
    record = whole.as_record()
    for key, value in change.items():
        record[key] = value
        if value is ...:
            del record[key]
    with pytest.raises(MeasurementError, match=r"cannot be read.*Seen: format"):
        from_record(record)


def test_intervals_and_spreads_of_two_seeds_alone_are_cautioned_by_name(five) -> None:
    def cautioned(*seeds: int) -> dict[str, dict[str, Any]]:
        more = [figures_of("minimal", seed) for seed in seeds]
        return {each["kind"]: each for each in compared([*five, *more]).cautions}

    kinds = {"two_seeds", "spread_of_two_runs"}
    assert not cautioned().keys() & kinds
    two = cautioned(1)
    assert two["two_seeds"]["sandboxes"] == ["minimal"]
    assert "wall_seconds" in two["two_seeds"]["criteria"]
    assert "manual_steps" not in two["two_seeds"]["criteria"]  # alike with both, and exact
    others = sorted(name for name in SANDBOXES if name != "minimal")
    assert two["spread_of_two_runs"]["sandboxes"] == others
    assert two["spread_of_two_runs"]["over"] == ["minimal"]
    assert "wall_seconds" in two["spread_of_two_runs"]["criteria"]
    assert not cautioned(1, 2).keys() & kinds


def test_one_seed_gives_the_same_and_another_gives_other_draws(five) -> None:
    assert compared(five) == compared(five)
    other = compared(five, settings=Settings(draws=200, seed=1))
    assert firsts(other) != firsts(compared(five))


def test_the_order_of_records_and_sandboxes_does_not_matter(five) -> None:
    turned = compared(five[::-1], sandboxes=SANDBOXES[::-1])
    plain = compared(five)
    assert firsts(turned) == firsts(plain)
    for name, of in plain.profiles.items():
        assert turned.profiles[name]["ranking"] == of["ranking"]


def test_the_unit_of_a_measurement_does_not_matter(five) -> None:
    in_milliseconds = copy.deepcopy(five)
    for each in in_milliseconds:
        each["efficiency"]["wall_seconds"] *= 1000
    other = firsts(compared(in_milliseconds))
    for name, of in firsts(compared(five)).items():
        assert other[name] == pytest.approx(of)


def best_of_all(record: dict[str, Any]) -> dict[str, Any]:
    """Returns a record that is better in everything than any other."""
    record["efficiency"] = {
        name: None if value is None else 1.0 for name, value in record["efficiency"].items()
    }
    record["security"] |= {"at_rest": 4, "in_transit": 4, "in_use": 4, "epsilon": 0.1}
    record["security"] |= {"probes": {"passed": 20, "inconclusive": 0, "failed": 0}}
    record["security"] |= {"membership_advantage": {"value": 0.0, "low": 0.0, "high": 0.0}}
    best = {"value": 1.0, "low": 0.999, "high": 1.0}
    record["quality"] = {name: best for name in record["quality"]}
    record["quality"]["calibration_error"] = {"value": 0.0, "low": 0.0, "high": 0.001}
    record["effort"] = {"setup_seconds": 0.0, "manual_steps": 0}
    return record


def test_the_best_of_all_wins_for_certain_where_it_keeps_its_word(five) -> None:
    best_of_all(five[1])
    for of in compared(five).profiles.values():
        assert (of["decision"]["status"], of["decision"]["choice"]) == ("sure", "eyes_on")
        assert of["first"]["eyes_on"] == pytest.approx(1)


@pytest.mark.parametrize("allow", [False, True])
def test_one_that_broke_its_word_never_wins_however_good_it_is(five, allow) -> None:
    best_of_all(five[1])["security"]["keeps_its_word"] = False
    found = compared(five, settings=Settings(draws=200, allow_unaudited=allow))
    assert found.sandboxes[1]["standing"] == "broke_its_word"
    for of in found.profiles.values():
        assert "eyes_on" not in of["first"] and of["decision"]["choice"] != "eyes_on"
        assert all(row["sandbox"] != "eyes_on" for rows in of["ranking"].values() for row in rows)
        assert "Kept out because the posture check failed: eyes_on." in said_of(of)
    shown = [row for row in found.decision if row["sandbox"] == "eyes_on"]
    assert any(row["value"] is not None for row in shown)  # it is shown all the same


def test_one_that_was_not_audited_wins_only_on_request(five) -> None:
    best_of_all(five[1])["security"]["keeps_its_word"] = None
    assert compared(five).sandboxes[1]["standing"] == "not_audited"
    assert all("eyes_on" not in of for of in firsts(compared(five)).values())
    let_in = compared(five, settings=Settings(draws=200, allow_unaudited=True))
    for of in let_in.profiles.values():
        assert of["decision"]["choice"] == "eyes_on"
        assert "though no audit was made: eyes_on." in said_of(of)


def test_an_audit_of_other_controls_is_called_that_and_makes_no_winner(five) -> None:
    five[1]["security"] |= {"keeps_its_word": None, "audit": "of_other_controls"}
    found = compared(five)
    assert found.sandboxes[1]["standing"] == "audited_otherwise"
    assert found.sandboxes[0]["audit"] == "made"
    for of in found.profiles.values():
        assert "eyes_on" not in of["first"]
        assert "Kept out because the audit was of other controls" in said_of(of)
        assert "no audit was made" not in said_of(of)
        assert "Sin opción de ganar porque la auditoría era de otros" in said_of(of, "es")
    let_in = compared(five, settings=Settings(draws=200, allow_unaudited=True))
    told = said_of(let_in.profiles["equal"])
    assert "Let in on request, though the audit was of other controls: eyes_on." in told


def test_what_was_measured_otherwise_than_is_asked_for_is_said_in_each_sentence(five) -> None:
    for each in five[:2]:
        each["otherwise"] = [{"part": "rounds", "measured": 3, "asked": 15}, {"part": "recipe"}]
    five[4]["otherwise"] = [{"part": "network"}]
    five[4]["security"]["keeps_its_word"] = False  # none of the choice, and none of its sentence
    found = compared(five)
    both = ["eyes_on", "minimal"]
    assert [each for each in found.cautions if each["kind"].startswith("other_")] == [
        {"kind": "other_network", "sandboxes": ["configurable"]},
        {"kind": "other_rounds", "measured": 3, "asked": 15, "sandboxes": both},
        {"kind": "other_recipe", "sandboxes": both},
    ]
    for of in found.profiles.values():
        told = said_of(of)
        assert "Measured with 3 rounds where the roster asks for 15: eyes_on and minimal" in told
        assert "another recipe than is asked for now: eyes_on and minimal" in told
        assert "network" not in told


def test_where_none_may_win_it_says_why(five) -> None:
    for each in five:
        each["security"]["keeps_its_word"] = False
    for of in compared(five).profiles.values():
        assert of["decision"]["status"] == "none"
        assert of["ranking"] == {}
        assert "none may win. Kept out because the posture check failed: minimal," in said_of(of)
        assert of["influence"] is None and of["claim"] is None


def test_without_any_measurement_all_are_missing() -> None:
    found = compared([])
    assert {row["standing"] for row in found.sandboxes} == {"not_measured"}
    assert all(row["value"] is None for row in found.decision)
    assert (found.nodes, list(found.hospitals)) == (0, [])
    assert found.profiles["equal"]["decision"]["status"] == "none"
    told = found.profiles["equal"]["sentence"]
    assert told["en"].endswith("there is no choice yet, as no sandbox was measured.")
    assert told["es"].endswith("porque no se midió ningún entorno.")
    json.dumps(found.as_record(), allow_nan=False)


def test_a_missing_sandbox_is_missing_and_changes_nothing_of_the_others(five) -> None:
    found = compared(five[:4])
    assert found.sandboxes[4] == {
        "sandbox": "configurable",
        "standing": "not_measured",
        "keeps_its_word": None,
        "audit": "none",
        "seeds": [],
        "run_ids": [],
        "failed": [],
        "left_out": None,
    }
    without = compared(five[:4], sandboxes=SANDBOXES[:4])
    assert firsts(found) == firsts(without)
    assert "Not measured: configurable." in said_of(found.profiles["equal"])


def test_one_sandbox_alone_is_the_only_choice(five) -> None:
    found = compared(five[:1])
    for of in found.profiles.values():
        assert of["decision"]["status"] == "only"
        assert of["first"] == {"minimal": None} and of["decision"]["probability"] is None
        assert {row["rank"] for rows in of["ranking"].values() for row in rows} == {None}
        assert of["first_by_method"] == {} and of["methods_agree"] is None
        assert "The only one that may win is minimal, so nothing was ranked." in said_of(of)
        assert "El único que puede ganar es minimal" in said_of(of, "es")
    json.dumps(found.as_record(), allow_nan=False)


def test_two_sandboxes_can_be_compared(five) -> None:
    for of in compared(five[:2]).profiles.values():
        assert sum(of["first"].values()) == pytest.approx(1)
        assert of["reversals"] == []


def test_two_that_are_alike_are_undecided(measured) -> None:
    twins = []
    for sandbox in ("eyes_on", "eyes_off"):
        twin = measured("eyes_on")
        twin["sandbox"] = sandbox
        twins.append(twin)
    found = compared(twins, settings=Settings(draws=4000))
    for of in found.profiles.values():
        assert of["decision"]["status"] == "undecided"
        assert of["first"]["eyes_on"] == pytest.approx(0.5, abs=0.03)
        assert {row["rank"] for rows in of["ranking"].values() for row in rows} == {1}


def test_one_that_is_worse_in_everything_never_wins(measured) -> None:
    best = best_of_all(measured("minimal"))
    found = compared([best, measured("eyes_on"), measured("eyes_off")])
    for of in found.profiles.values():
        assert of["first"]["minimal"] == pytest.approx(1)
        assert of["first"]["eyes_on"] == of["first"]["eyes_off"] == 0.0


def test_what_one_did_not_measure_counts_as_worst_and_as_zero_never(five) -> None:
    for each in five:
        if each["sandbox"] == "configurable":
            each["efficiency"] = None
    found = compared(five)
    assert {"sandbox": "configurable", "criterion": "wall_seconds"} in found.counted_as_worst
    cautioned = {
        each["criterion"]: each["sandboxes"]
        for each in found.cautions
        if each["kind"] == "counted_as_worst"
    }
    assert "configurable" in cautioned["wall_seconds"]
    gaps = [row for row in found.decision if row["sandbox"] == "configurable"]
    assert all(row["value"] is None for row in gaps if row["group"] == "efficiency")
    # As zero seconds and bytes it would be the best that there is.
    assert found.profiles["operations"]["first"]["configurable"] < 0.1


def test_nothing_that_a_profile_weighs_was_measured(five) -> None:
    entries = {"mine": {"groups": {"efficiency": 1}, "criteria": {"efficiency": {"cost": 1}}}}
    mine = profiles_from(entries, where="mine.yaml")
    of = compared(five, profiles=mine).profiles["mine"]
    assert of["decision"]["status"] == "nothing_weighed"
    assert of["ranking"] == {} and of["influence"] is None


def test_a_users_profile_does_not_change_the_draws_of_others(five) -> None:
    mine = profiles_from({"mine": {"groups": {"effort": 1}}}, where="mine.yaml")
    both = compared(five, profiles={**mine, **TWO})
    assert firsts(both)["equal"] == firsts(compared(five))["equal"]


def assumed_of(found: Comparison) -> set[str]:
    """Returns the sandboxes of which a spread is assumed."""
    return {row["sandbox"] for row in found.spreads if row["spread_from"] == "assumed"}


def test_it_says_of_each_whether_its_spread_was_measured_pooled_or_assumed(five, measured) -> None:
    """As one seed of all, as more of some, and as more of others that never differ."""
    runs = [*five, *(measured(name, seed) for name in SANDBOXES[:2] for seed in (1, 2))]
    for run in runs:
        run["efficiency"]["peak_memory_bytes"] = 2e9  # tells nothing, however often
    found = compared(runs)
    told = {(row["sandbox"], row["criterion"]): row for row in found.spreads}
    sources = {name: told[name, "wall_seconds"]["spread_from"] for name in SANDBOXES}
    assert sources == dict.fromkeys(SANDBOXES[:2], "seeds") | dict.fromkeys(SANDBOXES[2:], "pooled")
    pooled = told["configurable", "wall_seconds"]
    assert (pooled["degrees_of_freedom"], pooled["over"]) == (4, ["eyes_on", "minimal"])
    assert told["minimal", "wall_seconds"]["degrees_of_freedom"] == 2
    own = [told[name, "wall_seconds"]["relative_deviation"] for name in SANDBOXES[:2]]
    assert min(own) < pooled["relative_deviation"] <= max(own) or own[0] == pytest.approx(own[1])
    memory = {told[name, "peak_memory_bytes"]["spread_from"] for name in SANDBOXES}
    assert memory == {"assumed"}
    cautions = {each["kind"]: each for each in found.cautions}
    assert cautions["spread_pooled"]["over"] == ["eyes_on", "minimal"]
    assert cautions["spread_pooled"]["sandboxes"] == sorted(SANDBOXES[2:])
    assert cautions["spread_assumed"]["criteria"] == ["peak_memory_bytes"]
    english, spanish = (said_of(found.profiles["operations"], each) for each in ("en", "es"))
    assert "like vary was taken from eyes_on and minimal: confidential_vm" in english
    assert "like vary is assumed: confidential_vm, configurable, eyes_off, eyes_on" in english
    assert "y lo demás se tomó de eyes_on y minimal: confidential_vm" in spanish
    entries = {"mine": {"groups": {"quality": 1}}}
    mine = profiles_from(entries, where="mine.yaml")
    assert "vary" not in said_of(compared(runs, profiles=mine).profiles["mine"])
    assert compared(five[:1]).spreads == []  # nothing is drawn of one


def test_more_seeds_take_the_assumed_spread_away_and_the_caution(five, measured) -> None:
    once = compared(five)
    assert assumed_of(once) == {*SANDBOXES}
    assert once.cautions[0]["kind"] == "one_seed"
    assert "one seed alone" in said_of(once.profiles["equal"])
    again = [measured(sandbox, 1) for sandbox in SANDBOXES]
    twice = compared(list(map(with_resamples, [*five, *again])))
    assert assumed_of(twice) == set()
    assert [each["kind"] for each in twice.cautions] == ["two_seeds"]
    assert "one seed alone" not in said_of(twice.profiles["equal"])
    mixed = compared(list(map(with_resamples, [*five, *again[:4]])))
    told = said_of(mixed.profiles["equal"])
    assert "chance between trainings is not in it: configurable." in told


def test_one_measurement_of_two_sandboxes_decides_nothing_between_them(measured) -> None:
    entries = {"mine": {"groups": {"quality": 1}}}
    mine = profiles_from(entries, where="mine.yaml")
    runs = [measured("minimal"), measured("minimal") | {"sandbox": "eyes_on"}]
    for run in runs:
        run["model"] = {"weights": "the same"}
    of = compared(runs, profiles=mine).profiles["mine"]
    assert of["first"] == {"minimal": 0.5, "eyes_on": 0.5}  # a tie in every draw
    assert {row["changes_winner"]["value"] for row in of["influence"]["criteria"]} == {0.0}
    runs[1]["model"] = {"weights": "others"}  # drawn apart, and no further than chance puts them
    assert compared(runs, profiles=mine).profiles["mine"]["first"] == of["first"]
    runs[1]["quality"]["auroc"] = {"value": 0.9, "low": 0.89, "high": 0.91}
    of = compared(runs, profiles=mine).profiles["mine"]
    assert of["first"] == {"minimal": 1.0, "eyes_on": 0.0}
    assert {row["changes_winner"]["value"] for row in of["influence"]["criteria"]} != {0.0}


def test_a_doubt_that_is_not_known_is_said_where_the_criterion_weighs(five) -> None:
    assert compared(five).doubt_unknown == []
    for each in (five[0], five[4]):
        each["quality"]["worst_sensitivity"] = {"value": 1.0, "low": 1.0, "high": 1.0}
    five[4]["security"]["keeps_its_word"] = False  # none of the choice, and of no draw
    found = compared(five, profiles=None)
    assert found.doubt_unknown == [{"sandbox": "minimal", "criterion": "worst_sensitivity"}]
    assert {
        "kind": "doubt_unknown",
        "criterion": "worst_sensitivity",
        "sandboxes": ["minimal"],
    } in found.cautions
    english, spanish = (said_of(found.profiles["clinician"], each) for each in ("en", "es"))
    assert "is not known, and is assumed: Sensitivity at the worst hospital." in english
    assert "No se sabe, y se supuso, cuánta duda tiene una medida: Sens" in spanish
    entries = {"mine": {"groups": {"quality": 1}, "criteria": {"quality": {"auroc": 1}}}}
    mine = profiles_from(entries, where="mine.yaml")
    assert "not known" not in said_of(compared(five, profiles=mine).profiles["mine"])


def test_a_record_of_an_earlier_version_is_read_and_said_to_be_no_pair(five) -> None:
    assert "unpaired" not in {each["kind"] for each in compared(five[:1]).cautions}  # of whom?
    new = list(map(with_resamples, five))
    del new[2]["resampled"]
    found = compared(new)
    assert {"kind": "unpaired", "sandboxes": ["eyes_off"]} in found.cautions
    assert len(found.profiles["equal"]["first"]) == 5
    del new[3]["resampled_elsewhere"], new[4]["resampled_elsewhere"]["membership_advantage"]
    told = {
        each["criterion"]: each["sandboxes"]
        for each in compared(new).cautions
        if each["kind"] == "unpaired_figure"
    }
    both = ["confidential_vm", "configurable"]
    assert told == {"worst_sensitivity": both[:1], "membership_advantage": both}
    for each in new:  # one measurement needs no pair
        each["model"] = {"weights": "of all"}
    assert "unpaired_figure" not in {each["kind"] for each in compared(new).cautions}
    with_resamples(new[2])["resampled"]["of"] = "other images"
    assert {"kind": "unpaired", "sandboxes": ["eyes_off"]} in compared(new).cautions


def test_a_sandbox_that_nobody_asked_for_is_refused(five) -> None:
    with pytest.raises(MeasurementError, match=r"not compared\. Where: configurable"):
        compared(five, sandboxes=SANDBOXES[:4])


@pytest.mark.parametrize(
    "wrong, what",
    [
        ({"draws": 0}, "100 draws or more"),
        ({"seed": -1}, "from 0 on"),
        ({"concentration": 0.0}, "a number above 0"),
        ({"concentration": float("inf")}, "a number above 0"),
    ],
)
def test_settings_that_cannot_be_drawn_with_are_refused(wrong, what) -> None:
    with pytest.raises(ConfigurationError, match=what):
        Settings(**wrong)
