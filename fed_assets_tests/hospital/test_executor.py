from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nvflare.apis.fl_constant import FLContextKey, FLMetaKey, ReservedKey, ReturnCode
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal
from nvflare.apis.workspace import Workspace
from nvflare.app_common.abstract.fl_model import FLModel, ParamsType
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from fed_assets.hospital.executor import ERROR_HEADER, HospitalExecutor
from fed_assets.hospital.network import build_network
from fed_assets.hospital.weights import weights_of
from fed_assets.privacy.digests import weights_digest
from fed_assets_tests.hospital.test_evaluation import a_store, a_validated_store
from fed_assets_tests.networks import SMALL_RESNET


def a_site(folder: Path, store: Path, *, name: str = "hospital_01") -> FLContext:
    """The context of a client whose own configuration says which hospital it is."""
    for part in ("local", "startup"):
        (folder / "site" / part).mkdir(parents=True, exist_ok=True)
    identity = {"hospital": "hospital_01", "store": str(store)}
    (folder / "site" / "local" / "hospital.json").write_text(json.dumps(identity))
    context = FLContext()
    context.set_prop(ReservedKey.IDENTITY_NAME, name)
    context.set_prop(FLContextKey.WORKSPACE_OBJECT, Workspace(str(folder / "site")))
    return context


def global_weights(*, classes: int = 2) -> dict[str, Any]:
    return weights_of(build_network(SMALL_RESNET, channels=1, classes=classes, seed=0))


def a_task(*, weights: dict[str, Any] | None = None, **meta: Any) -> Shareable:
    asked = {
        "round_number": 2,
        "rounds": 5,
        "seed": 0,
        "recipe": {"batch_size": 16},
        "network": SMALL_RESNET,
        "classes": 2,
        "channels": 1,
    }
    model = FLModel(
        params_type=ParamsType.FULL,
        params=global_weights() if weights is None else weights,
        current_round=1,
        total_rounds=5,
        meta={name: value for name, value in {**asked, **meta}.items() if value is not None},
    )
    # As it would arrive: through NVFlare's own serialisation.
    return Shareable.from_bytes(FLModelUtils.to_shareable(model).to_bytes())


@pytest.fixture(autouse=True)
def serialisable_arrays() -> None:
    from nvflare.app_common.decomposers import common_decomposers

    common_decomposers.register()


def test_a_round_gives_whole_weights_metrics_and_what_was_learned_from(tmp_path: Path) -> None:
    store = a_validated_store(tmp_path)
    context = a_site(tmp_path, store)
    reply = HospitalExecutor().execute("train", a_task(), context, Signal())
    assert reply.get_return_code() == ReturnCode.OK
    update = FLModelUtils.from_shareable(Shareable.from_bytes(reply.to_bytes()))
    sent = global_weights()
    assert update.params_type == ParamsType.FULL
    assert {n: (a.shape, a.dtype) for n, a in update.params.items()} == {
        n: (a.shape, a.dtype) for n, a in sent.items()
    }
    assert weights_digest(update.params) != weights_digest(sent)
    assert set(update.metrics) == {"loss", "auroc", "accuracy"}
    assert update.meta["examples"] == update.meta[FLMetaKey.NUM_STEPS_CURRENT_ROUND] == 48
    assert update.meta["update_digest"] == weights_digest(update.params)
    current = json.loads((store / "current.json").read_text())["digest"]
    assert update.meta["dataset_digest"] == current
    assert update.meta["seconds"] > 0
    again = HospitalExecutor().execute("train", a_task(), context, Signal())
    assert FLModelUtils.from_shareable(again).meta["update_digest"] == update.meta["update_digest"]


def spoiled_weights() -> dict[str, Any]:
    weights = global_weights()
    weights["fc.bias"] = np.array([np.inf, 0], np.float32)
    return weights


