from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import yaml

from fed_assets.errors import StorageError
from fed_assets.hospital.network import initial_weights
from fed_assets.resources.settings import SHIPPED_ROSTER
from fed_assets.resources.tracking import EXPERIMENT, TrackedFederation, Tracking

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

NETWORK = yaml.safe_load(SHIPPED_ROSTER.read_text())["network"]
SERVE_ELSEWHERE = """
import sys
import numpy as np
import mlflow
answer = mlflow.pyfunc.load_model(sys.argv[1]).predict(np.load(sys.argv[2]))
assert not any(name.startswith("fed_assets") for name in sys.modules), "it needs fed_assets"
files = [str(getattr(module, "__file__", "")) for module in sys.modules.values()]
(code,) = {name for name in files if name.endswith("served_model.py")}
assert code.startswith(sys.argv[1]), f"it runs {code}"
np.save(sys.argv[3], answer)
"""


def interval(value: float | None) -> dict[str, float | None]:
    return {"value": value, "low": value, "high": value}


def sent(number: int, **changes: Any) -> dict[str, Any]:
    record = {"loss": 1 / number, "auroc": 0.5 + number / 10, "accuracy": None, "examples": 10}
    return record | {"seconds": 1.5, "bytes_up": 100, "bytes_down": 100} | changes


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> TrackedFederation:
    """Returns a federation of two hospitals and three rounds; south missed the second one."""
    folder = tmp_path_factory.mktemp("federation")
    weights = folder / "global.safetensors"
    asked = {"network": NETWORK, "channels": 1, "classes": 2, "seed": 7, "path": str(weights)}
    initial_weights(asked, folder)
    rounds = [
        {"round_number": 1, "participants": {"north": sent(1), "south": sent(1, loss=3.0)}},
        {"round_number": 2, "participants": {"north": sent(2)}},
        {
            "round_number": 3,
            "participants": {
                "north": sent(3, suppressed=["accuracy"]),
                "south": sent(3, loss=None),
            },
        },
    ]
    return TrackedFederation(
        run_id="11111111-2222-3333-4444-555555555555",
        sandbox="minimal",
        parameters={"seed": 7, "recipe": "x" * 900},
        tags={"outcome": "degraded", "missing": "south: round 2"},
        rounds=rounds,
        test={"auroc": interval(0.97), "f1": interval(None)},
        hospitals={
            "north": {"auroc": interval(0.9), "f1": interval(0.8)},
            "south": {"auroc": interval(None) | {"suppressed": True}, "f1": interval(0.7)},
        },
        weights=weights,
        network={"network": NETWORK, "channels": 1, "classes": 2},
        image_size=28,
    )


@pytest.fixture(scope="module")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> Tracking:
    return Tracking(folder=str(tmp_path_factory.mktemp("mlflow")))


@pytest.fixture(scope="module")
def parent(tracking: Tracking, federation: TrackedFederation) -> Iterator[str]:
    """Yields the parent run's id, after the same federation was logged twice."""
    before = dict(os.environ)
    tracking.log_federation(federation)
    yield tracking.log_federation(federation)
    for name in os.environ.keys() - before.keys():
        del os.environ[name]


@pytest.fixture(scope="module")
def client(tracking: Tracking, parent: str) -> MlflowClient:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=tracking.uri)


def runs(client: MlflowClient, condition: str = "") -> list[Run]:
    found = client.get_experiment_by_name(EXPERIMENT)
    assert found is not None
    return list(client.search_runs([found.experiment_id], condition))


def series(client: MlflowClient, run: str, name: str) -> list[tuple[int, float]]:
    history = client.get_metric_history(run, name)
    return sorted((metric.step, round(metric.value, 4)) for metric in history)


@pytest.mark.slow
def test_a_federation_is_one_parent_with_one_nested_run_per_hospital(
    client: MlflowClient, parent: str
) -> None:
    children = runs(client, f"tags.`mlflow.parentRunId` = '{parent}'")
    assert sorted(child.data.tags["hospital"] for child in children) == ["north", "south"]
    suppressed = {each.data.tags["hospital"]: each.data.tags["suppressed"] for each in children}
    assert suppressed == {"north": "accuracy", "south": "test_auroc"}
    assert {run.info.status for run in runs(client)} == {"FINISHED"}
    tags = client.get_run(parent).data.tags
    assert (tags["outcome"], tags["missing"]) == ("degraded", "south: round 2")
    run = client.get_run(parent)
    assert run.data.tags["sandbox"] == "minimal"
    assert run.data.params["seed"] == "7"
    assert run.info.run_name == "minimal 11111111"


