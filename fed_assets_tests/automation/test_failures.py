"""What is to become of runs that failed, by real runs of Dagster's that fail."""

from __future__ import annotations

import time
from collections.abc import Mapping

import pytest
from dagster import (
    AssetCheckResult,
    AssetCheckSpec,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    MaterializeResult,
    asset,
    materialize,
)

from fed_assets.assets.failures import clear_failures, kind_of
from fed_assets.assets.partitions import Materialized, unpartitioned_asset
from fed_assets.automation.failures import MOST_TRIES, outlook
from fed_assets.errors import (
    AccessRefused,
    BudgetSpent,
    CloudRefused,
    FedAssetsError,
    FederationDidNotStart,
    HospitalWithdrawn,
    HostAway,
    NotValidated,
    PortTaken,
    PromotionRefused,
    QuorumNotMet,
    RosterError,
    SourceCorrupt,
)
from fed_assets.resources.earlier_runs import TRY_TAG

FIRST = {TRY_TAG: "1"}
WAIT_SECONDS = 900.0


def failed_of(
    instance: DagsterInstance, error: Exception, tags: Mapping[str, str] = FIRST
) -> DagsterRun:
    """Returns a run whose one step raised an error, as the steps of the platform do."""

    @asset
    def training() -> None:
        with clear_failures():
            raise error

    ran = materialize([training], instance=instance, tags=tags, raise_on_error=False)
    return known(instance, ran.run_id)


def without_quorum(instance: DagsterInstance, error: FedAssetsError | None) -> DagsterRun:
    """Returns a run that too few hospitals were let in to, one of them as an error kept it out."""

    @unpartitioned_asset()
    def images() -> Materialized:
        told = kind_of(error) if error else {}
        return MaterializeResult(value={}, metadata={"admitted": False, **told})

    @unpartitioned_asset(
        deps=[images],
        check_specs=[AssetCheckSpec("quorum_met", asset="federation_roster", blocking=True)],
    )
    def federation_roster() -> Materialized:
        refused = AssetCheckResult(check_name="quorum_met", passed=False)
        return MaterializeResult(value={}, check_results=[refused])

    lane = [images, federation_roster]
    ran = materialize(lane, instance=instance, tags=FIRST, raise_on_error=False)
    return known(instance, ran.run_id)


def killed(instance: DagsterInstance, tags: Mapping[str, str] = FIRST) -> DagsterRun:
    """Returns a run that failed without a word of any step."""
    run = DagsterRun(job_name="retrain", status=DagsterRunStatus.STARTED, tags=tags)
    instance.add_run(run)
    instance.report_run_failed(run, "Its process ended without a word.")
    return known(instance, run.run_id)


def known(instance: DagsterInstance, run_id: str) -> DagsterRun:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    assert run.status is DagsterRunStatus.FAILURE
    return run


@pytest.mark.parametrize(
    "error",
    [
        HostAway("south is away"),
        CloudRefused("Azure gave no answer to a job"),
        PortTaken("Port 8002 is taken"),
        FederationDidNotStart("2 of 3 hospitals are ready"),
        QuorumNotMet("Round 3 has 1 usable update"),
        ValueError("what nobody foresaw tells nothing of itself"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_may_have_passed_is_tried_again_a_while_after_the_run_has_ended(
    scratch: DagsterInstance, error: Exception
) -> None:
    before = time.time()
    ahead = outlook(scratch, failed_of(scratch, error), WAIT_SECONDS)
    assert ahead.try_number == 2
    assert before + WAIT_SECONDS - 1 <= ahead.at <= time.time() + WAIT_SECONDS + 1
    assert ahead.said.startswith("failed; try 2 of 3 is due from 20")


@pytest.mark.parametrize(
    "error",
    [
        BudgetSpent("The privacy budgets of 1 hospital allow this run"),
        PromotionRefused("The gate every_hospital is closed"),
        RosterError("The roster cannot be used"),
        NotValidated("No validation let these through"),
        HospitalWithdrawn("Nothing is trained: it withdrew"),
        AccessRefused("Azure does not let the orchestrator write"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_does_not_pass_by_itself_waits_for_new_images_or_a_person(
    scratch: DagsterInstance, error: Exception
) -> None:
    ahead = outlook(scratch, failed_of(scratch, error), WAIT_SECONDS)
    assert ahead.try_number is None
    assert ahead.said.startswith("failed of what does not pass by itself, so it is not asked for")
    assert "run the job take_up_new_images; images that change are taken up" in ahead.said


def test_too_few_hospitals_pass_where_one_of_them_was_kept_out_by_what_passes(
    scratch: DagsterInstance,
) -> None:
    away = without_quorum(scratch, HostAway("south is away"))
    assert outlook(scratch, away, WAIT_SECONDS).try_number == 2
    for reason in (SourceCorrupt("south's images cannot be read"), None):  # a refused validation
        refused = without_quorum(scratch, reason)
        assert outlook(scratch, refused, WAIT_SECONDS).try_number is None


def test_a_process_that_was_killed_is_tried_again_but_not_for_ever(
    scratch: DagsterInstance,
) -> None:
    numbers = [
        outlook(scratch, killed(scratch, {TRY_TAG: str(each + 1)}), WAIT_SECONDS).try_number
        for each in range(MOST_TRIES)
    ]
    assert numbers == [2, 3, None]
    last = outlook(scratch, killed(scratch, {TRY_TAG: "3"}), WAIT_SECONDS)
    assert last.said.startswith("failed as try 3 of 3, so it is not asked for again: ")


def test_what_a_person_started_canceled_or_executed_again_is_that_persons(
    scratch: DagsterInstance,
) -> None:
    by_hand = failed_of(scratch, HostAway("south is away"), tags={})
    canceled = DagsterRun(job_name="retrain", status=DagsterRunStatus.CANCELED, tags=FIRST)
    again = DagsterRun(
        job_name="retrain",
        status=DagsterRunStatus.FAILURE,
        tags=FIRST,
        parent_run_id=by_hand.run_id,
        root_run_id=by_hand.run_id,
    )
    for run in (canceled, again):
        scratch.add_run(run)
    for run in (by_hand, canceled, again):
        assert outlook(scratch, run, 0.0).try_number is None
    assert outlook(scratch, canceled, 0.0).said.startswith("was canceled, so it is not asked for")
