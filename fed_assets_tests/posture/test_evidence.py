from __future__ import annotations

import json

from fed_assets.posture.evidence import Attempt, Evidence, Outcome, Probe, gather


def made(*, attempt: object, control: object) -> Evidence:
    """Returns the evidence of a probe whose attempts come to this; an exception is raised."""

    def make(what: object) -> Attempt:
        if isinstance(what, Exception):
            raise what
        return Attempt(succeeded=bool(what), counts={"tried": 1})

    probe = Probe("pry", "at_rest", 1, "Pries.", lambda: make(attempt), lambda: make(control))
    return gather(probe, {"uid": 7})


def test_an_attempt_that_fails_passes_where_its_control_succeeds() -> None:
    evidence = made(attempt=False, control=True)
    assert evidence.outcome is Outcome.PASSED
    assert evidence.reason == ""
    assert evidence.identity == {"uid": 7}
    assert (evidence.attempt, evidence.control) == ({"tried": 1}, {"tried": 1})


def test_an_attempt_that_succeeds_fails() -> None:
    assert made(attempt=True, control=True).outcome is Outcome.FAILED


def test_without_a_working_control_nothing_is_shown() -> None:
    evidence = made(attempt=False, control=False)
    assert evidence.outcome is Outcome.INCONCLUSIVE
    assert "control failed" in evidence.reason
    assert evidence.attempt == {}  # it was not even made


def test_a_control_that_breaks_off_shows_nothing() -> None:
    evidence = made(attempt=False, control=OSError("/home/north/patient_17.png"))
    assert evidence.outcome is Outcome.INCONCLUSIVE
    assert evidence.reason == "The control broke off with OSError"


def test_an_attempt_that_breaks_off_has_not_been_refused() -> None:
    evidence = made(attempt=ValueError("patient_17"), control=True)
    assert evidence.outcome is Outcome.INCONCLUSIVE
    assert evidence.reason == "The attempt broke off with ValueError"


def test_it_is_the_same_after_json() -> None:
    evidence = made(attempt=False, control=True)
    assert Evidence.from_record(json.loads(json.dumps(evidence.as_record()))) == evidence
