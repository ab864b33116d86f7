"""What becomes of jobs that bring or name other code, in real federations."""

from __future__ import annotations

from pathlib import Path

import pytest
from nvflare.fuel.common.exit_codes import ProcessExitCode

pytestmark = pytest.mark.slow

SUBMITTING = "fed_assets_tests.federation.submitting_session"


def outcomes(plan, start_session, *jobs):
    session = start_session(plan, *jobs, module=SUBMITTING)
    assert session.finish() == 0
    trace = Path(plan.folder, "trace.txt")
    return {event["event"]: event for event in session.events}, trace.exists()


@pytest.fixture(scope="module")
def strict(tmp_path_factory, write_plan, start_session):
    """Returns what became of each job, the last of which is as it should be."""
    plan = write_plan(tmp_path_factory.mktemp("strict"), job_code="preinstalled")
    jobs = ("brought", "unlisted", "unsigned", "changed", "scoped", "plain")
    return outcomes(plan, start_session, *jobs)


@pytest.fixture(scope="module")
def lax(tmp_path_factory, write_plan, start_session):
    """Returns the same of a federation whose server would let everything through."""
    plan = write_plan(tmp_path_factory.mktemp("lax"), job_code="preinstalled")
    return outcomes(plan, start_session, "lax", "brought", "unsigned", "plain")


def test_preinstalled_refuses_code_that_a_job_brings_and_classes_that_are_not_listed(strict):
    seen, code_ran = strict
    assert seen["brought"]["status"] not in ("ran", "FINISHED:COMPLETED")
    assert "BYOC not permitted" in seen["brought"]["detail"]
    assert not code_ran
    assert seen["unlisted"]["status"] == "ended"
    assert seen["unlisted"]["detail"] == ProcessExitCode.UNSAFE_COMPONENT


def test_a_job_that_nobody_signed_or_that_was_changed_after_is_refused(strict):
    seen, _ = strict
    assert "unsigned job rejected" in seen["unsigned"]["detail"]
    assert "does not pass signature verification" in seen["changed"]["detail"]
    assert seen["plain"]["status"] == "ran", "the same job, signed and unchanged, must run"


def test_a_job_that_asks_for_a_privacy_scope_of_its_own_is_refused_by_the_hospitals(strict):
    seen, _ = strict
    for name in ("hospital_01", "hospital_02"):
        assert (
            f"{name}: NVFLARE_ERROR: privacy scope 'open' is not allowed"
            in seen["scoped"]["detail"]
        )
    assert seen["plain"]["status"] == "ran", "the same job that asks for none must run"


@pytest.mark.long
def test_hospitals_refuse_on_their_own_what_a_lax_server_lets_through(lax):
    seen, code_ran = lax
    for name in ("hospital_01", "hospital_02"):
        assert f"{name}: NVFLARE_ERROR: BYOC not permitted" in seen["brought"]["detail"]
        assert f"{name}: unsigned job rejected" in seen["unsigned"]["detail"]
    for job in ("brought", "unsigned"):
        assert "server: OK" in seen[job]["detail"]
    assert not code_ran
    assert seen["plain"]["status"] == "ran"


def test_submitted_runs_the_code_that_a_job_brings(tmp_path, write_plan, start_session):
    plan = write_plan(tmp_path, job_code="submitted")
    seen, code_ran = outcomes(plan, start_session, "brought")
    assert seen["brought"]["status"] == "ran"
    assert code_ran
