from __future__ import annotations

import pytest
from dagster import DagsterInstance, asset, materialize

from fed_assets.resources.dead_runs import LAUNCH_TAG
from fed_assets.resources.run_events import Progress, RunEvents


@asset
def global_model() -> int:
    return 1


@asset(deps=[global_model])
def evaluation_report() -> None: ...


@asset(deps=[global_model], name="evaluation_report")
def failing_report() -> None:
    raise ValueError("no report")


@pytest.mark.parametrize(
    "assets, reported",
    [
        ([global_model], False),
        ([global_model, evaluation_report], True),
        ([global_model, failing_report], False),
    ],
)
def test_a_run_has_its_report_when_that_is_materialized(assets: list, reported: bool) -> None:
    with DagsterInstance.ephemeral() as instance:
        heard: list[Progress] = []
        events = RunEvents(instance, "abc", heard.append)
        events.follow()
        assert not events.reported  # there is no run yet
        materialize(assets, instance=instance, tags={LAUNCH_TAG: "abc"}, raise_on_error=False)
        events.follow()
        assert events.reported is reported
        assert [each.step for each in heard] == [each.key.to_user_string() for each in assets]
