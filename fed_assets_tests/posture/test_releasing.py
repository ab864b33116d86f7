"""An attested key is asked for in each wrong way, by processes as an audit starts them."""

from __future__ import annotations

from pathlib import Path

import pytest

from fed_assets.posture import releasing
from fed_assets.posture.evidence import Outcome, gather
from fed_assets.posture.releasing import RELEASES, probes_of_release
from fed_assets.sandboxes.presets import CONFIDENTIAL_VM, EYES_OFF, MINIMAL

HIGHEST = "release_key_of_no_hardware"


@pytest.mark.slow
def test_an_attested_key_is_released_to_approved_code_and_fresh_evidence_alone(
    tmp_path: Path,
) -> None:
    made = [gather(each, {}) for each in probes_of_release(CONFIDENTIAL_VM, tmp_path / "release")]
    evidence = {each.probe: each for each in made}
    assert {*evidence} == {*RELEASES, HIGHEST}
    assert {name: evidence[name].outcome for name in RELEASES} == dict.fromkeys(
        RELEASES, Outcome.PASSED
    ), [each.reason for each in made]
    assert all(each.control["opened"] == 1 for each in made)
    changed = evidence["release_key_to_changed_code"]
    assert "not that which canary_hospital has approved" in str(changed.attempt["answer"])
    # A simulated attester is no hardware, and gets the key: the ladder ends below its top.
    assert (evidence[HIGHEST].outcome, evidence[HIGHEST].rung) == (Outcome.FAILED, 4)


@pytest.mark.parametrize("sandbox", [MINIMAL, EYES_OFF], ids=lambda each: each.name)
def test_where_no_key_is_attested_none_is_asked_for(tmp_path: Path, sandbox) -> None:
    assert probes_of_release(sandbox, tmp_path / "release") == []
    assert not (tmp_path / "release").exists()


def test_attempts_that_come_to_nothing_show_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(releasing, "ATTEMPTS", "fed_assets.no_such_module")
    first, *_ = probes_of_release(CONFIDENTIAL_VM, tmp_path / "release")
    found = gather(first, {})
    assert found.outcome is Outcome.INCONCLUSIVE
    assert found.reason == "The control broke off with JobFailed"
