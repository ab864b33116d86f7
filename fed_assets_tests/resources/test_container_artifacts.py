# No `from __future__ import annotations` here: Dagster reads the annotations of asset functions.

import json
import logging
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dagster import (
    AssetExecutionContext,
    DagsterInstance,
    StaticPartitionsDefinition,
    asset,
    materialize,
)

from fed_assets.containers.issuing import REVOKED, Issued
from fed_assets.containers.place import Place, write_place
from fed_assets.errors import ContainerRefused, StorageError
from fed_assets.resources.artifact_store import artifacts_of, read_value, write_whole
from fed_assets.resources.home import COORDINATOR, Home, StoredOn
from fed_assets.resources.orchestrator_container import fetch_files, values_in
from fed_assets_tests.azure_storage import Azurite

SANDBOXES = StaticPartitionsDefinition(["minimal", "eyes_on"])
REPORT = "artifacts/report/minimal/report.html"
ROUND = "federations/minimal/0123/outbox/rounds/0001/global.safetensors"


@asset(partitions_def=SANDBOXES, key_prefix=["north"])
def images(context: AssetExecutionContext) -> dict[str, Any]:
    return {"sandbox": context.partition_key, "images": 3}


@asset(partitions_def=SANDBOXES)
def report(images: dict[str, Any]) -> dict[str, Any]:
    return images | {"read": True}


class Machine:
    """A home on one machine, whose orchestrator has a container."""

    def __init__(self, root: Path, issued: Issued) -> None:
        self.home = Home(root, StoredOn.BLOB).prepare()
        self.issued = issued
        write_place(self.home.container(COORDINATOR), issued.own)

    def make(self, *assets: Any, select: Any = None) -> Any:
        with DagsterInstance.ephemeral() as instance:
            made = materialize(
                [*assets],
                partition_key="minimal",
                selection=select,
                resources={"io_manager": artifacts_of(self.home)},
                instance=instance,
                raise_on_error=False,
            )
            events = json.dumps([str(each) for each in instance.all_logs(made.run_id)])
            assert "sig=" not in events
            return made


@pytest.fixture
def party(azurite: Azurite) -> str:
    return azurite.party()


@pytest.fixture
def machine(azurite: Azurite, party: str, tmp_path: Path) -> Machine:
    return Machine(tmp_path / "home", azurite.issue(party))


def test_values_and_files_go_on_at_another_machine(
    azurite: Azurite, party: str, machine: Machine, tmp_path: Path
) -> None:
    write_whole(machine.home.root / REPORT, b"<html>")
    write_whole(machine.home.root / ROUND, b"weights")
    write_whole(machine.home.root / "keys" / "models.key", b"secret")
    write_whole(machine.home.root / "hospitals" / "north" / "minimal" / "images.npy", b"pixels")
    assert machine.make(images, report).success
    assert azurite.names(party) == {
        *("values/north/images/minimal.json", "values/report/minimal.json"),
        *(f"files/{REPORT}", f"files/{ROUND}"),
    }
    assert not (machine.home.artifacts / "report" / "minimal.json").exists()
    other = Machine(tmp_path / "other", machine.issued)
    assert read_value(other.home, "report/minimal", cure="") == {
        "sandbox": "minimal",
        "images": 3,
        "read": True,
    }
    assert read_value(other.home, "report/eyes_on", cure="") is None
    assert other.make(images, report, select=[report]).success
    assert (other.home.root / REPORT).read_bytes() == b"<html>"
    assert (other.home.root / ROUND).read_bytes() == b"weights"


def test_a_value_that_was_never_made_and_a_damaged_one_are_told(
    azurite: Azurite, party: str, machine: Machine
) -> None:
    made = machine.make(images, report, select=[report])
    assert not made.success
    assert "has no value in this sandbox" in str(made.all_events)
    with azurite.owned(party) as container:
        container.upload_blob("values/north/images/minimal.json", b"{")
    with pytest.raises(StorageError, match="is damaged"):
        read_value(machine.home, "north/images/minimal", cure="")
    assert "is damaged" in str(machine.make(images, report, select=[report]).all_events)


def test_a_container_that_vanishes_in_mid_run_is_told_and_what_was_made_stays(
    azurite: Azurite, party: str, machine: Machine
) -> None:
    @asset(partitions_def=SANDBOXES)
    def lost(images: dict[str, Any]) -> dict[str, Any]:
        write_whole(machine.home.root / REPORT, b"<html>")
        azurite.owned(party).delete_container()
        return images

    made = machine.make(images, lost)
    assert not made.success
    failure = str(made.failure_data_for_node("lost"))
    assert "AccessRefused" in failure  # the policy of its token is gone with it
    assert "lies on this machine" in failure
    assert (machine.home.root / REPORT).read_bytes() == b"<html>"
    issued = azurite.issue(party)
    write_place(machine.home.container(COORDINATOR), issued.own)
    assert machine.make(images, report).success
    assert f"files/{REPORT}" in azurite.names(party)


def test_a_dead_token_stops_a_run_before_its_first_step(machine: Machine) -> None:
    write_place(machine.home.container(COORDINATOR), machine.issued.dead[REVOKED])
    with pytest.raises(ContainerRefused, match="does not let"):
        fetch_files(machine.home)
    with pytest.raises(ContainerRefused, match="does not let"):
        read_value(machine.home, "report/minimal", cure="")
    made = machine.make(images)
    assert not made.success
    assert "AccessRefused" in str(made.all_events)
    assert not made.events_for_node("north__images")


def test_an_identity_is_asked_for_at_the_accounts_own_address() -> None:
    # That Azure lets it in can be tried on Azure alone.
    place = Place("https://account.blob.core.usgovcloudapi.net/orchestrator", identity="one")
    for each, kind in ((place, "managed_identity"), (replace(place, identity=""), "default")):
        values = values_in(each)
        assert str(values) == "abfs://orchestrator/values"
        client = values.fs.service_client
        assert client.url == "https://account.blob.core.usgovcloudapi.net/"
        assert kind in type(client.credential).__module__


def test_the_store_starts_no_thread_before_its_first_value(machine: Machine) -> None:
    # A run that goes behind Landlock takes one thread alone, and its resources are there before.
    code = (
        "import os, sys; from pathlib import Path;"
        "from fed_assets.resources.artifact_store import artifacts_of;"
        "from fed_assets.resources.home import Home, StoredOn;"
        "artifacts_of(Home(Path(sys.argv[1]), StoredOn.BLOB)).create_io_manager(None);"
        "print(len(os.listdir('/proc/self/task')))"
    )
    command = [sys.executable, "-c", code, str(machine.home.root)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "1\n"


def test_no_token_is_logged(
    machine: Machine, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG):
        assert machine.make(images, report).success
    signature = machine.issued.own.token.split("sig=")[1]
    told = caplog.text + "".join(capfd.readouterr())
    assert signature[:20] not in told
    holding = [path for path in machine.home.root.rglob("*") if path.is_file()]
    with_token = [path.name for path in holding if signature.encode() in path.read_bytes()]
    assert with_token == ["container.json"]
