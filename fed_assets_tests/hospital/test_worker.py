from __future__ import annotations

import base64
import json
import os
import resource
import signal
import stat
import subprocess
import sys
import time
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest

from fed_assets.errors import error_from_record
from fed_assets.federation.preload import learning_modules
from fed_assets.hospital.attestation.measurement import measure
from fed_assets.hospital.files import Store
from fed_assets.hospital.own_log import read_log
from fed_assets.hospital.worker import main
from fed_assets.privacy.chain import OUTBOX_LOG, Entry, entries_of, first_fault, sha256
from fed_assets.resources.templates import DATA_MODULES
from fed_assets_tests.hospital.samples import write_dicom, write_folder, write_npz
from fed_assets_tests.networks import SMALL_RESNET

Request = dict[str, Any]
LIBRARIES = get_context("forkserver")
LIBRARIES.set_forkserver_preload(
    [
        *DATA_MODULES,
        *learning_modules(SMALL_RESNET["_target_"]),
        "fed_assets.hospital.evaluation",
        __name__,
    ]
)


def _serve(folder: str, largest_file_bytes: int) -> None:
    """Runs a worker on the files of a folder in place of its standard streams."""
    for number, (name, flags) in enumerate(
        [("in", os.O_RDONLY), ("out", os.O_WRONLY | os.O_CREAT), ("err", os.O_WRONLY | os.O_CREAT)]
    ):
        os.dup2(os.open(f"{folder}/{name}", flags, 0o600), number)
    if largest_file_bytes:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file_bytes, largest_file_bytes))
    sys.stdin = os.fdopen(0, encoding="utf-8")
    main()


def _ask(
    *lines: Request | str, identity: Request, largest_file_bytes: int = 0
) -> tuple[list[Request], str]:
    """Runs one worker over all requests; returns its replies and what it wrote to stderr.

    It is forked from a process that has its libraries, as hospitals' workers are from a template.
    """
    sent = [line if isinstance(line, str) else json.dumps(line) for line in (identity, *lines)]
    with TemporaryDirectory() as folder:
        streams = {name: Path(folder) / name for name in ("in", "out", "err")}
        streams["in"].write_text("\n".join(sent) + "\n")
        worker = LIBRARIES.Process(target=_serve, args=(folder, largest_file_bytes))
        worker.start()
        worker.join(240)
        assert worker.exitcode == 0, streams["err"].read_text()
        replies = streams["out"].read_text().splitlines()
        return [json.loads(line) for line in replies], streams["err"].read_text()


def _identity(folder: Path, *hospitals: str, previews: bool = True) -> Request:
    stores = {name: _plain(folder / name) for name in hospitals or ("hospital_01",)}
    return {"hospitals": stores, "previews": previews}


def _plain(store: Path | str, *, below: Any = 0) -> Request:
    place = {"store": str(store), "storage": "plain", "key_custody": "none"}
    return place | {"suppress_below": below}


def _sealed(folder: Path, hospital: str = "hospital_01") -> Request:
    place = {"store": str(folder / hospital), "storage": "sealed", "key_custody": "hospital"}
    kept = {**place, "key_file": str(folder / "keys" / f"{hospital}.json"), "suppress_below": 0}
    return {"hospitals": {hospital: kept}, "previews": True}


def _request(task: str, hospital: str = "hospital_01", **arguments: Any) -> Request:
    return {"task": task, "hospital": hospital, "arguments": arguments}


def _prepare(folder: Path, **spec: Any) -> Request:
    source = {"kind": "medmnist", "path": str(write_npz(folder / "a.npz", **spec))}
    return _request("prepare_images", source=source, image_size=20)


def _outbox(folder: Path, hospital: str = "hospital_01") -> list[Entry]:
    content = (folder / hospital / OUTBOX_LOG).read_bytes()
    assert first_fault(content, hospital=hospital) is None
    return entries_of(content)


def _files(store: Path) -> dict[Path, int]:
    """Returns when each file was written, but for the log of what was asked."""
    files = [path for path in store.rglob("*") if path.is_file() and path.name != OUTBOX_LOG]
    return {path: path.stat().st_mtime_ns for path in files}


