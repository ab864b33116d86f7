from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dagster import DagsterInstance, DagsterRun, DagsterRunStatus
from dagster._core.utils import make_new_run_id

from fed_assets.assets.failed_jobs import failed_jobs
from fed_assets.cli.step import Step
from fed_assets.comparison.comparison import compare
from fed_assets.comparison.profiles import shipped_profiles
from fed_assets.comparison.settings import Settings
from fed_assets.comparison.surroundings import Surroundings
from fed_assets.reporting.comparison_page import render_comparison
from fed_assets.resources.earlier_runs import PARTITION_TAG
from fed_assets.resources.jobs import AUDIT, LIFECYCLE
from fed_assets.sandboxes.presets import SANDBOX_NAMES
from fed_assets_tests.comparison.conftest import figures_of


def ended(
    instance: DagsterInstance,
    job: str,
    sandbox: str,
    *statuses: DagsterRunStatus,
    config: Mapping[str, Any] | None = None,
) -> None:
    for status in statuses:
        instance.add_run(
            DagsterRun(
                job_name=job,
                run_id=make_new_run_id(),
                run_config=config,
                tags={PARTITION_TAG: sandbox},
                status=status,
            )
        )


def test_the_last_job_says_what_failed_of_what_there_is_none() -> None:
    failure, success = DagsterRunStatus.FAILURE, DagsterRunStatus.SUCCESS
    with DagsterInstance.ephemeral() as instance:
        ended(instance, LIFECYCLE, "minimal", failure)  # and an earlier one is compared
        ended(instance, LIFECYCLE, "eyes_on", success, failure)
        ended(instance, LIFECYCLE, "eyes_off", failure, success)  # and its record was removed
        ended(instance, LIFECYCLE, "confidential_vm", failure)
        ended(instance, AUDIT, "confidential_vm", failure)
        ended(instance, LIFECYCLE, "configurable", failure, DagsterRunStatus.CANCELED)
        found = failed_jobs(instance, measured={"minimal"}, audited={"eyes_on"})
    assert found == {
        "eyes_on": ["run_failed"],
        "confidential_vm": ["run_failed", "audit_failed"],
    }


def test_a_run_that_failed_before_and_was_left_out_now_is_missing_for_that() -> None:
    failure, left_out = DagsterRunStatus.FAILURE, {("minimal", 2), ("eyes_on", 3), ("eyes_off", 7)}
    with DagsterInstance.ephemeral() as instance:
        for sandbox in ("minimal", "eyes_on"):
            config = Step(LIFECYCLE, sandbox, 2).config([2], {})
            ended(instance, LIFECYCLE, sandbox, failure, config=config)
        ended(instance, LIFECYCLE, "eyes_off", failure)  # with the roster's first seed
        ended(instance, AUDIT, "eyes_off", failure)
        told = {"measured": (), "audited": (), "left_out": left_out}
        assert failed_jobs(instance, **told, first_seed=7) == {
            "eyes_on": ["run_failed"],
            "eyes_off": ["audit_failed"],
        }
        of_eyes_off = failed_jobs(instance, **told, first_seed=0)["eyes_off"]
    assert of_eyes_off == ["run_failed", "audit_failed"]


def test_the_page_says_of_what_was_tried_that_it_failed() -> None:
    found = compare(
        [figures_of(name, 0) for name in ("minimal", "eyes_on")],
        sandboxes=SANDBOX_NAMES,
        profiles={"equal": shipped_profiles()["equal"]},
        settings=Settings(draws=100),
        surroundings=Surroundings(failed={"confidential_vm": ["run_failed", "audit_failed"]}),
    ).as_record()
    page = render_comparison(found, "en")
    assert "confidential_vm is missing: its run failed." in page
    assert "confidential_vm is missing: it was not run." not in page
    assert "configurable is missing: it was not run." in page
    assert "not measured: its run failed" in page and page.count("no audit: it failed") == 1
    page = render_comparison(found, "es")
    assert "confidential_vm falta: su ejecución falló." in page
    assert "sin medir: su ejecución falló" in page and page.count("sin auditoría: falló") == 1
