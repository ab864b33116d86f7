"""A registered version becomes what is served, or the former goes on serving and it is said why.

Real parts throughout: MLflow's tables, the coordinator's tasks on real open images, the signed
package, and the service over HTTP. Only the training is left out: the weights are drawn. All but
one test have the coordinator's tasks run in their own process, and not in one of its own.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import yaml
from dagster import (
    AssetKey,
    AssetSpec,
    DagsterInstance,
    ExecuteInProcessResult,
    materialize,
)

from fed_assets.assets.deployment import build_deployment_asset
from fed_assets.assets.partitions import SANDBOX_PARTITIONS
from fed_assets.definitions import build_definitions
from fed_assets.federation.roster import read_roster
from fed_assets.hospital.files import Store
from fed_assets.registry.gate import Gate
from fed_assets.registry.version import ModelVersion
from fed_assets.resources.artifact_store import JsonArtifacts
from fed_assets.resources.home import Home
from fed_assets.resources.model_registry import ModelRegistry
from fed_assets.resources.sandboxes import Sandboxes
from fed_assets.resources.settings import SHIPPED_ROSTER, Settings
from fed_assets.resources.tracking import TrackedFederation, Tracking
from fed_assets.sandboxes.presets import SHIPPED_CONFIGURABLE
from fed_assets.serving.keys import public_key, signing_key
from fed_assets.serving.package import open_package, sign_package
from fed_assets.serving.server import ModelServer
from fed_assets_tests.here_alone import HereAlone
from fed_assets_tests.lineages import lineage, put_lineage
from fed_assets_tests.registered import with_the_rest
from fed_assets_tests.registry.versions import a_version, figures

pytestmark = pytest.mark.slow  # each logs a model with MLflow, and starts a service
SANDBOX = "minimal"
NETWORK: dict[str, Any] = yaml.safe_load(SHIPPED_ROSTER.read_text())["network"]
CLOSED = Gate("overall", False, -0.05, -0.01, "AUROC is 0.05 lower, and 0.01 is allowed")


@dataclass(frozen=True)
class Bench:
    """A home with a registry and the common test set, in which versions are deployed."""

    home: Home
    entries: dict[str, Any]

    @property
    def registry(self) -> ModelRegistry:
        return ModelRegistry(self.home)

    def register(self, seed: int, *gates: Gate, accuracy: float | None = None) -> ModelVersion:
        """Registers drawn weights with what they are worth, judged by some gates."""
        weights, evaluated = self._drawn(seed)
        test = {"images": 624, **figures(0.9, accuracy=evaluated if accuracy is None else accuracy)}
        test["expected_calibration_error"] = {"value": 0.2, "low": 0.1, "high": 0.3}
        run = f"{seed:08d}-2222-3333-4444-555555555555"
        record = a_version(
            0,
            run_id=run,
            network=NETWORK,
            synthetic=False,
            weights_digest=hashlib.sha256(weights.read_bytes()).hexdigest(),
            evaluation={"test": test, "hospitals": {}},
        )
        put_lineage(self.home, lineage(run, synthetic=False))
        tracked = Tracking(folder=str(self.home.tracking)).log_federation(
            TrackedFederation(
                run_id=run,
                sandbox=SANDBOX,
                parameters={"seed": seed},
                rounds=[{"round_number": 1, "participants": {}}],
                test=figures(0.9),
                hospitals={},
                weights=weights,
                network={"network": NETWORK, "channels": 1, "classes": 2},
                image_size=28,
            )
        )
        number = self.registry.register(record, tracked, weights=weights)
        judged = with_the_rest(*gates)
        champion = self.registry.champion(SANDBOX)
        self.registry.keep_judgement(SANDBOX, number, judged, against=champion, by="run 1")
        value = {
            "sandbox": SANDBOX,
            "version": number,
            "champion": champion,
            "passed": all(gate.passed for gate in judged),
            "gates": [gate.as_record() for gate in judged],
        }
        path = self.home.artifacts / "registered_model" / f"{SANDBOX}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value))
        return self.registry.version(SANDBOX, number)

    def _drawn(self, seed: int) -> tuple[Path, float]:
        from fed_assets.hospital.evaluation import evaluate
        from fed_assets.hospital.network import build_network
        from fed_assets.hospital.weights import weights_of, write_weights

        path = self.home.root / "drawn" / f"{seed}.safetensors"
        write_weights(weights_of(build_network(NETWORK, channels=1, classes=2, seed=seed)), path)
        asked = {"weights": str(path), "network": NETWORK, "resamples": 2}
        record = evaluate(asked, Store(self.home.store("coordinator", SANDBOX)))
        return path, float(record["metrics"]["accuracy"]["value"])

    def deploy(self) -> ExecuteInProcessResult:
        """Materializes deployed_model alone."""
        beside = services()
        runner = HereAlone(home_folder=str(self.home.root), hospitals=[], network="")
        resources = {
            "io_manager": JsonArtifacts(folder=str(self.home.artifacts)),
            "sandboxes": Sandboxes(configurable=str(SHIPPED_CONFIGURABLE)),
            "hospitals": runner,
        }
        upstream = AssetSpec("registered_model", partitions_def=SANDBOX_PARTITIONS)
        with DagsterInstance.ephemeral(tempdir=str(self.home.temporary)) as instance:
            result = materialize(
                [upstream, build_deployment_asset(Settings(home=self.home))],
                selection=[AssetKey("deployed_model")],
                partition_key=SANDBOX,
                resources=resources,
                instance=instance,
                raise_on_error=False,
            )
        assert services() == beside
        return result

    def run_job(self) -> ExecuteInProcessResult:
        """Runs deployed_model as a part of the lifecycle, whose coordinator has its own process."""
        roster = self.home.root / "roster.yaml"
        roster.write_text(yaml.safe_dump(self.entries))
        definitions = build_definitions(
            Settings(home=self.home, roster=roster), read_roster(roster)
        )
        with DagsterInstance.ephemeral(tempdir=str(self.home.temporary)) as instance:
            result = definitions.resolve_job_def("federated_lifecycle").execute_in_process(
                instance=instance,
                partition_key=SANDBOX,
                asset_selection=[AssetKey("deployed_model")],
                raise_on_error=False,
            )
        assert services() == []
        return result

    def told(self) -> list[tuple[str, int, int | None]]:
        """Returns what was done to versions, and which was champion after it."""
        events = self.registry.history(SANDBOX).events
        known = ("promoted", "rolled_back", "retired")
        return [(each.event, each.version, each.champion) for each in events if each.event in known]

    def folders(self, version: int) -> set[str]:
        return {each.name for each in self.registry.folder(SANDBOX, version).iterdir()}


def services() -> list[psutil.Process]:
    """Returns the keepers and answering processes that this process has started."""
    return [
        each
        for each in psutil.Process().children(recursive=True)
        if "fed_assets.serving.keeper" in " ".join(command_of(each))
    ]


def command_of(process: psutil.Process) -> list[str]:
    """Returns a process's command line, empty where it has ended by now."""
    try:
        return process.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return []


