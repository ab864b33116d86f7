from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
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

from fed_assets.hospital.attestation.approval import approve
from fed_assets.hospital.attestation.attested_key import AttestedKey
from fed_assets.hospital.attestation.measurement import measure
from fed_assets.hospital.custody import HospitalKey
from fed_assets.hospital.envelope import HEADER_BYTES
from fed_assets.hospital.executor import ERROR_HEADER, HospitalExecutor
from fed_assets.hospital.files import Store
from fed_assets.hospital.images import prepare_images
from fed_assets.hospital.network import build_network
from fed_assets.hospital.outbox_log import read_outbox
from fed_assets.hospital.store import IMAGES, current_digest, dataset_folder, set_validated
from fed_assets.hospital.weights import weights_of
from fed_assets.privacy.chain import OUTBOX_LOG, Entry, canonical, entries_of, first_fault, sha256
from fed_assets.privacy.clipping import learned_of, statistics_of, update_norm
from fed_assets.privacy.digests import weights_digest
from fed_assets_tests.full_disk import no_file_larger_than
from fed_assets_tests.hospital.test_evaluation import a_store, a_validated_store
from fed_assets_tests.networks import SMALL_RESNET


def a_site(
    folder: Path,
    store: Store,
    *,
    name: str = "hospital_01",
    key_file: Path | None = None,
    suppress_below: int = 0,
    told: dict[str, Any] | None = None,
) -> FLContext:
    """The context of a client whose own configuration says which hospital it is."""
    for part in ("local", "startup"):
        (folder / "site" / part).mkdir(parents=True, exist_ok=True)
    place = {"store": str(store.folder), "storage": "plain", "key_custody": "none"}
    if key_file is not None:
        place |= {"storage": "sealed", "key_custody": "hospital", "key_file": str(key_file)}
    promised = {"suppress_below": suppress_below, "update_protection": {"kind": "none"}}
    identity = {"hospital": "hospital_01", **promised, **(told or place)}
    (folder / "site" / "local" / "hospital.json").write_text(json.dumps(identity))
    context = FLContext()
    context.set_prop(ReservedKey.IDENTITY_NAME, name)
    context.set_prop(ReservedKey.RUN_NUM, "job-1")
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


def noted(store: Store) -> list[Entry]:
    content = (store.folder / OUTBOX_LOG).read_bytes()
    assert first_fault(content, hospital="hospital_01") is None
    return entries_of(content)


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
    assert update.meta["dataset_digest"] == current_digest(store)
    assert update.meta["seconds"] > 0
    again = HospitalExecutor().execute("train", a_task(), context, Signal())
    assert FLModelUtils.from_shareable(again).meta["update_digest"] == update.meta["update_digest"]


def test_a_round_from_a_sealed_store_gives_the_same_bits(tmp_path: Path) -> None:
    plain = a_validated_store(tmp_path)
    key_file = tmp_path / "hospital_01.json"
    sealed = Store(tmp_path / "sealed", "hospital_01", HospitalKey(key_file, "hospital_01"))
    source = {"kind": "medmnist", "path": str(tmp_path / "own.npz")}
    prepare_images({"source": source, "image_size": 28}, sealed)
    set_validated(sealed, current_digest(sealed))
    answers = []
    for store, key in ((plain, None), (sealed, key_file)):
        context = a_site(tmp_path, store, key_file=key)
        reply = HospitalExecutor().execute("train", a_task(), context, Signal())
        assert reply.get_return_code() == ReturnCode.OK
        answers.append(FLModelUtils.from_shareable(reply))
    one, other = answers
    assert one.meta["update_digest"] == other.meta["update_digest"]
    assert one.meta["dataset_digest"] == other.meta["dataset_digest"]
    assert one.metrics == other.metrics


