"""Attempts on a canary's key: what they come to, and that a lax hospital is found out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fed_assets.errors import KeyRefused
from fed_assets.hospital.attestation.attempts import (
    HOSPITAL,
    STRANGER,
    Asker,
    ask_as_process,
    ask_in_each_way,
    attempts,
)
from fed_assets.hospital.attestation.attester import SimulatedAttester
from fed_assets.hospital.attestation.broker import Broker
from fed_assets.hospital.attestation.canary_place import Place
from fed_assets.hospital.attestation.evidence import DEBUGGABLE
from fed_assets.hospital.custody import HospitalKey
from fed_assets_tests.hospital.attestation.places import OWN

GOT = {"opened": 1, "answer": "the key"}


def asker(root: Path, hospital: str) -> Asker:
    place = Place(root, hospital)
    place.found()
    broker = Broker(HospitalKey(place.key_file, hospital), place.approval)
    attester = SimulatedAttester(hospital, place.approval)
    return Asker(place, broker.answer, attester.answer, OWN)


def test_every_wrong_way_is_refused_for_its_own_reason_beside_one_that_opens_the_canary(
    tmp_path: Path,
) -> None:
    made = ask_in_each_way(tmp_path)
    assert {name: each["control"] for name, each in made.items()} == dict.fromkeys(made, GOT)
    answers = {name: each["attempt"] for name, each in made.items()}
    assert answers.pop("of_no_hardware") == GOT, "the attester is simulated, and its word is taken"
    assert {each["opened"] for each in answers.values()} == {0}
    told = {name: str(each["answer"]) for name, each in answers.items()}
    assert told["without_evidence"] == "there is none"
    assert "took already" in told["replayed"]
    assert told["expired"] == "it has expired"
    assert "is-debuggable is true, not false" in told["debuggable"]
    for name in ("by_another_attester", "of_another_hospital"):
        assert told[name] == "the hospital's attester has not signed it"
    assert ask_as_process(tmp_path) == GOT


def test_a_policy_that_forgets_a_condition_is_found_out(tmp_path: Path) -> None:
    north, south = asker(tmp_path, HOSPITAL), asker(tmp_path, STRANGER)
    record = json.loads(north.place.approval.read_text())
    (branch,) = record["policy"]["anyOf"]
    branch["allOf"] = [each for each in branch["allOf"] if each["claim"] != DEBUGGABLE]
    north.place.approval.write_text(json.dumps(record))
    made = attempts(north, south)
    assert made["debuggable"]["attempt"] == GOT
    assert made["expired"]["attempt"]["opened"] == 0


def test_a_broker_that_has_ended_has_refused_nothing(tmp_path: Path) -> None:
    north = asker(tmp_path, HOSPITAL)

    def gone(request: Mapping[str, Any]) -> Mapping[str, Any]:
        raise KeyRefused("The hospital's broker or attester does not answer")

    with pytest.raises(KeyRefused, match="does not answer"):
        Asker(north.place, gone, north.attester, OWN).ask("evidence")
    assert north.ask("evidence")["opened"] == 0


def test_another_key_does_not_pass_for_the_one_that_opens_the_canary(tmp_path: Path) -> None:
    north, south = asker(tmp_path, HOSPITAL), asker(tmp_path, STRANGER)
    with pytest.raises(KeyRefused, match="another hospital's"):
        north.place.opens(HospitalKey(south.place.key_file, HOSPITAL))
