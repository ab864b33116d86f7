"""The asset graph is the design's, and every part of it says what it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dagster import AssetKey, Definitions

from fed_assets.assets.expectation_checks import EXPECTATIONS
from fed_assets.assets.resemblance import RESEMBLES
from fed_assets.automation.jobs import JOBS
from fed_assets.definitions import build_definitions
from fed_assets.federation.roster import Roster, read_roster
from fed_assets.resources.home import Home
from fed_assets.resources.settings import SHIPPED_ROSTER, Settings

SANDBOXES = ["minimal", "eyes_on", "eyes_off", "confidential_vm", "configurable"]
COMPARED = {
    AssetKey(name) for name in ("reference_models", "membership_inference", "sandbox_comparison")
}
GROUPS = {
    "sandbox_controls": "sandbox",
    "federation_roster": "federation",
    "global_model": "federation",
    "evaluation_report": "federation",
    "registered_model": "federation",
    "deployed_model": "federation",
    "security_posture": "sandbox",
    "reference_models": "comparison",
    "membership_inference": "comparison",
    "sandbox_comparison": "comparison",
}


@pytest.fixture(scope="module")
def roster() -> Roster:
    return read_roster(SHIPPED_ROSTER)


@pytest.fixture(scope="module")
def definitions(roster: Roster, tmp_path_factory: pytest.TempPathFactory) -> Definitions:
    home = Home(tmp_path_factory.mktemp("home"))
    return build_definitions(Settings(home=home), roster)


def test_the_graph_is_the_designs(definitions: Definitions, roster: Roster) -> None:
    graph = definitions.resolve_asset_graph()

    drawn = {
        key.to_user_string(): {parent.to_user_string() for parent in graph.get(key).parent_keys}
        for key in graph.get_all_asset_keys()
    }

    assert drawn == dict(_designed(roster))


def test_every_asset_check_and_job_says_what_it_is(definitions: Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    parts = {key.to_user_string(): graph.get(key).description for key in graph.get_all_asset_keys()}
    for key in graph.asset_check_keys:
        check = graph.get_check_spec(key)
        parts[f"{key.asset_key.to_user_string()}:{key.name}"] = check.description
    for job in (job.name for job in JOBS):
        parts[job] = definitions.resolve_job_def(job).description

    assert _without_words(parts) == []


def test_every_config_field_says_what_it_is(definitions: Definitions) -> None:
    fields = dict(_config_fields(definitions))

    assert {
        *("rounds", "local_epochs", "learning_rate", "seed", "leave_out"),
        *("seeds", "profiles", "allow_unaudited", "leave_out_other_data", "left_out", "language"),
        "version",
    } == {name.rpartition(".")[2] for name in fields}
    assert _without_words(fields) == []


def test_a_part_without_words_is_named() -> None:
    assert _without_words({"told": "What it is.", "silent": None, "terse": "No stop"}) == [
        "silent",
        "terse",
    ]


def test_the_lifecycle_runs_all_but_the_audit_and_retrain_starts_at_the_training(
    definitions: Definitions, roster: Roster
) -> None:
    everything = {name for name, _ in _designed(roster)}
    trained = {f"{hospital}/local_rounds" for hospital in roster.hospital_ids} | {"global_model"}

    audited = {"security_posture"}
    compared = {"reference_models", "membership_inference", "sandbox_comparison"}
    assert _selected(definitions, "federated_lifecycle") == everything - audited - compared
    assert _selected(definitions, "take_up_new_images") == (
        everything - audited - compared - {"sandbox_controls"}
    )
    assert _selected(definitions, "retrain") == trained | {
        *("evaluation_report", "registered_model", "deployed_model")
    }
    assert _selected(definitions, "deployment") == {"registered_model", "deployed_model"}
    assert _selected(definitions, "security_audit") == audited | {"sandbox_controls"}
    assert _selected(definitions, "references") == {"reference_models"}
    assert _selected(definitions, "comparison") == compared - {"reference_models"}


def test_every_hospital_has_a_group_an_owner_and_a_tag(
    definitions: Definitions, roster: Roster
) -> None:
    graph = definitions.resolve_asset_graph()
    owners = {hospital.id: hospital.owner for hospital in roster.hospitals}

    for key in graph.get_all_asset_keys():
        asset = graph.get(key)
        if len(key.path) == 2:
            hospital = key.path[0]
            assert asset.group_name == hospital
            assert asset.owners == [owners[hospital]]
            assert asset.tags["hospital"] == hospital
        else:
            assert asset.group_name == GROUPS[key.path[0]]


def test_every_asset_has_kinds(definitions: Definitions) -> None:
    graph = definitions.resolve_asset_graph()

    kinds = {key.path[-1]: graph.get(key).kinds for key in graph.get_all_asset_keys()}

    assert kinds == {
        "sandbox_controls": {"yaml"},
        "security_posture": {"html"},
        "images": {"image", "parquet"},
        "validated_images": {"greatexpectations"},
        "federation_roster": {"yaml"},
        "local_rounds": {"nvflare", "pytorch"},
        "global_model": {"nvflare", "safetensors"},
        "evaluation_report": {"html", "mlflow"},
        "registered_model": {"mlflow", "safetensors"},
        "deployed_model": {"onnx", "fastapi"},
        "reference_models": {"pytorch"},
        "membership_inference": {"pytorch"},
        "sandbox_comparison": {"html"},
    }


def test_every_asset_but_what_compares_is_partitioned_by_the_five_sandboxes(
    definitions: Definitions,
) -> None:
    graph = definitions.resolve_asset_graph()

    assert {graph.get(key).partitions_def for key in COMPARED} == {None}
    for key in graph.get_all_asset_keys() - COMPARED:
        partitions = graph.get(key).partitions_def
        assert partitions is not None
        assert partitions.get_partition_keys() == SANDBOXES


def test_every_expectation_is_a_check_of_each_hospital_and_quorum_and_posture_block(
    definitions: Definitions, roster: Roster
) -> None:
    graph = definitions.resolve_asset_graph()

    checks = {(key.asset_key.to_user_string(), key.name) for key in graph.asset_check_keys}
    blocking = [key.name for key in graph.asset_check_keys if graph.get_check_spec(key).blocking]

    assert checks == {
        *((f"{name}/images", "images_read") for name in roster.hospital_ids),
        *(
            (f"{name}/validated_images", each)
            for name in roster.hospital_ids
            for each in (*EXPECTATIONS, RESEMBLES)
        ),
        ("federation_roster", "quorum_met"),
        ("evaluation_report", "every_hospital_took_part"),
        ("registered_model", "gates_passed"),
        ("security_posture", "sandbox_keeps_its_word"),
    }
    assert sorted(blocking) == ["quorum_met", "sandbox_keeps_its_word"]


def test_training_is_one_step_on_the_gpu_pool_and_a_hospital_may_be_missing_from_it(
    definitions: Definitions, roster: Roster
) -> None:
    training = definitions.resolve_assets_def(AssetKey("global_model"))

    assert training.op.name == "federated_training"
    assert training.op.pool == "gpu"
    assert not training.can_subset
    assert {name for name, output in training.op.output_dict.items() if not output.is_required} == {
        f"{hospital}_local_rounds" for hospital in roster.hospital_ids
    }


def test_a_roster_with_one_hospital_more_has_one_lane_more(roster: Roster, tmp_path: Path) -> None:
    added = roster.hospitals[0].model_copy(update={"id": "st_mary", "name": "St Mary", "owner": ""})
    longer = roster.model_copy(update={"hospitals": (*roster.hospitals, added)})

    graph = build_definitions(Settings(home=Home(tmp_path)), longer).resolve_asset_graph()

    lane = {key.path[1] for key in graph.get_all_asset_keys() if key.path[0] == "st_mary"}
    assert lane == {"images", "validated_images", "local_rounds"}
    assert graph.get(AssetKey(["st_mary", "images"])).owners == []


def _designed(roster: Roster) -> Iterator[tuple[str, set[str]]]:
    """Yields each asset of the design's graph with the assets that it follows from."""
    hospitals = roster.hospital_ids
    yield "sandbox_controls", set()
    yield "security_posture", {"sandbox_controls"}
    for name in hospitals:
        yield f"{name}/images", {"sandbox_controls"}
        yield f"{name}/validated_images", {f"{name}/images"}
        yield f"{name}/local_rounds", {f"{name}/validated_images", "federation_roster"}
    yield "federation_roster", {f"{name}/validated_images" for name in hospitals}
    yield "global_model", {f"{name}/local_rounds" for name in hospitals}
    yield "evaluation_report", {"federation_roster", "global_model"}
    yield "registered_model", {"federation_roster", "global_model", "evaluation_report"}
    yield "deployed_model", {"registered_model"}
    yield "reference_models", set()
    yield "membership_inference", {"evaluation_report", "reference_models"}
    yield (
        "sandbox_comparison",
        {"evaluation_report", "security_posture", "reference_models", "membership_inference"},
    )


def _config_fields(definitions: Definitions) -> Iterator[tuple[str, str | None]]:
    """Yields every field of the jobs' run config, with its description."""
    jobs = map(definitions.resolve_job_def, ("federated_lifecycle", "references", "comparison"))
    for node in (node for job in jobs for node in job.graph.node_defs):
        schema: Any = getattr(node, "config_schema", None)
        fields = getattr(getattr(schema, "config_type", None), "fields", None) or {}
        for name, field in fields.items():
            yield f"{node.name}.{name}", field.description


def _selected(definitions: Definitions, job: str) -> set[str]:
    keys = definitions.resolve_job_def(job).asset_layer.executable_asset_keys
    return {key.to_user_string() for key in keys}


def _without_words(parts: dict[str, str | None]) -> list[str]:
    """Returns the parts that are not described in at least one whole sentence."""
    return [name for name, words in parts.items() if not (words or "").strip().endswith(".")]
