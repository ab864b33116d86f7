"""The door to MLflow: one parent run per federation, a nested run per hospital, one model."""

from __future__ import annotations

import contextlib
import json
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dagster import ConfigurableResource, InitResourceContext

from fed_assets.errors import StorageError
from fed_assets.resources.quiet_mlflow import mlflow_uri, quiet_mlflow

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "fed_assets"
ROUND_METRICS = ("loss", "auroc", "accuracy", "examples", "seconds", "bytes_up", "bytes_down")
SERVED_MODEL = Path(__file__).with_name("served_model.py")


@dataclass(frozen=True)
class TrackedFederation:
    """What MLflow is told of one federation.

    Args:
        run_id: Dagster's run, which a second call for the same federation is recognised by.
        sandbox: the partition.
        parameters: roster title, recipe, seed, and the like.
        tags: what the parent run is found by, such as its outcome.
        rounds: one record per round, as the server wrote it.
        test: metrics of the common test set, `{metric: {value, low, high}}`.
        hospitals: the same on each hospital's own test split.
        weights: the global model's safetensors file.
        network: the MONAI config of the network, with `channels` and `classes` beside it.
        image_size: pixels a side.
    """

    run_id: str
    sandbox: str
    parameters: Mapping[str, Any]
    rounds: Sequence[Mapping[str, Any]]
    test: Mapping[str, Mapping[str, float | None]]
    hospitals: Mapping[str, Mapping[str, Mapping[str, float | None]]]
    weights: Path
    network: Mapping[str, Any]
    image_size: int
    tags: Mapping[str, str] = field(default_factory=dict)


class Tracking(ConfigurableResource[Any]):
    """MLflow on a sqlite file of the home; nothing is sent anywhere."""

    folder: str

    def setup_for_execution(self, context: InitResourceContext) -> None:
        """Loads MLflow while the run's first steps wait for hospitals: it takes some seconds."""
        threading.Thread(target=_load_mlflow, name="mlflow", daemon=True).start()

    @property
    def uri(self) -> str:
        """Returns the tracking URI, for `mlflow ui --backend-store-uri`."""
        return mlflow_uri(Path(self.folder))

    def log_federation(self, federation: TrackedFederation) -> str:
        """Returns the parent run's id, after writing the runs, their metrics and the model.

        Raises:
            StorageError: MLflow could not write.
        """
        with quiet_mlflow() as mlflow:
            try:
                mlflow.set_tracking_uri(self.uri)
                client = mlflow.MlflowClient(tracking_uri=self.uri)
                experiment = self._experiment(client)
                _forget(client, experiment, federation.run_id)
                parent = self._log_parent(client, experiment, federation)
                for hospital in federation.hospitals:
                    _log_hospital(client, experiment, parent, hospital, federation)
                with mlflow.start_run(run_id=parent):
                    _log_model(mlflow, federation)
                client.set_terminated(parent)
            except (OSError, mlflow.exceptions.MlflowException) as error:
                raise StorageError(
                    "MLflow could not write",
                    where=self.folder,
                    seen=str(error).strip().partition("\n")[0][:300],
                ) from None
        return str(parent)

    def _experiment(self, client: MlflowClient) -> str:
        found = client.get_experiment_by_name(EXPERIMENT)
        if found is not None:
            return str(found.experiment_id)
        location = Path(self.folder) / "artifacts"
        return str(client.create_experiment(EXPERIMENT, artifact_location=location.as_uri()))

    def _log_parent(
        self, client: MlflowClient, experiment: str, federation: TrackedFederation
    ) -> str:
        run = client.create_run(
            experiment,
            run_name=f"{federation.sandbox} {federation.run_id[:8]}",
            tags={
                "sandbox": federation.sandbox,
                "dagster_run_id": federation.run_id,
                **federation.tags,
            },
        )
        series = [
            (f"mean_{name}", mean, record["round_number"])
            for record in federation.rounds
            for name in ROUND_METRICS
            if (mean := _mean([p.get(name) for p in record["participants"].values()])) is not None
        ]
        series += [
            (f"test_{name}", interval["value"], len(federation.rounds))
            for name, interval in federation.test.items()
            if interval["value"] is not None
        ]
        _log_batch(client, run.info.run_id, series, federation.parameters)
        return str(run.info.run_id)