def test_code_is_approved_by_the_hospitals_own_process_and_where_it_is_measured(
    tmp_path: Path,
) -> None:
    identity = _sealed(tmp_path)
    kept = identity["hospitals"]["hospital_01"]
    kept |= {"key_custody": "attested", "approval": str(tmp_path / "keys" / "cvm.approval.json")}
    replies, _ = _ask(
        _prepare(tmp_path, side=(20, 20)),
        _request("show_approval"),
        _request("approve_code"),
        _request("show_approval"),
        _prepare(tmp_path, side=(20, 20)),
        identity=identity | {"peer": "officer"},
    )
    assert replies[0]["error"]["kind"] == "CodeRefused"
    assert replies[1]["result"] == {"approved": None, "installed": measure()}
    assert replies[2]["result"] == {"measurement": measure(), "before": None}
    assert replies[3]["result"] == {"approved": measure(), "installed": measure()}
    assert replies[4]["result"]["images"] == 92
    (approval,) = json.loads(Path(kept["approval"]).read_text())["approvals"]
    assert approval["by"] == f"officer, user {os.getuid()}"
    unmeasured, _ = _ask(
        *(_request(task) for task in ("approve_code", "show_approval")),
        identity=_identity(tmp_path / "plain"),
    )
    assert [reply["error"]["kind"] for reply in unmeasured] == ["RunConfigError"] * 2


def test_images_are_prepared_validated_and_shown_by_one_process(tmp_path: Path) -> None:
    replies, err = _ask(
        _prepare(tmp_path, side=(20, 20)),
        _request("validate_images", required_classes=["0", "1"]),
        _request("contact_sheet", images=4),
        identity=_identity(tmp_path),
    )
    prepared, validated, sheet = (reply["result"] for reply in replies)
    assert prepared["images"] == 92
    assert validated["passed"] is True
    assert validated["digest"] == prepared["digest"]
    assert sheet["images"] == 4
    for result in (prepared, validated, sheet):
        assert result["seconds"] >= 0
        assert 10**7 < result["peak_memory_bytes"] < 2 * 10**9
        assert 0 <= result["cpu_seconds"] < 60
    assert err == ""


def test_weights_are_drawn_and_evaluated_by_the_same_process(tmp_path: Path) -> None:
    weights = str(tmp_path / "initial.safetensors")
    replies, err = _ask(
        _prepare(tmp_path, side=(20, 20)),
        _request(
            "initial_weights", network=SMALL_RESNET, channels=1, classes=2, seed=0, path=weights
        ),
        _request("evaluate", weights=weights, network=SMALL_RESNET, split="test", resamples=20),
        _request("validate_images"),
        _request("evaluate", weights=weights, network=SMALL_RESNET, split="test", resamples=20),
        identity=_identity(tmp_path),
    )
    assert replies[1]["result"]["parameters"] > 1000
    assert replies[2]["error"]["kind"] == "NotValidated"
    assert replies[4]["result"]["images"] == 20
    assert err == ""