@pytest.mark.parametrize(
    ("task", "kind", "named"),
    [
        (lambda: a_task(weights=spoiled_weights()), "RunConfigError", "not finite"),
        (lambda: a_task(weights=global_weights(classes=3)), "RunConfigError", "another shape"),
        (lambda: a_task(classes=3), "RunConfigError", "3 classes"),
        (lambda: a_task(channels=3), "RunConfigError", "3 channels"),
        (lambda: a_task(recipe={"epochs": 3}), "RunConfigError", "epochs"),
        (lambda: a_task(network={"_target_": "os.system"}), "RunConfigError", "os.system"),
        (lambda: a_task(seed=None), "RunConfigError", "no seed"),
    ],
)
def test_a_task_that_does_not_fit_is_refused_with_its_reason(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    task: Callable[[], Shareable],
    kind: str,
    named: str,
) -> None:
    context = a_site(tmp_path, a_validated_store(tmp_path))
    reply = HospitalExecutor().execute("train", task(), context, Signal())
    assert reply.get_return_code() == ReturnCode.EXECUTION_EXCEPTION
    said = Shareable.from_bytes(reply.to_bytes()).get_header(ERROR_HEADER)
    assert said["kind"] == kind
    assert named in said["seen"] + said["where"]
    assert named in caplog.text


def test_images_that_no_validation_let_through_are_not_trained_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    context = a_site(tmp_path, a_store(tmp_path))
    reply = HospitalExecutor().execute("train", a_task(), context, Signal())
    assert reply.get_return_code() == ReturnCode.EXECUTION_EXCEPTION
    assert reply.get_header(ERROR_HEADER)["kind"] == "NotValidated"
    assert "NotValidated" in caplog.text


def test_a_site_that_does_not_say_which_hospital_it_is_trains_nothing(tmp_path: Path) -> None:
    context = a_site(tmp_path, tmp_path)
    (tmp_path / "site" / "local" / "hospital.json").unlink()
    reply = HospitalExecutor().execute("train", a_task(), context, Signal())
    assert reply.get_return_code() == ReturnCode.EXECUTION_EXCEPTION
    assert reply.get_header(ERROR_HEADER)["where"] == "local/hospital.json"


def test_a_site_does_not_act_for_another_hospital(tmp_path: Path) -> None:
    context = a_site(tmp_path, a_validated_store(tmp_path), name="hospital_02")
    reply = HospitalExecutor().execute("train", a_task(), context, Signal())
    assert reply.get_return_code() == ReturnCode.EXECUTION_EXCEPTION
    assert reply.get_header(ERROR_HEADER)["kind"] == "IdentityRefused"


def test_an_unexpected_error_is_told_to_the_hospital_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = a_validated_store(tmp_path)
    digest = json.loads((store / "current.json").read_text())["digest"]
    (store / "datasets" / digest[:16] / "images.npy").write_bytes(b"patient 4711")
    context = a_site(tmp_path, store)
    reply = HospitalExecutor().execute("train", a_task(), context, Signal())
    assert reply.get_return_code() == ReturnCode.EXECUTION_EXCEPTION
    assert reply.get_header(ERROR_HEADER) is None
    assert "Traceback" not in caplog.text
    assert "images.npy" not in caplog.text
    assert "Traceback" in (store / "worker.log").read_text()
    assert (store / "worker.log").stat().st_mode & 0o777 == 0o600


def test_an_aborted_task_says_so_and_leaves_no_update(tmp_path: Path) -> None:
    context = a_site(tmp_path, a_validated_store(tmp_path))
    signal = Signal()
    signal.trigger(True)
    reply = HospitalExecutor().execute("train", a_task(), context, signal)
    assert reply.get_return_code() == ReturnCode.TASK_ABORTED


def test_another_task_is_unknown(tmp_path: Path) -> None:
    reply = HospitalExecutor().execute("submit_model", a_task(), FLContext(), Signal())
    assert reply.get_return_code() == ReturnCode.TASK_UNKNOWN