def failure(result: ExecuteInProcessResult) -> str:
    assert not result.success
    (event,) = [event for event in result.all_events if event.is_step_failure]
    assert event.step_failure_data.user_failure_data is not None
    return str(event.step_failure_data.user_failure_data.description)


@pytest.fixture(scope="module")
def prepared(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Yields a home with MLflow's tables and the real common test set."""
    from fed_assets.hospital.images import prepare_images
    from fed_assets.hospital.store import current_digest, set_validated

    before = dict(os.environ)
    home = Home(tmp_path_factory.mktemp("prepared") / "home").prepare()
    store = Store(home.store("coordinator", SANDBOX), "coordinator")
    source = {"kind": "medmnist", "path": str(real_data / "pneumoniamnist.npz")}
    classes = ["normal", "pneumonia"]
    asked = {"source": source, "classes": classes, "image_size": 28, "only_split": "test"}
    prepare_images(asked, store)
    set_validated(store, current_digest(store))
    yield home.root
    for name in os.environ.keys() - before.keys():
        del os.environ[name]


@pytest.fixture(scope="module")
def bench(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Returns a home that the tests of this module deploy in, one after the other."""
    hospitals = [{"id": name, "name": name} for name in ("north", "east", "south")]
    entries = {
        "title": "Three small hospitals",
        "data": {"source": {"kind": "phantom", "images": 240, "test_images": 40, "size": 28}},
        "hospitals": hospitals,
        "network": NETWORK,
    }
    return Bench(Home(prepared), entries)


def test_a_first_version_that_fails_its_check_is_taken_back_and_none_serves(bench: Bench) -> None:
    version = bench.register(1, accuracy=0.999)

    said = failure(bench.deploy())

    assert said.startswith(f"Version {version.version} of minimal was taken back, and none serves.")
    assert "not as accurate as the registered model was" in said
    assert "on 624 images, and 0.9990 is registered" in said
    assert bench.registry.champion(SANDBOX) is None
    assert bench.told() == [("promoted", 1, 1), ("rolled_back", 1, None)]


def test_a_version_whose_gates_are_open_is_packaged_promoted_and_checked(bench: Bench) -> None:
    version = bench.register(2)

    result = bench.deploy()

    assert result.success
    value = result.output_for_node("deployed_model")
    assert (value["version"], value["deployed"], value["champion"]) == (2, True, 2)
    assert bench.registry.champion(SANDBOX) == 2
    assert value["check"]["images"] == 624
    assert value["check"]["difference"] <= 1e-4
    assert value["check"]["accuracy"] == pytest.approx(value["check"]["registered"], abs=1 / 624)
    assert value["exports"]["checked_on"] == "common test"
    package = open_package(
        bench.home.models(SANDBOX) / "v2" / "package",
        public_key(bench.home.models_key.with_suffix(".pub")),
        sandbox=SANDBOX,
        version=2,
    )
    assert package.digest == value["package"]["digest"]
    assert package.facts.calibration == {"value": 0.2, "low": 0.1, "high": 0.3}
    assert package.facts.weights_digest == version.weights_digest
    assert bench.folders(2) == {"version.json", "weights.safetensors", "package"}
    (materialized,) = result.asset_materializations_for_node("deployed_model")
    assert materialized.metadata["package_digest"].value == package.digest
    assert materialized.metadata["onnx_difference"].value <= 1e-5
    assert materialized.metadata["bundle_difference"].value <= 1e-5
    assert materialized.metadata["checked_milliseconds"].value > 0
    assert materialized.metadata["compared_on"].value == "64 images (common test)"


def test_a_closed_gate_leaves_the_champion_and_the_version_packaged(bench: Bench) -> None:
    bench.register(3, CLOSED)
    before = bench.told()

    result = bench.deploy()

    assert result.success
    value = result.output_for_node("deployed_model")
    assert (value["deployed"], value["champion"], value["check"]) == (False, 2, None)
    assert value["not_deployed"] == ["AUROC is 0.05 lower, and 0.01 is allowed"]
    assert bench.told() == before
    assert bench.registry.is_packaged(SANDBOX, 3)
    (materialized,) = result.asset_materializations_for_node("deployed_model")
    assert materialized.metadata["not_deployed"].value == CLOSED.said


def test_a_package_of_other_weights_fails_the_check_and_the_former_serves_again(
    bench: Bench,
) -> None:
    # Whoever holds the key signed it; what it holds is another model all the same.
    version = bench.register(4)
    _sign_with_the_onnx_file_of(bench, 2, version)

    with ModelServer(
        bench.home.models(SANDBOX),
        bench.home.models_key.with_suffix(".pub"),
        sandbox=SANDBOX,
        champion=lambda: bench.registry.champion(SANDBOX),
        barred=lambda: bench.registry.never_to_serve(SANDBOX),
        workers=1,
    ) as users:
        users.wait_ready(2)
        said = failure(bench.deploy())
        users.wait_ready(2)

    assert said.startswith("Version 4 of minimal was taken back, and version 2 serves.")
    assert "says something else than the registered model: a probability differs by" in said
    assert bench.told()[-2:] == [("promoted", 4, 4), ("rolled_back", 2, 2)]
    (why,) = [each.why for each in bench.registry.history(SANDBOX).events[-1:]]
    assert why.startswith("its check failed: The service says something else")


def _sign_with_the_onnx_file_of(bench: Bench, other: int, version: ModelVersion) -> None:
    from fed_assets.assets.packaging import facts_of, origin_of

    folder = bench.registry.folder(SANDBOX, version.version) / "package"
    facts = facts_of(version, origin_of(bench.registry, version))
    folder.mkdir()
    theirs = bench.registry.folder(SANDBOX, other) / "package" / "model.onnx"
    shutil.copy(theirs, folder / "model.onnx")
    weights = bench.registry.weights(SANDBOX, version.version)
    shutil.copy(weights, folder / "weights.safetensors")
    sign_package(folder, facts, signing_key(bench.home.models_key))


def test_a_service_that_does_not_start_takes_the_version_back(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.register(5)
    nowhere = {"PYTHONHOME": "/nowhere"}  # Python itself does not come up
    monkeypatch.setattr("fed_assets.serving.server.ENVIRONMENT", nowhere)

    said = failure(bench.deploy())

    assert said.startswith("Version 5 of minimal was taken back, and version 2 serves.")
    assert "it ended with exit code 1" in said
    assert bench.registry.champion(SANDBOX) == 2


def test_a_tampered_package_is_refused_before_anything_is_promoted(bench: Bench) -> None:
    version = bench.register(6, CLOSED)
    assert bench.deploy().success
    bench.register(6)
    onnx = bench.registry.folder(SANDBOX, version.version) / "package" / "model.onnx"
    onnx.write_bytes(onnx.read_bytes()[:-1] + b"!")
    before = bench.told()

    said = failure(bench.deploy())

    assert said.startswith("A file of the package was changed.")
    assert "Seen: model.onnx." in said
    assert bench.told() == before
    assert bench.registry.champion(SANDBOX) == 2


def test_a_package_that_was_made_is_not_made_again(bench: Bench) -> None:
    bench.register(2)
    folder = bench.registry.folder(SANDBOX, 2) / "package"
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}

    result = bench.deploy()

    assert result.success
    assert result.output_for_node("deployed_model")["exports"] is None
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_a_full_disk_leaves_no_package_and_the_champion(bench: Bench) -> None:
    version = bench.register(7)
    folder = bench.registry.folder(SANDBOX, version.version)
    with full_disk(folder):
        said = failure(bench.deploy())
    assert said.startswith("The disk is full.")
    assert bench.folders(version.version) == {"version.json", "weights.safetensors"}
    assert bench.registry.champion(SANDBOX) == 2
    assert bench.deploy().success
    assert bench.registry.champion(SANDBOX) == version.version


@contextmanager
def full_disk(folder: Path) -> Iterator[None]:
    """Has a folder lie on a disk of its own, on which there is room for 1.5 MB beside its files."""
    import subprocess

    kept = {path.name: path.read_bytes() for path in folder.iterdir()}
    size = sum(map(len, kept.values())) + 1_500_000
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("no file system can be mounted here")
    try:
        for name, content in kept.items():
            (folder / name).write_bytes(content)
        yield
        assert np.array_equal(sorted(kept), sorted(path.name for path in folder.iterdir()))
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.long
def test_a_run_of_the_lifecycle_deploys_by_the_coordinators_own_process(bench: Bench) -> None:
    version = bench.register(8)
    result = bench.run_job()
    assert result.success
    assert result.output_for_node("deployed_model")["check"]["images"] == 624
    assert bench.registry.champion(SANDBOX) == version.version
