from __future__ import annotations

import json

import pytest

from fed_assets.posture.evidence import Evidence, Outcome
from fed_assets.posture.ladders import BESIDE
from fed_assets.posture.posture import SIMULATED_LIMIT, judge, judged_again
from fed_assets.posture.releasing import RELEASES
from fed_assets.posture.submitting import CODE_PROBES
from fed_assets.posture.updates import OF_ONE_UPDATE, OF_THE_SUM, RECOVER
from fed_assets.sandboxes.controls import JobCode, UpdateProtection
from fed_assets.sandboxes.presets import EYES_OFF, EYES_ON, MINIMAL
from fed_assets.sandboxes.sandbox import Sandbox


def seen(ladder: str, rung: int, outcome: Outcome = Outcome.PASSED) -> Evidence:
    return Evidence(f"{ladder}_{rung}", ladder, rung, "", outcome, "", {}, {}, {}, 0.0, "")


def test_a_sandbox_that_promises_nothing_keeps_its_word() -> None:
    posture = judge(MINIMAL, [seen("at_rest", 1, Outcome.FAILED)])
    assert posture.shortfalls == ()
    assert posture.as_record()["keeps_its_word"] is True


def test_what_nobody_measured_is_not_kept() -> None:
    assert judge(EYES_ON, []).shortfalls == (
        "in_transit: level 0 was measured and 3 is promised (no probe was made for level 1)",
    )


def test_what_was_measured_lower_than_promised_is_named_with_its_attempt() -> None:
    evidence = [seen("in_transit", 1), seen("in_transit", 2, Outcome.INCONCLUSIVE)]
    assert judge(EYES_ON, evidence).shortfalls == (
        "in_transit: level 1 was measured and 3 is promised (in_transit_2 inconclusive)",
    )


def test_what_was_measured_as_promised_is_kept() -> None:
    posture = judge(EYES_ON, [seen("in_transit", rung) for rung in (3, BESIDE, 1, 2)])
    assert posture.shortfalls == ()
    assert [each.rung for each in posture.evidence] == [1, 2, 3, BESIDE]


def test_its_record_is_json_with_a_level_per_ladder_at_its_top() -> None:
    record = json.loads(json.dumps(judge(EYES_ON, [seen("at_rest", 1)]).as_record()))
    assert (record["at_rest"], record["in_transit"], record["in_use"]) == (1, 0, 0)
    assert record["probes"][0]["outcome"] == "passed"
    assert record["controls"]["transport"] == "mtls"


def named(probe: str, outcome: Outcome = Outcome.PASSED) -> Evidence:
    return Evidence(probe, "in_use", 1, "", outcome, "", {}, {}, {}, 0.0, "")


def test_code_that_runs_breaks_the_word_of_a_sandbox_whose_ladder_promises_nothing() -> None:
    strict = MINIMAL.model_copy(update={"job_code": JobCode.PREINSTALLED})
    own, unlisted = CODE_PROBES
    assert judge(strict, [named(own), named(unlisted)]).shortfalls == ()
    assert judge(strict, [named(own, Outcome.FAILED)]).shortfalls == (
        f"{own}: failed, and job_code=preinstalled promises that it passes",
        f"{unlisted}: not made, and job_code=preinstalled promises that it passes",
    )
    assert judge(MINIMAL, [named(own, Outcome.FAILED)]).shortfalls == ()


MASKED = EYES_ON.model_copy(update={"update_protection": UpdateProtection.SECURE_AGGREGATION})
PRIVATE = EYES_ON.model_copy(update={"update_protection": UpdateProtection.DIFFERENTIAL_PRIVACY})
KEPT = [seen("in_transit", rung) for rung in (1, 2, 3)]


def test_an_update_that_is_found_breaks_the_word_of_a_sandbox_that_hides_it() -> None:
    made = [named(each) for each in OF_ONE_UPDATE]
    assert judge(MASKED, [*KEPT, *made, named(RECOVER)]).shortfalls == ()
    assert judge(MASKED, [*KEPT, *made, named(RECOVER, Outcome.FAILED)]).shortfalls == (
        f"{RECOVER}: failed, and update_protection=secure_aggregation promises that it passes",
    )
    assert judge(PRIVATE, [*KEPT, *made, *map(named, OF_THE_SUM)]).shortfalls == ()
    told = judge(PRIVATE, [*KEPT, named(OF_ONE_UPDATE[0]), *map(named, OF_THE_SUM)]).shortfalls
    assert [each.partition(",")[0] for each in told] == [f"{OF_ONE_UPDATE[1]}: not made"]


@pytest.mark.parametrize("outcome", Outcome)
def test_what_the_sum_tells_is_no_word_of_one_who_hides_single_updates(outcome: Outcome) -> None:
    made = [named(each) for each in (*OF_ONE_UPDATE, RECOVER)]
    posture = judge(MASKED, [*KEPT, *made, *(named(each, outcome) for each in OF_THE_SUM)])
    assert posture.shortfalls == ()
    assert any("The sum of all updates" in limit for limit in posture.limits)


def test_clipping_is_not_taken_for_what_hides_updates() -> None:
    (limit,) = set(judge(EYES_OFF, []).limits) - set(judge(EYES_ON, []).limits)
    assert "still sees each update" in limit


ATTESTED = Sandbox.model_validate(
    {
        **EYES_ON.model_dump(),
        "storage": "sealed",
        "key_custody": "attested",
        "job_code": "measured",
    }
)


def test_an_attested_key_has_to_be_measured() -> None:
    found = judge(ATTESTED, [named(each) for each in CODE_PROBES])
    missed = [each.partition(":")[0] for each in found.shortfalls]
    assert missed == ["at_rest", "in_transit", *RELEASES]
    assert f"{RELEASES[0]}: not made, and key_custody=attested promises" in found.shortfalls[2]


def test_a_simulated_enclave_is_said_to_be_one() -> None:
    posture = judge(ATTESTED, [])
    assert posture.simulated
    assert posture.as_record()["controls"]["key_custody"] == "attested (SIMULATED)"
    assert SIMULATED_LIMIT in posture.limits
    assert SIMULATED_LIMIT not in judge(EYES_ON, []).limits


def test_a_record_judged_again_comes_to_itself_and_not_to_what_was_changed_in_it() -> None:
    for sandbox in (MINIMAL, EYES_ON, EYES_OFF, ATTESTED):
        evidence = [seen("in_transit", 1), seen("at_rest", 1, Outcome.FAILED), named(RECOVER)]
        record = json.loads(json.dumps(judge(sandbox, evidence).as_record()))
        assert judged_again(record) == record
        changed = {"keeps_its_word": True, "shortfalls": [], "promised": {}, "withstood": {}}
        assert judged_again(record | changed | {"at_rest": 4, "simulated": None}) == record