def test_a_round_from_a_sealed_store_is_refused_where_a_pixel_was_changed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    a_store(tmp_path)  # for its images
    key_file = tmp_path / "hospital_01.json"
    sealed = Store(tmp_path / "sealed", "hospital_01", HospitalKey(key_file, "hospital_01"))
    source = {"kind": "medmnist", "path": str(tmp_path / "own.npz")}
    prepare_images({"source": source, "image_size": 28}, sealed)
    set_validated(sealed, current_digest(sealed))
    images = dataset_folder(sealed, current_digest(sealed)) / IMAGES
    raw = bytearray(images.read_bytes())
    raw[HEADER_BYTES + 5000] ^= 1
    images.write_bytes(raw)
    context = a_site(tmp_path, sealed, key_file=key_file)
    reply = HospitalExecutor().execute("train", a_task(), context, Signal())
    assert reply.get_return_code() == ReturnCode.EXECUTION_EXCEPTION
    assert reply.get_header(ERROR_HEADER)["kind"] == "SealBroken"
    assert reply.get_header(ERROR_HEADER)["where"].endswith("/images.npy")
    key_file.chmod(0o644)
    refused = HospitalExecutor().execute("train", a_task(), context, Signal())
    assert refused.get_header(ERROR_HEADER)["kind"] == "KeyRefused"
    assert "KeyRefused" in caplog.text


def test_a_measured_round_takes_approved_code_in_each_round(tmp_path: Path) -> None:
    a_store(tmp_path)  # for its images
    place = {
        "store": str(tmp_path / "sealed"),
        "storage": "sealed",
        "key_custody": "attested",
        "key_file": str(tmp_path / "keys" / "cvm.json"),
        "approval": str(tmp_path / "keys" / "cvm.approval.json"),
    }
    approve(Path(place["approval"]), "hospital_01", "a test")
    sealed = Store.of("hospital_01", place)
    assert isinstance(sealed.keys, AttestedKey)
    with closing(sealed.keys):
        source = {"kind": "medmnist", "path": str(tmp_path / "own.npz")}
        prepare_images({"source": source, "image_size": 28}, sealed)
        set_validated(sealed, current_digest(sealed))
        context = a_site(tmp_path, sealed, told={**place, "job_code": "measured"})
        reply = HospitalExecutor().execute("train", a_task(), context, Signal())
        assert reply.get_return_code() == ReturnCode.OK
        record = json.loads(Path(place["approval"]).read_text())
        record["policy"]["anyOf"][0]["allOf"][-1]["equals"] = "f" * 64
        Path(place["approval"]).write_text(json.dumps(record))
        reply = HospitalExecutor().execute("train", a_task(round_number=3), context, Signal())
        assert reply.get_return_code() == ReturnCode.EXECUTION_EXCEPTION
        assert reply.get_header(ERROR_HEADER)["kind"] == "CodeRefused"
        assert reply.get_header(ERROR_HEADER)["seen"] == (
            f"measurement {measure()}, approved {'f' * 64}"
        )
        left = [(entry.kind, entry.what) for entry in entries_of(read_outbox(sealed))][-2:]
        assert left == [("asked", "update"), ("left", "error (update)")]


def test_a_measured_round_without_a_broker_is_refused(tmp_path: Path) -> None:
    store = a_validated_store(tmp_path)
    place = {"store": str(store.folder), "storage": "plain", "key_custody": "none"}
    context = a_site(tmp_path, store, told={**place, "job_code": "measured"})
    reply = HospitalExecutor().execute("train", a_task(), context, Signal())
    assert reply.get_return_code() == ReturnCode.EXECUTION_EXCEPTION
    assert "Code is measured where" in reply.get_header(ERROR_HEADER)["what"]


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
    context = a_site(tmp_path, Store(tmp_path))
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
    (dataset_folder(store, current_digest(store)) / IMAGES).write_bytes(b"patient 4711")
    context = a_site(tmp_path, store)
    reply = HospitalExecutor().execute("train", a_task(), context, Signal())
    assert reply.get_return_code() == ReturnCode.EXECUTION_EXCEPTION
    assert reply.get_header(ERROR_HEADER) is None
    assert "Traceback" not in caplog.text
    assert "images.npy" not in caplog.text
    assert "Traceback" in (store.folder / "worker.log").read_text()
    assert (store.folder / "worker.log").stat().st_mode & 0o777 == 0o600


def test_an_aborted_task_says_so_and_leaves_no_update(tmp_path: Path) -> None:
    context = a_site(tmp_path, a_validated_store(tmp_path))
    signal = Signal()
    signal.trigger(True)
    reply = HospitalExecutor().execute("train", a_task(), context, signal)
    assert reply.get_return_code() == ReturnCode.TASK_ABORTED