@pytest.mark.slow
def test_a_second_report_of_the_same_federation_replaces_the_first(
    client: MlflowClient, parent: str
) -> None:
    assert len(runs(client)) == 3
    experiment = client.get_run(parent).info.experiment_id
    (model,) = client.search_logged_models([experiment])
    assert model.source_run_id == parent


@pytest.mark.slow
def test_every_round_is_a_step_and_what_is_unknown_is_left_out(
    client: MlflowClient, parent: str
) -> None:
    by_name = {
        run.data.tags["hospital"]: run.info.run_id
        for run in runs(client)
        if "hospital" in run.data.tags
    }
    assert series(client, by_name["north"], "loss") == [(1, 1.0), (2, 0.5), (3, 0.3333)]
    assert series(client, by_name["south"], "loss") == [(1, 3.0)]
    assert series(client, by_name["south"], "auroc") == [(1, 0.6), (3, 0.8)]
    assert series(client, by_name["north"], "accuracy") == []
    assert series(client, by_name["north"], "test_f1") == [(3, 0.8)]
    assert series(client, by_name["south"], "test_auroc") == []
    assert series(client, parent, "mean_loss") == [(1, 2.0), (2, 0.5), (3, 0.3333)]
    assert series(client, parent, "test_auroc") == [(3, 0.97)]
    assert series(client, parent, "test_f1") == []


@pytest.mark.slow
def test_the_logged_model_is_code_and_weights_with_a_signature_and_no_pickle(
    tracking: Tracking, parent: str
) -> None:
    files = [path for path in Path(tracking.folder).rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {
        ".db", ".py", ".safetensors", ".json", ".yaml", ".txt", "",
    }  # fmt: skip
    assert {path.name for path in files if not path.suffix} == {"MLmodel"}
    (described, *_) = [yaml.safe_load(p.read_text()) for p in files if p.name == "MLmodel"]
    flavor = described["flavors"]["python_function"]
    assert Path(flavor["model_code_path"]).name == "served_model.py"
    assert "python_model" not in flavor  # a pickle's place
    assert '"shape": [-1, 1, 28, 28]' in described["signature"]["inputs"]
    assert '"shape": [-1, 2]' in described["signature"]["outputs"]


@pytest.mark.slow
def test_the_logged_model_predicts_where_fed_assets_is_not_loaded(
    tracking: Tracking, client: MlflowClient, parent: str, tmp_path: Path
) -> None:
    experiment = client.get_run(parent).info.experiment_id
    (model,) = client.search_logged_models([experiment])
    pixels = np.random.default_rng(0).integers(0, 256, (3, 1, 28, 28)).astype(np.float32)
    np.save(tmp_path / "pixels.npy", pixels)
    location = str(model.artifact_location).removeprefix("file://")
    arguments = [location, str(tmp_path / "pixels.npy"), str(tmp_path / "answer.npy")]
    subprocess.run(
        [sys.executable, "-c", SERVE_ELSEWHERE, *arguments],
        check=True,
        cwd=tmp_path,
        env=os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"},
    )
    answer = np.load(tmp_path / "answer.npy")
    assert answer.shape == (3, 2)
    assert answer.dtype == np.float32
    np.testing.assert_allclose(answer.sum(axis=1), 1, atol=1e-5)
    assert len(np.unique(answer)) > 2


def test_a_folder_that_cannot_be_written_is_an_error_of_ours(
    tmp_path: Path, federation: TrackedFederation
) -> None:
    (tmp_path / "mlflow").write_text("mine")
    with pytest.raises(StorageError, match=r"MLflow could not write\. Where: .*mlflow"):
        Tracking(folder=str(tmp_path / "mlflow")).log_federation(federation)


@pytest.mark.slow
def test_weights_that_are_gone_are_an_error_of_ours_and_no_run_stays_open(
    tracking: Tracking, federation: TrackedFederation, client: MlflowClient, tmp_path: Path
) -> None:
    gone = replace(federation, run_id="gone", weights=tmp_path / "none" / "global.safetensors")
    with pytest.raises(StorageError):
        tracking.log_federation(gone)
    statuses = {run.info.status for run in runs(client, "tags.dagster_run_id = 'gone'")}
    assert statuses == {"FAILED"}
