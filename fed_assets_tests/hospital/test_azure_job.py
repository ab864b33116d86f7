from __future__ import annotations

import json
import os
from dataclasses import replace
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from fed_assets.containers.job_messages import Machine, open_account
from fed_assets.errors import ContainerRefused, FedAssetsError, error_from_record
from fed_assets.hospital.azure_job import answer_request, main
from fed_assets.resources.home import Home
from fed_assets.resources.kept import kept
from fed_assets.sandboxes.presets import EYES_OFF, EYES_ON
from fed_assets.sandboxes.sandbox import Sandbox
from fed_assets_tests.hospital.samples import write_folder

Request = dict[str, Any]
LIBRARIES = get_context("forkserver")
LIBRARIES.set_forkserver_preload(["fed_assets.hospital.images", __name__])
MESSAGES = "https://north.blob.core.windows.net/messages"


def _answer(pipe: Connection, request: Any, machine: Machine, weights: dict[str, bytes]) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    pipe.send(answer_request(request, machine, weights))


def answered(request: Any, machine: Machine, weights: dict[str, bytes] | None = None) -> Request:
    """Returns the reply of a process of its own: what tasks print goes into the hospital's log."""
    ours, theirs = LIBRARIES.Pipe()
    process = LIBRARIES.Process(target=_answer, args=(theirs, request, machine, weights or {}))
    process.start()
    theirs.close()
    reply: Request = json.loads(ours.recv())
    process.join(60)
    return reply


def refusal(reply: Request) -> FedAssetsError:
    return error_from_record(reply["error"])


def asked(*tasks: str, sandbox: Sandbox = EYES_ON, hospital: str = "north", **last: Any) -> Request:
    requests = [{"task": task, "hospital": hospital, "arguments": {}} for task in tasks]
    requests[-1]["arguments"] = last
    return {
        "identity": {
            "hospitals": {hospital: kept(Home(Path()), sandbox, hospital)},
            "previews": sandbox.previews,
            "peer": "run 1",
        },
        "requests": requests,
    }


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    images = tmp_path / "mounted"
    write_folder(images / "chest")
    return Machine("north", tmp_path / "home", images)


def folder_of(path: str) -> Request:
    return {"source": {"kind": "folder", "path": path}, "image_size": 16}


def test_images_are_read_where_they_are_mounted_and_kept_in_the_machines_home(
    machine: Machine,
) -> None:
    request = asked("prepare_images", **folder_of("${FED_ASSETS_DATA}/chest"))
    result = answered(request, machine)["result"]
    assert result["images"] > 0
    assert (machine.home / "hospitals" / "north" / "eyes_on" / "current.json").is_file()
    assert str(machine.images) not in json.dumps(result)


def test_a_sealed_stores_key_is_made_in_the_machines_home(machine: Machine) -> None:
    source = {"source": {"kind": "phantom", "images": 40, "size": 16}, "image_size": 16}
    assert answered(asked("prepare_images", sandbox=EYES_OFF, **source), machine)["result"]
    assert (machine.home / "hospitals" / "north" / "keys" / "eyes_off.json").is_file()


@pytest.mark.parametrize(
    ("path", "images"),
    [
        ("/etc", True),
        ("${FED_ASSETS_DATA}/../home", True),
        ("${FED_ASSETS_DATA}/chest", False),
        ("${FED_ASSETS_DATA}/elsewhere", True),
    ],
)
def test_images_that_the_job_was_not_given_are_refused(
    machine: Machine, path: str, images: bool
) -> None:
    machine = machine if images else replace(machine, images=None)
    refused = refusal(answered(asked("prepare_images", **folder_of(path)), machine))
    assert type(refused).__name__ == "SourceMissing"


def test_rows_do_not_leave_where_counts_are_suppressed(machine: Machine) -> None:
    request = asked("prepare_images", "contact_sheet", images=4)
    request["requests"][0]["arguments"] = {
        "source": {"kind": "phantom", "images": 40, "size": 16},
        "image_size": 16,
    }
    assert answered(request, machine)["result"]["png_base64"]  # the positive control
    request["identity"]["hospitals"]["north"]["suppress_below"] = 10
    refused = refusal(answered(request, machine))
    assert type(refused).__name__ == "DisclosureRefused"
    assert "nothing of it leaves" in refused.what


def test_weights_come_as_a_file_that_is_gone_after(machine: Machine) -> None:
    refused = refusal(answered(asked("evaluate", network={}), machine, {"weights": b"no weights"}))
    assert "KeyError" not in str(refused)
    assert not list(machine.home.rglob("*.safetensors"))


def test_a_machine_is_one_hospitals(machine: Machine) -> None:
    other = refusal(answered(asked("clear_away", hospital="south"), machine))
    assert type(other).__name__ == "IdentityRefused"
    assert not machine.home.exists()
    assert answered(asked("clear_away"), machine)["result"] is not None
    moved = refusal(
        answered(asked("clear_away", hospital="south"), replace(machine, hospital="south"))
    )
    assert "the folder of another hospital" in moved.what


@pytest.mark.parametrize("place", ["/etc/store", "../store"])
def test_nothing_is_kept_outside_of_the_home(machine: Machine, place: str) -> None:
    request = asked("clear_away")
    request["identity"]["hospitals"]["north"]["store"] = place
    refused = refusal(answered(request, machine))
    assert "outside of its hospital's folder" in refused.what


@pytest.mark.parametrize(
    "request_", [None, [], {}, {"identity": {"hospitals": {"north": {}}}, "requests": []}]
)
def test_nonsense_is_answered_by_its_kind_alone(machine: Machine, request_: Any) -> None:
    refused = refusal(answered(request_, machine))
    assert refused.what == "A hospital's job came upon an error that nobody foresaw"
    assert refused.seen in ("TypeError", "KeyError", "IndexError")


def test_the_container_is_opened_by_what_the_hospital_keeps_or_by_its_identity(
    tmp_path: Path,
) -> None:
    with open_account(MESSAGES, tmp_path) as account:
        assert type(account.credential).__name__ == "DefaultAzureCredential"
    own = tmp_path / "keys" / "messages.json"
    own.parent.mkdir()
    own.touch(0o600)
    own.write_text(json.dumps({"url": MESSAGES, "token": "sv=1&sig=abc"}))
    with open_account(MESSAGES, tmp_path) as account:
        assert type(account.credential).__name__ == "AzureSasCredential"
        assert account.url == "https://north.blob.core.windows.net/"
    own.write_text(json.dumps({"url": f"{MESSAGES}2", "token": "sv=1&sig=abc"}))
    with pytest.raises(ContainerRefused, match="another than the hospital's"):
        open_account(MESSAGES, tmp_path)


def test_a_job_without_its_places_says_how_it_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["azure_job", "north"])
    with pytest.raises(SystemExit, match="HOSPITAL MESSAGES HOME"):
        main()
