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


def test_preinstalled_refuses_code_that_a_job_brings_and_classes_that_are_not_listed(
    tmp_path, write_plan, start_session
):
    plan = write_plan(tmp_path, job_code="preinstalled")
    seen, code_ran = outcomes(plan, start_session, "brought", "unlisted")
    assert seen["brought"]["status"] not in ("ran", "FINISHED:COMPLETED")
    assert "BYOC not permitted" in seen["brought"]["detail"]
    assert not code_ran
    assert seen["unlisted"]["status"] == "ended"
    assert seen["unlisted"]["detail"] == ProcessExitCode.UNSAFE_COMPONENT


def test_submitted_runs_the_code_that_a_job_brings(tmp_path, write_plan, start_session):
    plan = write_plan(tmp_path, job_code="submitted")
    seen, code_ran = outcomes(plan, start_session, "brought")
    assert seen["brought"]["status"] == "ran"
    assert code_ran