def _log_hospital(
    client: MlflowClient,
    experiment: str,
    parent: str,
    hospital: str,
    federation: TrackedFederation,
) -> None:
    tags = {"mlflow.parentRunId": parent, "hospital": hospital, "sandbox": federation.sandbox}
    if suppressed := _suppressed(hospital, federation):
        tags["suppressed"] = ", ".join(
            suppressed
        )  # of a metric that is not there, MLflow is silent
    run = client.create_run(experiment, run_name=hospital, tags=tags)
    series = [
        (name, record["participants"][hospital].get(name), record["round_number"])
        for record in federation.rounds
        if hospital in record["participants"]
        for name in ROUND_METRICS
    ]
    series += [
        (f"test_{name}", interval["value"], len(federation.rounds))
        for name, interval in federation.hospitals[hospital].items()
    ]
    _log_batch(client, run.info.run_id, series, {})
    client.set_terminated(run.info.run_id)


def _suppressed(hospital: str, federation: TrackedFederation) -> list[str]:
    """Returns the names of the metrics that the hospital withheld."""
    rounds = [each["participants"].get(hospital, {}) for each in federation.rounds]
    metrics = federation.hospitals[hospital]
    return sorted(
        {name for answer in rounds for name in answer.get("suppressed", ())}
        | {f"test_{name}" for name, metric in metrics.items() if metric.get("suppressed")}
    )


def _log_batch(
    client: MlflowClient,
    run: str,
    series: Sequence[tuple[str, float | None, int]],
    parameters: Mapping[str, Any],
) -> None:
    from mlflow.entities import Metric, Param

    now = int(time.time() * 1000)
    metrics = [Metric(name, float(v), now, step) for name, v, step in series if v is not None]
    for start in range(0, len(metrics), 1000):  # MLflow takes a thousand at a time
        client.log_batch(run, metrics=metrics[start : start + 1000])
    client.log_batch(run, params=[Param(name, str(v)[:500]) for name, v in parameters.items()])


def _log_model(mlflow: Any, federation: TrackedFederation) -> None:
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    channels, size = federation.network["channels"], federation.image_size
    signature = ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(np.float32), (-1, channels, size, size))]),
        outputs=Schema([TensorSpec(np.dtype(np.float32), (-1, federation.network["classes"]))]),
    )
    with tempfile.TemporaryDirectory(dir=federation.weights.parent) as folder:
        network = Path(folder) / "network.json"
        network.write_text(json.dumps(dict(federation.network), indent=1), encoding="utf-8")
        mlflow.pyfunc.log_model(
            name="global_model",
            python_model=str(SERVED_MODEL),
            artifacts={"weights": str(federation.weights), "network": str(network)},
            signature=signature,
            # Named here, because letting MLflow infer them loads the model in a second process.
            pip_requirements=["mlflow", "monai", "safetensors", "torch"],
        )


def _forget(client: MlflowClient, experiment: str, run_id: str) -> None:
    """Deletes what an earlier report of the same federation logged.

    But what a version was registered from: that is its model, and the run that it came of.
    """
    for run in client.search_runs([experiment], f"tags.dagster_run_id = '{run_id}'"):
        if client.search_model_versions(f"run_id = '{run.info.run_id}'", max_results=1):
            continue
        for model in client.search_logged_models(
            [experiment], f"source_run_id = '{run.info.run_id}'"
        ):
            client.delete_logged_model(model.model_id)
        for child in client.search_runs(
            [experiment], f"tags.`mlflow.parentRunId` = '{run.info.run_id}'"
        ):
            client.delete_run(child.info.run_id)
        client.delete_run(run.info.run_id)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _load_mlflow() -> None:
    with contextlib.suppress(ImportError), quiet_mlflow():  # the step that needs it says so
        import mlflow.pyfunc  # noqa: F401
