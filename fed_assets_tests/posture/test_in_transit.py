"""Attempts on real federations: one whose connections are protected, and one in clear."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import psutil
import pytest

from fed_assets.federation.origin import open_origin
from fed_assets.federation.plan import FederationPlan
from fed_assets.federation.preload import FEDERATION_MODULES
from fed_assets.posture.canaries import AUROC
from fed_assets.posture.evidence import Outcome
from fed_assets.posture.in_transit import PROBES, evidence_of, transit_evidence
from fed_assets.posture.ladders import IN_TRANSIT, IN_USE, standings
from fed_assets.posture.submitting import CODE_PROBES, OWN_CODE, UNLISTED_CLASS
from fed_assets.posture.transit_notes import Observed
from fed_assets.posture.transit_runs import GUARDED, canary_plan, observe_all
from fed_assets.sandboxes.controls import JobCode, Transport
from fed_assets.sandboxes.presets import EYES_ON, MINIMAL
from fed_assets_tests.leftovers import called

IDENTITY = {"uid": 1000}
STRICT = EYES_ON.model_copy(update={"job_code": JobCode.PREINSTALLED})
ON_THE_WAY = {"read_the_wire", "pose_as_server", "flip_a_bit", "rewrite_an_update"}


def by_probe(evidence):
    return {each.probe: each for each in evidence}


def outcomes(evidence):
    return {each.probe: each.outcome for each in evidence}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("transit") / "probes"


def family(but=()):
    """Returns the titles of this process's descendants, but for some; what has ended has none."""
    found = psutil.Process().children(recursive=True)
    return [*filter(None, map(called, (each for each in found if each not in but)))]


@pytest.fixture(scope="module")
def evidence(folder, tmp_path_factory):
    """Returns what is shown by processes of a template that others use too."""
    before = psutil.Process().children(recursive=True)
    with closing(open_origin(FEDERATION_MODULES, tmp_path_factory.mktemp("template"))) as origin:
        found = transit_evidence(STRICT, folder, origin, IDENTITY)
        left = [name for name in family(before) if "supervisor" not in name]
        assert len(left) == 1, "the template alone, and a supervisor per site"
    return by_probe(found)


@pytest.mark.slow
def test_mtls_hides_what_passes_and_refuses_whoever_is_not_sure_to_be_a_hospital(evidence):
    assert set(evidence) == {tried.name for tried in PROBES}
    assert {name: (each.outcome, each.reason) for name, each in evidence.items()} == {
        name: (Outcome.PASSED, "") for name in evidence
    }
    assert {name for name in evidence if evidence[name].ladder == IN_USE} == {*CODE_PROBES}
    assert all(each.identity == IDENTITY for each in evidence.values())
    assert standings(evidence.values())[IN_TRANSIT].level == 4


@pytest.mark.slow
def test_what_is_hidden_is_found_in_clear(evidence):
    reading = evidence["read_the_wire"]
    hidden, found = dict(reading.attempt), dict(reading.control)
    assert hidden.pop("bytes") > 10_000
    assert set(hidden.values()) == {0}
    assert found.keys() == reading.attempt.keys()
    assert min(found.values()) > 0


@pytest.mark.slow
def test_a_hospital_says_nothing_to_a_server_with_another_federations_certificate(evidence):
    posing = evidence["pose_as_server"]
    assert posing.attempt == {"connections": 1, "bytes": 0}
    assert posing.control["bytes"] > 0


@pytest.mark.slow
def test_a_changed_message_is_dropped_and_sent_again_and_taken_in_clear(evidence):
    for name, auroc, model in [
        ("flip_a_bit", AUROC + 0.25, "honest"),
        ("rewrite_an_update", AUROC, "inverted"),
    ]:
        changed = evidence[name]
        assert changed.attempt["found"] == 0
        assert changed.attempt["model"] == "honest"
        assert changed.attempt["connected_anew"] >= 1, "what was changed must have been noticed"
        assert changed.control["found"] > 0
        assert changed.control["model"] == model
        assert float(changed.attempt["auroc"]) == AUROC
        assert float(changed.control["auroc"]) == auroc


@pytest.mark.slow
def test_a_copied_kit_and_a_revoked_one_are_refused(evidence):
    for name in ("use_a_copied_kit", "join_revoked"):
        assert evidence[name].outcome is Outcome.PASSED
        assert evidence[name].attempt == {"log_in": "refused"}
        assert evidence[name].control == {"log_in": "logged in"}


