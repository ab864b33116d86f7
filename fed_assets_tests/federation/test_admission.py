from __future__ import annotations

import json
from typing import Any

import pytest

from fed_assets.errors import RunConfigError
from fed_assets.federation.admission import admission_from_record, admit

THREE = ("north", "east", "south")


def images(**changes: Any) -> dict[str, Any]:
    """Returns what a hospital's validation reports, with some of it replaced."""
    return {
        "admitted": True,
        "reason": "",
        "digest": "d",
        "classes": ["normal", "pneumonia"],
        "channels": 1,
        "image_size": 28,
        "synthetic": False,
    } | changes


def of_all(**by_hospital: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {name: by_hospital.get(name, images(digest=name)) for name in THREE}


def test_everyone_takes_part_where_all_images_are_let_through() -> None:
    admission = admit(THREE, of_all(), quorum=None)
    assert admission.participants == THREE
    assert admission.excluded == {}
    assert (admission.quorum, admission.quorum_met) == (3, True)
    assert (admission.classes, admission.channels) == (("normal", "pneumonia"), 1)
    assert admission.digests == {name: name for name in THREE}


def test_a_hospital_that_failed_is_excluded_with_its_reason() -> None:
    failed = {"admitted": False, "reason": "3 of 9 images are blank"}
    admission = admit(THREE, of_all(east=failed), quorum=2)
    assert admission.participants == ("north", "south")
    assert admission.excluded == {"east": "3 of 9 images are blank"}
    assert admission.quorum_met


def test_without_a_quorum_all_are_needed() -> None:
    failed = {"admitted": False, "reason": "no images"}
    assert not admit(THREE, of_all(east=failed), quorum=None).quorum_met


def test_a_revoked_hospital_is_missed_and_lowers_what_is_needed() -> None:
    why = {"east": "it is revoked", "elsewhere": "it is revoked"}
    admission = admit(THREE, of_all(), quorum=None, revoked=why)
    assert admission.participants == ("north", "south")
    assert admission.excluded == {"east": "it is revoked"}
    assert admission.left_out == ()
    assert (admission.quorum, admission.quorum_met) == (2, True)
    assert not admit(THREE, of_all(), quorum=3, revoked=why).quorum_met


def test_a_hospital_left_out_lowers_what_is_needed_and_needs_no_images() -> None:
    validated = of_all()
    del validated["south"]
    admission = admit(THREE, validated, quorum=None, leave_out=["south", "south"])
    assert admission.excluded == {"south": "left out by the run's config"}
    assert (admission.quorum, admission.quorum_met) == (2, True)


def test_a_set_quorum_holds_for_those_left_out_too() -> None:
    assert not admit(THREE, of_all(), quorum=3, leave_out=["south"]).quorum_met


def test_leaving_out_everybody_never_meets_the_quorum() -> None:
    admission = admit(THREE, of_all(), quorum=None, leave_out=THREE)
    assert (admission.participants, admission.quorum, admission.quorum_met) == ((), 1, False)


def test_leaving_out_a_stranger_is_refused_with_the_known_ids() -> None:
    with pytest.raises(RunConfigError, match=r"Seen: west\..*north, east, south"):
        admit(THREE, of_all(), quorum=None, leave_out=["west"])


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"channels": 3}, "3 channels"),
        ({"image_size": 64}, "64 pixels"),
        ({"classes": ["normal", "covid"]}, "normal, covid"),
    ],
)
def test_images_unlike_most_others_are_excluded(other: dict[str, Any], said: str) -> None:
    admission = admit(THREE, of_all(north=images(**other)), quorum=1)
    assert admission.participants == ("east", "south")
    assert said in admission.excluded["north"]
    assert (admission.channels, admission.image_size) == (1, 28)


def test_one_changed_set_of_images_changes_the_digest() -> None:
    before = admit(THREE, of_all(), quorum=None).digest
    assert admit(THREE, of_all(), quorum=None).digest == before
    assert admit(THREE, of_all(east=images(digest="other")), quorum=None).digest != before


def test_one_synthetic_hospital_makes_it_synthetic() -> None:
    assert admit(THREE, of_all(east=images(synthetic=True)), quorum=None).synthetic
    left = admit(THREE, of_all(east=images(synthetic=True)), quorum=None, leave_out=["east"])
    assert not left.synthetic


def test_an_admission_survives_json() -> None:
    admission = admit(THREE, of_all(east={"admitted": False, "reason": "x"}), quorum=1)
    assert admission_from_record(json.loads(json.dumps(admission.as_record()))) == admission


def test_a_hospital_that_withdrew_is_left_out_and_not_missed() -> None:
    why = {"east": "it withdrew", "elsewhere": "it withdrew"}
    admission = admit(
        THREE, of_all(), quorum=None, withdrawn=why, revoked={"east": "it is revoked"}
    )
    assert admission.participants == ("north", "south")
    assert admission.excluded == {"east": "it withdrew"}
    assert (admission.left_out, admission.withdrawn) == (("east",), ("east",))
    assert (admission.quorum, admission.quorum_met) == (2, True)
    assert not admit(THREE, of_all(), quorum=3, withdrawn=why).quorum_met
    assert admission_from_record(json.loads(json.dumps(admission.as_record()))) == admission


def test_an_admission_of_an_earlier_version_is_read_as_without_withdrawals() -> None:
    admission = admit(THREE, of_all(), quorum=None)
    record = admission.as_record()
    del record["withdrawn"]
    assert admission_from_record(record) == admission
