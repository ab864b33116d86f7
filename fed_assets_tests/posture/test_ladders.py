from __future__ import annotations

import pytest

from fed_assets.posture.evidence import Evidence, Outcome
from fed_assets.posture.ladders import (
    AT_REST,
    BESIDE,
    HIGHEST,
    IN_TRANSIT,
    IN_USE,
    LADDERS,
    promised,
)
from fed_assets.posture.ladders import standings as all_standings
from fed_assets.sandboxes.presets import (
    CONFIDENTIAL_VM,
    EYES_OFF,
    EYES_ON,
    MINIMAL,
    find_sandbox,
)
from fed_assets.sandboxes.sandbox import Sandbox


def seen(rung: int, outcome: Outcome = Outcome.PASSED, ladder: str = AT_REST) -> Evidence:
    return Evidence(f"probe_{rung}", ladder, rung, "", outcome, "", {}, {}, {}, 0.0, "")


def test_without_evidence_every_ladder_ends_at_0_and_says_why() -> None:
    for name, standing in all_standings([]).items():
        assert standing.level == 0
        assert standing.means == LADDERS[name][0]
        assert standing.why == "no probe was made for level 1"


def test_a_level_counts_where_every_probe_up_to_it_passed() -> None:
    standing = all_standings([seen(1), seen(1), seen(2)])[AT_REST]
    assert standing.level == 2
    assert standing.why == "no probe was made for level 3"


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.INCONCLUSIVE])
def test_one_probe_that_did_not_pass_ends_the_ladder_below_it(outcome: Outcome) -> None:
    standing = all_standings([seen(1), seen(2), seen(2, outcome), seen(3)])[AT_REST]
    assert standing.level == 1
    assert standing.why == f"probe_2 {outcome}"


def test_a_level_that_nobody_tried_is_not_leapt_over() -> None:
    assert all_standings([seen(1), seen(3)])[AT_REST].level == 1


@pytest.mark.parametrize("outcome", Outcome)
def test_what_is_measured_beside_a_ladder_moves_nobody_on_it(outcome: Outcome) -> None:
    standing = all_standings([seen(BESIDE, outcome), seen(1)])[AT_REST]
    assert (standing.level, standing.why) == (1, "no probe was made for level 2")
    assert all_standings([seen(BESIDE, outcome)])[AT_REST].level == 0


def test_one_ladder_does_not_stand_for_another() -> None:
    standings = all_standings([seen(1), seen(1, ladder=IN_USE), seen(2, ladder=IN_USE)])
    assert [standings[name].level for name in (AT_REST, IN_TRANSIT, IN_USE)] == [1, 0, 2]


def test_every_ladder_says_what_each_of_its_levels_means() -> None:
    assert {len(levels) for levels in LADDERS.values()} == {HIGHEST + 1}


def changed(**controls: str | bool) -> Sandbox:
    return Sandbox.model_validate({**EYES_ON.model_dump(), **controls})


def confined(**controls: str | bool) -> Sandbox:
    return changed(**{"process": "confined", "job_code": "preinstalled", **controls})


@pytest.mark.parametrize(
    ("sandbox", "levels"),
    [
        (MINIMAL, (0, 0, 0)),
        (EYES_ON, (0, 3, 0)),
        (changed(process="confined"), (1, 3, 0)),  # and any code may be submitted
        (confined(), (1, 3, 1)),
        (changed(storage="sealed", key_custody="hospital"), (2, 3, 0)),
        (confined(storage="sealed", key_custody="hospital"), (3, 3, 1)),
        (confined(update_protection="secure_aggregation"), (1, 3, 3)),
        (confined(update_protection="differential_privacy"), (1, 3, 2)),
        (confined(update_protection="clip"), (1, 3, 1)),  # it hides nothing
        (changed(update_protection="secure_aggregation"), (0, 3, 0)),  # its memory is open
        (EYES_OFF, (3, 3, 1)),
        (CONFIDENTIAL_VM, (3, 3, 3)),
        (find_sandbox("configurable"), (3, 3, 2)),  # as shipped
    ],
)
def test_what_a_sandbox_promises_follows_from_its_controls(
    sandbox: Sandbox, levels: tuple[int, int, int]
) -> None:
    assert promised(sandbox.controls()) == dict(
        zip((AT_REST, IN_TRANSIT, IN_USE), levels, strict=True)
    )
