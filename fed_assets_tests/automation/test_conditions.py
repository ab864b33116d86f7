from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from dagster import (
    AssetCheckEvaluation,
    AssetCheckKey,
    AssetKey,
    AssetMaterialization,
    AutomationConditionSensorDefinition,
    DagsterInstance,
    DefaultSensorStatus,
    FreshnessPolicy,
    evaluate_automation_conditions,
)

from fed_assets.automation.switch import SWITCH
from fed_assets_tests.automation.conftest import HOSPITALS, Federation, federation

REPORT = AssetKey("evaluation_report")
FOLLOWING = ("evaluation_report", "registered_model", "deployed_model")


class Evaluated:
    """The conditions of a federation, evaluated again and again as the daemon does."""

    def __init__(self, place: Federation) -> None:
        self.place = place
        self.cursor: Any = None

    def requested(self) -> dict[str, set[str | None]]:
        """Returns the partitions of each asset that an evaluation asks for."""
        result = evaluate_automation_conditions(
            self.place.definitions, self.place.instance, cursor=self.cursor
        )
        self.cursor = result.cursor
        keys = self.place.definitions.resolve_asset_graph().get_all_asset_keys()
        found = {key: set(result.get_requested_partitions(key)) for key in keys}
        return {key.to_user_string(): parts for key, parts in found.items() if parts}

    def made(self, *names: str) -> None:
        for name in names:
            event = AssetMaterialization(AssetKey(name.split("/")), partition="minimal")
            self.place.instance.report_runless_asset_event(event)

    def checked(self, *, passed: bool) -> None:
        key = AssetCheckKey(AssetKey("federation_roster"), "quorum_met")
        check = AssetCheckEvaluation(check_name=key.name, passed=passed, asset_key=key.asset_key)
        self.place.instance.report_runless_asset_event(check)

    def trained(self, *, quorum_met: bool = True) -> None:
        """Notes a roster, its check and a model, but no report."""
        self.made("federation_roster")
        self.checked(passed=quorum_met)
        self.made(*(f"{name}/local_rounds" for name in HOSPITALS), "global_model")


def test_a_model_without_a_report_asks_for_that_in_its_sandbox_once(fresh: Federation) -> None:
    conditions = Evaluated(fresh)
    assert conditions.requested() == {}
    conditions.trained()
    assert conditions.requested() == {name: {"minimal"} for name in FOLLOWING}
    assert conditions.requested() == {}


def test_a_blocking_check_that_failed_is_waited_for(fresh: Federation) -> None:
    conditions = Evaluated(fresh)
    conditions.requested()
    conditions.trained(quorum_met=False)
    assert conditions.requested() == {}
    conditions.made("federation_roster")
    conditions.checked(passed=True)
    assert conditions.requested() == {name: {"minimal"} for name in FOLLOWING}


def test_what_a_run_took_along_is_not_asked_for_again(fresh: Federation) -> None:
    conditions = Evaluated(fresh)
    conditions.requested()
    conditions.trained()
    conditions.made(*FOLLOWING)
    assert conditions.requested() == {}


def test_a_report_without_a_registration_asks_for_what_is_left(fresh: Federation) -> None:
    conditions = Evaluated(fresh)
    conditions.requested()
    conditions.trained()
    conditions.made("evaluation_report")
    assert conditions.requested() == {name: {"minimal"} for name in FOLLOWING[1:]}


def test_a_lane_or_a_roster_alone_asks_for_nothing(fresh: Federation) -> None:
    conditions = Evaluated(fresh)
    conditions.trained()
    conditions.made(*FOLLOWING)
    conditions.requested()
    conditions.made("north/images", "north/validated_images", "federation_roster")
    conditions.checked(passed=True)
    assert conditions.requested() == {}


def test_the_one_switch_which_is_off_turns_all_conditions_on(fresh: Federation) -> None:
    repository = fresh.definitions.get_repository_def()
    sensor = repository.get_sensor_def(SWITCH)
    assert isinstance(sensor, AutomationConditionSensorDefinition)
    assert sensor.default_status is DefaultSensorStatus.STOPPED
    graph = fresh.definitions.resolve_asset_graph()
    with_condition = {
        key for key in graph.get_all_asset_keys() if graph.get(key).automation_condition
    }
    assert REPORT in with_condition
    assert with_condition <= sensor.asset_selection.resolve(graph)


def test_a_model_is_stale_after_as_many_days_as_the_roster_says(
    tmp_path: Path, scratch: DagsterInstance
) -> None:
    graph = federation(tmp_path, scratch, fresh_within_days=30).definitions.resolve_asset_graph()
    monthly = FreshnessPolicy.time_window(timedelta(days=30))
    policies = {
        key.to_user_string(): graph.get(key).freshness_policy for key in graph.get_all_asset_keys()
    }
    assert {name for name, policy in policies.items() if policy} == {
        "global_model",
        "evaluation_report",
    }
    assert policies["global_model"] == monthly


def test_without_a_number_of_days_nothing_is_ever_stale(fresh: Federation) -> None:
    graph = fresh.definitions.resolve_asset_graph()
    assert not any(graph.get(key).freshness_policy for key in graph.get_all_asset_keys())
