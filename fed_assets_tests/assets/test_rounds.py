"""What Dagster is told of a round: warnings, observations, and words for what is not told."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import pytest
from dagster import (
    DagsterEventType,
    DagsterInstance,
    StaticPartitionsDefinition,
    asset,
    materialize,
)

from fed_assets.assets.rounds import local_rounds, observe_round
from fed_assets.federation.encrypted_answers import AGREES, DIFFERS
from fed_assets.federation.results import FederationResult


def sent(**changes: Any) -> dict[str, Any]:
    figures = {"loss": 0.4, "auroc": 0.9, "accuracy": 0.8, "examples": 100, "seconds": 1.0}
    sizes = {"bytes_up": 10, "bytes_down": 20, "update_digest": "a" * 64}
    return {**figures, **sizes, **changes}


def a_round(**participants: dict[str, Any]) -> dict[str, Any]:
    record = {"round_number": 1, "missing": {}, "seconds": 2.0, "global_digest": "b" * 64}
    return {**record, "participants": participants}


def told(record: dict[str, Any]) -> tuple[dict[str, Mapping[str, Any]], list[str]]:
    """Returns what Dagster keeps of a round: the metadata observed by asset, and its warnings."""

    @asset(partitions_def=StaticPartitionsDefinition(["configurable"]))
    def federated(context) -> None:
        observe_round(context, record, 2)

    with DagsterInstance.ephemeral() as instance:
        ran = materialize([federated], partition_key="configurable", instance=instance)
        entries = instance.all_logs(ran.run_id)
        seen = instance.all_logs(ran.run_id, of_type=DagsterEventType.ASSET_OBSERVATION)
    observations = [each.asset_observation for each in seen if each.asset_observation]
    assert {each.partition for each in observations} == {"configurable"}
    metadata = {
        "/".join(each.asset_key.path): {name: kept.value for name, kept in each.metadata.items()}
        for each in observations
    }
    return metadata, [each.user_message for each in entries if each.level == logging.WARNING]


def test_a_hospital_that_decrypts_to_another_sum_is_warned_of_by_name() -> None:
    encrypted = {"examples": None, "loss": 0.4}
    metadata, warnings = told(
        a_round(
            north=sent(decryption=AGREES, **encrypted),
            south=sent(decryption=DIFFERS, **encrypted),
            east=sent(**encrypted),
        )
    )
    assert warnings == [
        "Round 1: south decrypted the sum of the updates to other numbers than the other "
        "hospitals, which outvoted it"
    ]
    decryption = {name: each.get("decryption") for name, each in metadata.items()}
    assert decryption.pop("global_model") is None
    assert decryption == {
        "north/local_rounds": "as others",
        "south/local_rounds": "unlike the others",
        "east/local_rounds": None,
    }
    # How many images an encrypted update is of, nobody is told.
    assert all("examples" not in each for each in metadata.values())


def test_hospitals_that_agree_and_those_that_encrypt_nothing_give_no_warning() -> None:
    _, warnings = told(a_round(north=sent(decryption=AGREES), south=sent()))
    assert warnings == []


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        ({"loss": None, "suppressed": ["loss"], "epsilon": 4.0}, ("not released", 0.9)),
        ({"auroc": None, "suppressed": ["auroc"]}, (0.4, "suppressed")),
        ({"auroc": None}, (0.4, "")),
    ],
)
def test_what_a_hospital_does_not_tell_bears_the_word_for_why(
    answer: dict[str, Any], shown: tuple[object, object]
) -> None:
    result = FederationResult(
        rounds=(a_round(north=sent(**answer)),),
        status="complete",
        seconds=2.0,
        final_weights="/weights",
        final_digest="b" * 64,
        timings={},
        commands=(),
    )
    (materialized,) = local_rounds("north", result, synthetic=False)
    assert materialized.metadata is not None
    (row,) = materialized.metadata["rounds"].records  # type: ignore[union-attr]
    assert (row.data["loss"], row.data["auroc"]) == shown