def test_another_task_is_unknown(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    reply = HospitalExecutor().execute("submit_model", a_task(), a_site(tmp_path, store), Signal())
    assert reply.get_return_code() == ReturnCode.TASK_UNKNOWN
    assert [entry.what for entry in noted(store)] == ["an unknown task", "error (an unknown task)"]


def test_a_round_is_noted_as_it_came_and_as_it_left(tmp_path: Path) -> None:
    store = a_validated_store(tmp_path)
    task = a_task()
    reply = HospitalExecutor().execute("train", task, a_site(tmp_path, store), Signal())
    update = FLModelUtils.from_shareable(Shareable.from_bytes(reply.to_bytes()))
    asked, weights, figures = noted(store)
    assert [entry.kind for entry in (asked, weights, figures)] == ["asked", "left", "left"]
    assert {entry.peer for entry in (asked, weights, figures)} == {"job job-1"}
    assert {entry.round_number for entry in (asked, weights, figures)} == {2}

    sent = global_weights()
    assert (asked.what, asked.digest) == ("update", weights_digest(sent))
    assert asked.size_bytes == sum(array.nbytes for array in sent.values())
    assert (weights.what, weights.digest) == ("update", weights_digest(update.params))
    assert weights.size_bytes == sum(array.nbytes for array in update.params.values())

    names = ("examples", "seconds", "update_digest", "dataset_digest")
    meta = {name: update.meta[name] for name in (*names, FLMetaKey.NUM_STEPS_CURRENT_ROUND)}
    said = canonical({"metrics": update.metrics, "meta": meta})
    assert (figures.size_bytes, figures.digest) == (len(said), sha256(said))
    assert figures.what == "figures of the update"
    head = (update.meta["outbox_entries"], update.meta["outbox_head"])
    assert head == (figures.number, figures.hash) == (3, figures.hash)


def test_a_refusal_and_an_abort_are_noted_as_they_left(tmp_path: Path) -> None:
    store = a_validated_store(tmp_path)
    context = a_site(tmp_path, store)
    refused = HospitalExecutor().execute("train", a_task(classes=3), context, Signal())
    stop = Signal()
    stop.trigger(True)
    aborted = HospitalExecutor().execute("train", a_task(), context, stop)
    entries = noted(store)
    assert [entry.kind for entry in entries] == ["asked", "left"] * 2
    for entry, reply in zip(entries[1::2], (refused, aborted), strict=True):
        error = reply.get_header(ERROR_HEADER)
        said = canonical([reply.get_return_code(), {ERROR_HEADER: error} if error else {}])
        assert (entry.what, entry.round_number) == ("error (update)", 2)
        assert (entry.size_bytes, entry.digest) == (len(said), sha256(said))


@pytest.mark.parametrize("room_bytes", [0, 600])
def test_no_weights_leave_that_cannot_be_noted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, room_bytes: int
) -> None:
    caplog.set_level("INFO")
    store = a_validated_store(tmp_path)
    context, task = a_site(tmp_path, store), a_task()
    with no_file_larger_than(room_bytes):
        reply = HospitalExecutor().execute("train", task, context, Signal())
    assert reply.get_return_code() == ReturnCode.EXECUTION_EXCEPTION
    assert reply.get_header(ERROR_HEADER)["kind"] == "StorageError"
    assert "nothing leaves the hospital" in reply.get_header(ERROR_HEADER)["what"]
    assert "DXO" not in reply
    assert len(noted(store)) == (1 if room_bytes else 0)
    assert ("It learned from" in caplog.text) == bool(room_bytes)


def test_nothing_is_learned_where_the_outbox_log_was_changed(tmp_path: Path) -> None:
    store = a_validated_store(tmp_path)
    context = a_site(tmp_path, store)
    HospitalExecutor().execute("train", a_task(), context, Signal())
    log = store.folder / OUTBOX_LOG
    log.write_bytes(log.read_bytes().replace(b"figures", b"nothing"))
    reply = HospitalExecutor().execute("train", a_task(), context, Signal())
    assert reply.get_return_code() == ReturnCode.EXECUTION_EXCEPTION
    assert "not as it was written" in reply.get_header(ERROR_HEADER)["what"]