@pytest.mark.slow
def test_tls_1_2_is_refused_by_the_server_and_answered_by_one_that_speaks_it(evidence):
    assert evidence["speak_tls_1_2"].attempt == {"bytes": 0}
    assert evidence["speak_tls_1_2"].control["bytes"] > 0


@pytest.mark.slow
def test_code_that_a_job_brings_or_names_runs_where_it_may_be_submitted_alone(folder, evidence):
    for name in CODE_PROBES:
        assert evidence[name].attempt["marks"] == 0
        assert evidence[name].control == {"marks": 1, "job": "ran"}
        assert (folder / "clear" / "store" / f"{name}.mark").exists()
        assert not (folder / "sandbox" / "store" / f"{name}.mark").exists()


@pytest.mark.slow
def test_what_is_read_impersonated_and_rewritten_stands_at_level_zero(folder, evidence):
    clear = Observed(folder / "clear")
    found = by_probe(evidence_of(clear, clear, IDENTITY))
    on_the_way = {name: found[name].outcome for name in ON_THE_WAY - {"pose_as_server"}}
    assert on_the_way == dict.fromkeys(on_the_way, Outcome.FAILED)
    assert {found[name].outcome for name in CODE_PROBES} == {Outcome.FAILED}
    assert standings(found.values())[IN_TRANSIT].level == 0


@pytest.mark.slow
def test_without_an_open_control_nothing_is_shown(folder, evidence):
    protected = Observed(folder / "sandbox")
    found = by_probe(evidence_of(protected, protected, IDENTITY))
    shown = {found[name].outcome for name in ON_THE_WAY | {*CODE_PROBES}}
    assert shown == {Outcome.INCONCLUSIVE}
    assert "The control failed" in found["read_the_wire"].reason
    assert standings(found.values())[IN_TRANSIT].level == 0


@pytest.mark.slow
def test_probes_leave_no_private_key_and_nothing_that_others_may_read(folder, evidence):
    assert list(folder.rglob("*.log")), "logs stay, for whoever has to find out why"
    keys = [path for path in folder.rglob("*") if path.suffix in {".key", ".pfx"}]
    assert keys == []
    assert folder.stat().st_mode & 0o077 == 0


@pytest.mark.long
def test_in_clear_every_attempt_on_the_way_and_at_the_door_succeeds(tmp_path):
    found = by_probe(transit_evidence(MINIMAL, tmp_path / "probes", None, IDENTITY))
    required = {name: each.outcome for name, each in found.items() if each.rung <= 3}
    # Who may bring code needs no class of others; one that he names is refused all the same.
    assert required.pop(UNLISTED_CLASS) is Outcome.PASSED
    assert required.pop(OWN_CODE) is Outcome.FAILED
    assert required == dict.fromkeys(required, Outcome.FAILED)
    assert standings(found.values())[IN_TRANSIT].level == 0


def test_a_federation_that_does_not_come_up_gives_no_verdict_and_says_why(tmp_path):
    before = family()
    plan = canary_plan(EYES_ON, tmp_path / "sandbox", Transport.MTLS)
    Path(plan.initial_weights).unlink()
    observe_all({"sandbox": (plan, GUARDED)}, tmp_path, None)
    assert family() == before
    observed = Observed(tmp_path / "sandbox")
    found = evidence_of(observed, observed, IDENTITY)
    assert {each.outcome for each in found} == {Outcome.INCONCLUSIVE}
    assert {each.reason for each in found} == {"The control broke off with StorageError"}


def test_what_was_never_noted_gives_no_verdict(tmp_path):
    nothing = Observed(tmp_path)
    found = evidence_of(nothing, nothing, IDENTITY)
    assert set(outcomes(found).values()) == {Outcome.INCONCLUSIVE}


@pytest.mark.parametrize("sandbox", [EYES_ON, MINIMAL], ids=lambda each: each.name)
def test_the_plan_has_the_sandboxs_job_code(tmp_path, sandbox):
    plan = canary_plan(sandbox, tmp_path / "probes", sandbox.transport)
    assert FederationPlan.read(tmp_path / "probes" / "plan.json") == plan
    assert (plan.transport, plan.job_code) == (sandbox.transport, sandbox.job_code)
    other = canary_plan(sandbox, tmp_path / "other", sandbox.transport, JobCode.MEASURED)
    assert other.job_code == "preinstalled", (
        "its hospital has no key to release to what is measured"
    )