def test_what_a_hospital_keeps_is_for_its_owner_alone(tmp_path: Path) -> None:
    _ask(_prepare(tmp_path), identity=_identity(tmp_path))
    store = tmp_path / "hospital_01"
    for path in (store, *store.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path.name


def test_another_hospital_is_refused_and_its_store_not_touched(tmp_path: Path) -> None:
    request = _prepare(tmp_path) | {"hospital": "hospital_02"}
    (reply,), _ = _ask(request, identity=_identity(tmp_path))
    assert reply["error"]["kind"] == "IdentityRefused"
    assert not (tmp_path / "hospital_02").exists()


def test_a_shared_process_acts_for_each_hospital_in_its_own_store(tmp_path: Path) -> None:
    one = _prepare(tmp_path)
    replies, _ = _ask(
        one,
        one | {"hospital": "hospital_02"},
        identity=_identity(tmp_path, "hospital_01", "hospital_02"),
    )
    assert [reply["result"]["images"] for reply in replies] == [92, 92]
    assert (tmp_path / "hospital_02" / "worker.log").is_file()


@pytest.mark.parametrize(
    "identity",
    [
        "no json",
        {},
        {"hospitals": {}, "previews": True},
        {"hospitals": {"hospital_01": _plain("relative")}, "previews": True},
        {"hospitals": {"hospital_01": {"store": "/tmp/x"}}, "previews": True},
        {"hospitals": {"hospital_01": _plain("/tmp/x") | {"storage": "sealed"}}, "previews": True},
        {"hospitals": {"hospital_01": _plain("/tmp/x")}},
        {"hospitals": {"hospital_01": _plain("/tmp/x")}, "previews": "yes"},
        {"hospitals": {"hospital_01": _plain("/tmp/x", below=None)}, "previews": True},
        {"hospitals": {"hospital_01": _plain("/tmp/x", below=2)}, "previews": True},
    ],
)
def test_without_an_identity_nothing_is_done(tmp_path: Path, identity: Any) -> None:
    replies, _ = _ask(_prepare(tmp_path), identity=identity)
    assert [reply["error"]["kind"] for reply in replies] == ["IdentityRefused"]


def test_pictures_are_refused_where_previews_are_off(tmp_path: Path) -> None:
    replies, _ = _ask(
        _prepare(tmp_path),
        _request("contact_sheet"),
        identity=_identity(tmp_path, previews=False),
    )
    assert replies[1]["error"]["kind"] == "DisclosureRefused"
    assert "png_base64" not in json.dumps(replies)


@pytest.mark.parametrize("line", ["no json", "[1]", '"prepare_images"', "{}"])
def test_a_line_that_is_no_request_is_answered_and_the_next_one_too(
    tmp_path: Path, line: str
) -> None:
    replies, _ = _ask(line, _prepare(tmp_path), identity=_identity(tmp_path))
    assert replies[0]["error"]["kind"] in ("WorkerFailed", "IdentityRefused")
    assert replies[1]["result"]["images"] == 92


def test_an_unknown_task_is_refused(tmp_path: Path) -> None:
    (reply,), _ = _ask(_request("send_everything"), identity=_identity(tmp_path))
    assert reply["error"]["kind"] == "WorkerFailed"
    assert "send_everything" in reply["error"]["seen"]


def test_a_known_error_crosses_whole(tmp_path: Path) -> None:
    (reply,), _ = _ask(
        _request("prepare_images", source={"kind": "medmnist", "path": "/nowhere"}, image_size=28),
        identity=_identity(tmp_path),
    )
    error = error_from_record(reply["error"])
    assert type(error).__name__ == "SourceMissing"
    assert "/nowhere" in str(error)


def test_an_unforeseen_error_gives_its_type_alone_and_its_text_to_the_hospital(
    tmp_path: Path,
) -> None:
    share = {"index": "person7_bacteria", "of": 2}
    (reply,), err = _ask(
        _prepare(tmp_path) | {"arguments": _prepare(tmp_path)["arguments"] | {"share": share}},
        identity=_identity(tmp_path),
    )
    assert reply["error"]["kind"] == "WorkerFailed"
    assert reply["error"]["seen"] == "ValueError"
    assert "person7" not in json.dumps(reply) + err
    assert "person7" in (tmp_path / "hospital_01" / "worker.log").read_text()


def test_nothing_that_libraries_say_of_a_patient_leaves_the_process(tmp_path: Path) -> None:
    root = tmp_path / "images"
    pixels = np.arange(400, dtype=np.uint16).reshape(20, 20)
    # pydicom warns about this value by quoting it, here and when the file is read.
    with pytest.warns(UserWarning, match="SECRET"):
        write_dicom(root / "sick" / "Lovelace.dcm", pixels, PatientBirthDate="SECRET")
    replies, err = _ask(
        _request("prepare_images", source={"kind": "dicom", "path": str(root)}, image_size=20),
        _request("validate_images"),
        identity=_identity(tmp_path),
    )
    assert replies[0]["result"]["unreadable"] == 0
    for secret in ("SECRET", "Lovelace", "MRN-1815"):
        assert secret not in json.dumps(replies) + err


def test_a_full_disk_is_one_clear_error_and_nothing_half_written(tmp_path: Path) -> None:
    small, large = _prepare(tmp_path), _prepare(tmp_path)
    large["arguments"]["source"]["path"] = str(write_npz(tmp_path / "b.npz", train=500))
    replies, _ = _ask(small, identity=_identity(tmp_path))
    store = tmp_path / "hospital_01"
    before = _files(store)
    (reply,), _ = _ask(large, identity=_identity(tmp_path), largest_file_bytes=20_000)
    error = error_from_record(reply["error"])
    assert type(error).__name__ == "StorageError"
    assert "Free disk space" in str(error)
    assert _files(store) == before
    assert not list((store / "datasets").glob(".partial-*"))
    assert replies[0]["result"]["digest"] in (store / "current.json").read_text()


def test_a_polite_end_in_the_middle_leaves_nothing_half_written(tmp_path: Path) -> None:
    source = {"kind": "phantom", "images": 50_000, "test_images": 0, "size": 64}
    lines = [_identity(tmp_path), _request("prepare_images", source=source, image_size=64)]
    datasets = tmp_path / "hospital_01" / "datasets"
    with subprocess.Popen(
        [sys.executable, "-m", "fed_assets.hospital.worker"], stdin=subprocess.PIPE, text=True
    ) as process:
        process.stdin.write("".join(json.dumps(line) + "\n" for line in lines))
        process.stdin.flush()
        deadline = time.monotonic() + 60
        while not list(datasets.glob(".partial-*/images.npy")) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert list(datasets.glob(".partial-*/images.npy"))
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 128 + signal.SIGTERM
    assert list(datasets.iterdir()) == []


def test_file_names_stay_inside_when_images_are_bad(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "images")
    (root / "train" / "NORMAL" / "person77_secret.png").write_bytes(b"")
    source = {"kind": "folder", "path": str(root), "patient_pattern": "^(?P<patient>person[0-9]+)"}
    replies, err = _ask(
        _request("prepare_images", source=source, image_size=20),
        _request("validate_images"),
        identity=_identity(tmp_path),
    )
    assert replies[0]["result"]["unreadable"] == 1
    assert replies[1]["result"]["passed"] is False
    assert "person77" not in json.dumps(replies) + err


def _logged_as_left(reply: Request) -> tuple[int, str]:
    """Returns the size and digest that the log must have of a reply: all but the log's own head."""
    content = {name: dict(value) for name, value in reply.items()}
    for part in (content, content.get("result", {})):
        part.pop("outbox", None)
    body = json.dumps(content).encode()
    return len(body), sha256(body)


def test_what_was_asked_and_what_left_stand_in_the_outbox_log(tmp_path: Path) -> None:
    weights = str(tmp_path / "initial.safetensors")
    requests = [
        _prepare(tmp_path, side=(20, 20)),
        _request("contact_sheet", images=4),
        _request("validate_images", required_classes=["0", "1"]),
        _request(
            "initial_weights", network=SMALL_RESNET, channels=1, classes=2, seed=0, path=weights
        ),
        _request("evaluate", weights=weights, network=SMALL_RESNET, split="test", resamples=20),
        _request("evaluate", weights="/nowhere", network=SMALL_RESNET, split="test"),
        _request("send_everything"),
        _request("clear_away"),
    ]
    replies, _ = _ask(*requests, identity=_identity(tmp_path) | {"peer": "run 1a2b3c4d"})
    entries = _outbox(tmp_path)
    asked, left = entries[::2], entries[1::2]
    assert {entry.kind for entry in asked} == {"asked"}
    assert {entry.kind for entry in left} == {"left"}
    assert {entry.peer for entry in entries} == {"run 1a2b3c4d"}
    assert [entry.what for entry in asked] == [
        *("images", "preview", "validation", "initial weights", "evaluation", "evaluation"),
        *("an unknown task", "clearing away"),
    ]
    assert [entry.what for entry in left] == [
        *("images", "preview", "validation", "initial weights", "evaluation"),
        *("error (evaluation)", "error (an unknown task)", "clearing away"),
    ]
    for entry, request in zip(asked, requests, strict=True):
        sent = json.dumps(request).encode()
        assert (entry.size_bytes, entry.digest) == (len(sent), sha256(sent))
    for entry, reply in zip(left, replies, strict=True):
        assert (entry.size_bytes, entry.digest) == _logged_as_left(reply)
        head = reply.get("result", reply)["outbox"]
        assert head == {"entries": entry.number, "hash": entry.hash}


def test_who_does_not_say_who_he_is_is_unknown(tmp_path: Path) -> None:
    _ask(_request("clear_away"), identity=_identity(tmp_path))
    assert {entry.peer for entry in _outbox(tmp_path)} == {"unknown"}


def test_a_refused_preview_leaves_as_an_error(tmp_path: Path) -> None:
    replies, _ = _ask(
        _prepare(tmp_path), _request("contact_sheet"), identity=_identity(tmp_path, previews=False)
    )
    asked, left = _outbox(tmp_path)[2:]
    assert (asked.what, left.what) == ("preview", "error (preview)")
    assert (left.size_bytes, left.digest) == _logged_as_left(replies[1])


def test_a_shared_process_notes_each_hospitals_own_alone(tmp_path: Path) -> None:
    _ask(
        _request("clear_away"),
        _request("clear_away", "hospital_02"),
        _request("clear_away", "hospital_03"),
        identity=_identity(tmp_path, "hospital_01", "hospital_02"),
    )
    for hospital in ("hospital_01", "hospital_02"):
        assert [entry.kind for entry in _outbox(tmp_path, hospital)] == ["asked", "left"]
    assert not (tmp_path / "hospital_03").exists()


def test_the_outbox_log_holds_nothing_of_a_patient(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "images")
    (root / "train" / "NORMAL" / "person77_secret.png").write_bytes(b"")
    source = {"kind": "folder", "path": str(root), "patient_pattern": "^(?P<patient>person[0-9]+)"}
    _ask(
        _request("prepare_images", source=source, image_size=20),
        _request("validate_images"),
        _request("contact_sheet", images=4),
        _request("person77"),
        identity=_identity(tmp_path),
    )
    assert len(_outbox(tmp_path)) == 8
    assert b"person" not in (tmp_path / "hospital_01" / OUTBOX_LOG).read_bytes()


def test_the_outbox_log_can_be_read_where_nothing_can_be_noted(tmp_path: Path) -> None:
    identity = _sealed(tmp_path)
    _ask(_request("clear_away"), identity=identity)
    log = tmp_path / "hospital_01" / OUTBOX_LOG
    before = log.read_bytes()
    shown, _ = _ask(_request("show_outbox"), identity=identity)
    content = base64.b64decode(shown[0]["result"]["log"])
    assert [entry.what for entry in entries_of(content)] == ["clearing away", "clearing away"]
    assert log.read_bytes() == before
    log.write_bytes(before[:-9] + b"?" + before[-8:])
    replies, _ = _ask(_request("clear_away"), _request("show_outbox"), identity=identity)
    assert replies[0]["error"]["kind"] == "StorageError"
    content = base64.b64decode(replies[1]["result"]["log"])
    fault = first_fault(content, hospital="hospital_01")
    assert fault is not None
    assert fault.said == "entry 2 was changed"


def test_a_log_that_is_not_there_is_told_and_not_made(tmp_path: Path) -> None:
    (reply,), _ = _ask(_request("show_outbox"), identity=_sealed(tmp_path))
    assert reply["error"]["what"] == "The outbox log cannot be read"
    assert list(tmp_path.iterdir()) == []


def test_nothing_leaves_that_cannot_be_noted(tmp_path: Path) -> None:
    _ask(_prepare(tmp_path), identity=_identity(tmp_path))
    log = tmp_path / "hospital_01" / OUTBOX_LOG
    size = log.stat().st_size

    request = _request("contact_sheet", images=4)
    for room_bytes, entries in ((600, 3), (0, 3)):
        (reply,), _ = _ask(
            request, identity=_identity(tmp_path), largest_file_bytes=size + room_bytes
        )
        error = error_from_record(reply["error"])
        assert type(error).__name__ == "StorageError"
        assert "cannot be written, so nothing leaves the hospital" in str(error)
        assert reply.keys() == {"error"}
        assert len(_outbox(tmp_path)) == entries
    (reply,), _ = _ask(request, identity=_identity(tmp_path))  # the positive control
    assert reply["result"]["images"] == 4


def _content(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_a_sealed_store_shows_no_pixel_and_no_patient_and_gives_the_same_answers(
    tmp_path: Path,
) -> None:
    root = write_folder(tmp_path / "images", images=24)
    (root / "train" / "NORMAL" / "persontrain0_CANARY.png").write_bytes(b"no picture")
    source = {"kind": "folder", "path": str(root), "patient_pattern": "^(?P<patient>person[^_]+)"}
    weights = str(tmp_path / "initial.safetensors")
    evaluated = {"weights": weights, "network": SMALL_RESNET, "split": "test", "resamples": 20}
    requests = [
        _request("prepare_images", source=source, image_size=20),
        _request(
            "initial_weights", network=SMALL_RESNET, channels=1, classes=2, seed=0, path=weights
        ),
        _request("validate_images"),
        _request("evaluate", **evaluated),
        _request("contact_sheet", images=4),
    ]
    broken, _ = _ask(*requests[:3], identity=_identity(tmp_path / "plain"))
    sealed_broken, err = _ask(*requests[:3], identity=_sealed(tmp_path / "sealed"))
    (root / "train" / "NORMAL" / "persontrain0_CANARY.png").unlink()
    plain, _ = _ask(*requests, identity=_identity(tmp_path / "plain"))
    sealed, more = _ask(*requests, identity=_sealed(tmp_path / "sealed"))
    for one, other in zip(broken + plain, sealed_broken + sealed, strict=True):
        for result in (one["result"], other["result"]):
            for name in ("seconds", "cpu_seconds", "peak_memory_bytes", "outbox"):
                del result[name]
        assert one == other
    assert err + more == ""
    digest = plain[0]["result"]["digest"]
    pixels = np.load(tmp_path / "plain/hospital_01/datasets" / digest[:16] / "images.npy")
    canaries = [b"persontrain", b"CANARY", b"NORMAL", digest.encode(), b'"peer"']
    canaries += [image.tobytes()[100:132] for image in pixels]
    open_files, sealed_files = _content(tmp_path / "plain"), _content(tmp_path / "sealed")
    assert all(canary in open_files for canary in canaries)  # the search finds what is there
    assert not [canary for canary in canaries if canary in sealed_files]
    kept = _sealed(tmp_path / "sealed")["hospitals"]["hospital_01"]
    assert "persontrain0_CANARY" in read_log(Store.of("hospital_01", kept))


def test_a_sealed_store_is_for_its_owner_alone(tmp_path: Path) -> None:
    _ask(_prepare(tmp_path), identity=_sealed(tmp_path / "sealed"))
    for path in (tmp_path / "sealed").rglob("*"):
        if path.name != "sealed":
            mode = stat.S_IMODE(path.stat().st_mode)
            assert mode == (0o700 if path.is_dir() else 0o600), path.name


@pytest.mark.parametrize("file", ["current.json", "images.npy", "manifest.parquet", "dataset.json"])
def test_a_sealed_file_that_was_changed_is_named_and_mended_by_making_it_again(
    tmp_path: Path, file: str
) -> None:
    identity = _sealed(tmp_path)
    _ask(_prepare(tmp_path), identity=identity)
    (path,) = (tmp_path / "hospital_01").rglob(file)
    raw = bytearray(path.read_bytes())
    raw[2048] ^= 1
    path.write_bytes(raw)
    replies, _ = _ask(
        _request("contact_sheet"),
        _request("contact_sheet"),
        _prepare(tmp_path),
        _request("contact_sheet"),
        identity=identity,
    )
    for reply in replies[:2]:
        assert reply["error"]["kind"] == "SealBroken"
        assert reply["error"]["where"].endswith(file)
    assert replies[3]["result"]["images"] == 24


def test_small_counts_stay_in_the_process_of_each_hospital_that_suppresses_them(
    tmp_path: Path,
) -> None:
    weights = str(tmp_path / "initial.safetensors")
    network = {"network": SMALL_RESNET, "channels": 1, "classes": 2, "seed": 0}
    evaluated = {"weights": weights, "network": SMALL_RESNET, "split": "test", "resamples": 20}
    prepare = _prepare(tmp_path, side=(20, 20), train=60, val=12, test=30)
    names = ("hospital_01", "hospital_02")
    stores = {name: _plain(tmp_path / name, below=10 * at) for at, name in enumerate(names)}
    replies, _ = _ask(
        _request("initial_weights", **network, path=weights),
        *(
            request | {"hospital": name}
            for name in names
            for request in (
                prepare,
                _request("validate_images", required_classes=["0", "1"]),
                _request("evaluate", **evaluated),
            )
        ),
        identity={"hospitals": stores, "previews": False},
    )
    _, *answers = (reply["result"] for reply in replies)
    whole, suppressed = answers[:3], answers[3:]
    assert whole[0]["counts"]["validation"] == {"0": 6, "1": 6}
    assert whole[0]["images"] == 102
    assert suppressed[0]["counts"] == {
        "train": {"0": 30, "1": 30},
        "validation": {"0": "suppressed", "1": "suppressed"},
        "test": {"0": 15, "1": 15},
    }
    assert {each["of"] for each in suppressed[1]["findings"]} == {"suppressed", 2}
    assert 102 in {each["of"] for each in whole[1]["findings"]}
    assert len(whole[2]["roc"]) == 1
    assert (suppressed[2]["roc"], suppressed[2]["images"]) == ("suppressed", 30)
    # What the outbox log has is what left, and not what was reckoned.
    left = [entry for entry in _outbox(tmp_path, "hospital_02") if entry.kind == "left"]
    assert [(each.size_bytes, each.digest) for each in left] == [
        _logged_as_left(reply) for reply in replies[4:]
    ]


def test_an_error_about_the_data_keeps_its_numbers_in_where_counts_are_suppressed(
    tmp_path: Path,
) -> None:
    source = {
        "kind": "medmnist",
        "path": str(write_npz(tmp_path / "a.npz", train_labels=np.zeros((7, 1), np.uint8))),
    }
    request = _request("prepare_images", source=source, image_size=20)
    seen = []
    for below in (0, 10):
        store = _plain(tmp_path / "hospital_01", below=below)
        (reply,), _ = _ask(
            request, identity={"hospitals": {"hospital_01": store}, "previews": False}
        )
        seen.append(reply["error"]["seen"])
    assert seen == [
        "train has 60 images and 7 labels",
        "train has … images and … labels",
    ]


def test_without_its_own_key_a_sealed_store_stays_shut(tmp_path: Path) -> None:
    _ask(_prepare(tmp_path), identity=_sealed(tmp_path))
    key_file = tmp_path / "keys" / "hospital_01.json"
    before = key_file.read_bytes()
    another = _prepare(tmp_path) | {"hospital": "hospital_02"}
    _ask(another, identity=_sealed(tmp_path, "hospital_02"))
    for spoil in (
        lambda: key_file.write_bytes((tmp_path / "keys" / "hospital_02.json").read_bytes()),
        lambda: (key_file.write_bytes(before), key_file.chmod(0o640)),
        key_file.unlink,
    ):
        spoil()
        replies, _ = _ask(_request("contact_sheet"), _prepare(tmp_path), identity=_sealed(tmp_path))
        assert [reply["error"]["kind"] for reply in replies] == ["KeyRefused"] * 2
    assert not key_file.exists()
    key_file.touch(mode=0o600)
    key_file.write_bytes(before)
    (reply,), _ = _ask(_request("contact_sheet"), identity=_sealed(tmp_path))
    assert reply["result"]["images"] == 24


def test_a_key_is_rotated_by_the_hospitals_own_process(tmp_path: Path) -> None:
    identity = _sealed(tmp_path)
    replies, _ = _ask(
        _prepare(tmp_path),
        _request("contact_sheet"),
        _request("rotate_key"),
        _request("contact_sheet"),
        identity=identity,
    )
    assert replies[2]["result"]["files"] == 7
    assert replies[1]["result"]["png_base64"] == replies[3]["result"]["png_base64"]
    (reply,), _ = _ask(_request("rotate_key"), identity=_identity(tmp_path / "plain"))
    assert reply["error"]["kind"] == "KeyRefused"