def test_what_rests_on_few_validation_images_does_not_leave_with_an_update(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = a_validated_store(tmp_path)  # 12 validation images, 6 of a class
    context = a_site(tmp_path, store, suppress_below=10)
    reply = HospitalExecutor().execute("train", a_task(), context, Signal())
    update = FLModelUtils.from_shareable(Shareable.from_bytes(reply.to_bytes()))
    assert set(update.metrics) == {"loss"}
    assert update.meta["suppressed"] == ["accuracy", "auroc"]
    assert update.meta["examples"] == 48
    context = a_site(tmp_path, store, suppress_below=5)
    reply = HospitalExecutor().execute("train", a_task(), context, Signal())
    assert "auroc" in FLModelUtils.from_shareable(reply).metrics


def test_a_hospital_with_few_training_images_answers_with_a_refusal(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = a_validated_store(tmp_path)
    context = a_site(tmp_path, store, suppress_below=49)
    reply = HospitalExecutor().execute("train", a_task(), context, Signal())
    assert reply.get_return_code() == ReturnCode.EXECUTION_EXCEPTION
    assert reply.get_header(ERROR_HEADER)["kind"] == "DisclosureRefused"
    assert "too few training images" in caplog.text
    assert "48" not in caplog.text
    assert [entry.what for entry in noted(store)] == ["update", "error (update)"]


def test_a_site_that_does_not_say_which_counts_it_suppresses_trains_nothing(
    tmp_path: Path,
) -> None:
    store = a_validated_store(tmp_path)
    context = a_site(tmp_path, store, suppress_below=1)
    reply = HospitalExecutor().execute("train", a_task(), context, Signal())
    assert reply.get_return_code() == ReturnCode.EXECUTION_EXCEPTION
    assert "which counts it suppresses" in reply.get_header(ERROR_HEADER)["what"]


PRIVATE = {"kind": "differential_privacy", "epsilon": 8.0, "delta": 1e-5, "max_grad_norm": 1.0}
PRIVATE_RECIPE = {"learning_rate": 0.1, "sample_rate": 1 / 3, "local_epochs": 1}


def a_private_site(folder: Path, store: Store, **changes: Any) -> FLContext:
    place = {"store": str(store.folder), "storage": "plain", "key_custody": "none"}
    told: dict[str, Any] = {**place, "update_protection": {**PRIVATE, **changes}}
    return a_site(folder, store, told=told)


def private_reply(context: FLContext, round_number: int, **asked: Any) -> Shareable:
    task = a_task(round_number=round_number, rounds=2, recipe=PRIVATE_RECIPE, **asked)
    return HospitalExecutor().execute("train", task, context, Signal())


def test_a_private_round_says_what_it_spent_and_withholds_its_loss(tmp_path: Path) -> None:
    store = a_validated_store(tmp_path)
    context = a_private_site(tmp_path, store)
    first, second = (
        FLModelUtils.from_shareable(private_reply(context, number)) for number in (1, 2)
    )
    assert set(first.metrics) == {"auroc", "accuracy"}
    assert first.meta["suppressed"] == ["loss"]
    assert first.meta["delta"] == 1e-5
    assert first.meta["noise_multiplier"] == second.meta["noise_multiplier"] > 0
    assert 0 < first.meta["epsilon"] < second.meta["epsilon"] <= 8.0
    assert second.meta["epsilon"] > 7.9
    assert [(entry.kind, entry.what) for entry in noted(store)] == 2 * [
        ("asked", "update"),
        ("kept", "privacy ledger"),
        ("left", "update"),
        ("left", "figures of the update"),
    ]


def test_a_private_round_is_refused_where_the_budget_is_spent(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = a_validated_store(tmp_path)
    context = a_private_site(tmp_path, store)
    for number in (1, 2):
        assert private_reply(context, number).get_return_code() == ReturnCode.OK
    context.set_prop(ReservedKey.RUN_NUM, "job-2")
    with monkeypatch.context() as watched:
        watched.setattr("torch.func.grad", lambda *_: pytest.fail("it learned"))
        refused = private_reply(context, 1)
    assert refused.get_return_code() == ReturnCode.EXECUTION_EXCEPTION
    assert refused.get_header(ERROR_HEADER)["kind"] == "BudgetSpent"
    assert "48" not in caplog.text  # its images
    assert "DXO" not in refused
    raised = private_reply(a_private_site(tmp_path, store, epsilon=12.0), 1)
    assert 8 < FLModelUtils.from_shareable(raised).meta["epsilon"] < 12


def test_no_job_sets_the_budget_or_takes_the_protection_away(tmp_path: Path) -> None:
    store = a_validated_store(tmp_path)
    asked = {"update_protection": {"kind": "none"}, "epsilon": 1000.0, "noise_multiplier": 0.0}
    reply = private_reply(a_private_site(tmp_path, store), 1, **asked)
    assert FLModelUtils.from_shareable(reply).meta["epsilon"] <= 8.0


def test_a_private_round_of_a_network_with_batch_normalisation_is_refused(tmp_path: Path) -> None:
    store = a_validated_store(tmp_path)
    network = {**SMALL_RESNET, "norm": "batch"}
    weights = weights_of(build_network(network, channels=1, classes=2, seed=0))
    reply = private_reply(a_private_site(tmp_path, store), 1, network=network, weights=weights)
    assert reply.get_return_code() == ReturnCode.EXECUTION_EXCEPTION
    assert "norm: [group" in reply.get_header(ERROR_HEADER)["cure"]


def test_a_site_that_does_not_say_what_is_done_to_updates_trains_nothing(tmp_path: Path) -> None:
    store = a_validated_store(tmp_path)
    kept = {"store": str(store.folder), "storage": "plain", "key_custody": "none"}
    context = a_site(tmp_path, store, told={**kept, "update_protection": None})
    reply = HospitalExecutor().execute("train", a_task(), context, Signal())
    assert reply.get_return_code() == ReturnCode.EXECUTION_EXCEPTION
    assert "update_protection cannot be carried out" in reply.get_header(ERROR_HEADER)["what"]


def clipping_site(tmp_path: Path, store: Store, max_norm: float) -> FLContext:
    kept = {"store": str(store.folder), "storage": "plain", "key_custody": "none"}
    clip = {"kind": "clip", "max_norm": max_norm, "max_statistics_norm": max_norm}
    return a_site(tmp_path, store, told={**kept, "update_protection": clip})


def test_an_update_leaves_within_the_norm_that_the_site_promises(tmp_path: Path) -> None:
    store = a_validated_store(tmp_path)
    sent = global_weights()
    plain = HospitalExecutor().execute("train", a_task(), a_site(tmp_path, store), Signal())
    whole = FLModelUtils.from_shareable(plain)
    assert "clipped" not in whole.meta
    learned, statistics = learned_of(sent), statistics_of(sent)
    norm = update_norm(whole.params, sent)
    assert update_norm(whole.params, learned) > 0.1

    # What a job asks for does not change what the site promises.
    task = a_task(update_protection={"kind": "none"}, max_norm=1e9)
    reply = HospitalExecutor().execute("train", task, clipping_site(tmp_path, store, 0.1), Signal())
    update = FLModelUtils.from_shareable(Shareable.from_bytes(reply.to_bytes()))
    assert update.meta["clipped"] is True
    assert update_norm(update.params, learned) == pytest.approx(0.1, rel=1e-3)
    assert update_norm(update.params, statistics) <= 0.1001
    assert update.meta["update_digest"] == weights_digest(update.params)
    assert noted(store)[-2].digest == weights_digest(update.params)  # nothing else has left

    wide = clipping_site(tmp_path, store, 2 * norm)
    untouched = FLModelUtils.from_shareable(
        HospitalExecutor().execute("train", a_task(), wide, Signal())
    )
    assert untouched.meta["clipped"] is False
    assert untouched.meta["update_digest"] == whole.meta["update_digest"]


def test_a_site_that_masks_its_updates_sends_none_without_masks(tmp_path: Path) -> None:
    store = a_validated_store(tmp_path)
    kept = {"store": str(store.folder), "storage": "plain", "key_custody": "none"}
    masked = {"kind": "secure_aggregation", "max_norm": 5.0, "max_statistics_norm": 30.0}
    context = a_site(tmp_path, store, told={**kept, "update_protection": masked})
    reply = HospitalExecutor().execute("train", a_task(), context, Signal())
    assert reply.get_return_code() == ReturnCode.EXECUTION_EXCEPTION
    assert "secure aggregation is incomplete" in reply.get_header(ERROR_HEADER)["what"]
