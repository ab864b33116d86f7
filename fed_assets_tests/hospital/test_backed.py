"""A hospital's store that the hospital's own container backs."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fed_assets.containers.place import Place, write_place
from fed_assets.errors import ContainerRefused, RunConfigError, SealBroken
from fed_assets.hospital.backed import fetched, lasting_files, put_away
from fed_assets.hospital.files import Store
from fed_assets.hospital.own_log import PLAIN_LOG
from fed_assets.hospital.store import open_store, rotate_key
from fed_assets.privacy.chain import OUTBOX_LOG
from fed_assets_tests.azure_storage import Azurite

QUICK = {
    "source": {"kind": "phantom", "images": 40, "test_images": 8, "size": 16},
    "image_size": 16,
}
SEALED = {"storage": "sealed", "key_custody": "hospital"}
PLAIN = {"storage": "plain", "key_custody": "none"}
IMAGES = "datasets/0123456789abcdef/images.npy"


@dataclass
class Hospital:
    """One hospital's place on a machine."""

    azurite: Azurite
    party: str
    record: dict[str, Any]

    @property
    def store(self) -> Store:
        return Store.of(self.party, self.record)

    def given(self, place: Place) -> None:
        write_place(Path(self.record["container"]), place)

    def write(self, name: str, content: bytes) -> None:
        path = self.store.folder / name
        path.parent.mkdir(exist_ok=True)
        self.store.write(path, content)

    def here(self) -> dict[str, bytes]:
        folder = self.store.folder
        return {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in lasting_files(self.store)
        }

    def there(self) -> dict[str, bytes]:
        start = f"{self.party}/minimal/"
        with self.azurite.owned(self.party) as container:
            return {
                name.removeprefix(start): container.download_blob(name).readall()
                for name in container.list_blob_names()
            }

    @contextmanager
    def process(self) -> Iterator[Any]:
        """Yields a function that asks the hospital's process for a task."""
        identity = {"hospitals": {self.party: self.record}, "previews": False}
        with subprocess.Popen(
            [sys.executable, "-m", "fed_assets.hospital.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps(identity) + "\n")

            def ask(task: str, **arguments: Any) -> Any:
                request = {"task": task, "hospital": self.party, "arguments": arguments}
                process.stdin.write(json.dumps(request) + "\n")
                process.stdin.flush()
                return json.loads(process.stdout.readline())

            yield ask
            process.stdin.close()


@pytest.fixture(params=[PLAIN, SEALED], ids=["plain", "sealed"])
def hospital(request: pytest.FixtureRequest, azurite: Azurite, tmp_path: Path) -> Hospital:
    party = azurite.party()
    places = {
        "store": str(tmp_path / "minimal"),
        "key_file": str(tmp_path / "keys" / "minimal.json"),
        "container": str(tmp_path / "keys" / "container.json"),
        "suppress_below": 0,
    }
    made = Hospital(azurite, party, {**request.param, **places})
    made.given(azurite.issue(party).own)
    open_store(fetched(made.store))
    return made


def test_another_machine_goes_on_from_the_container(hospital: Hospital) -> None:
    hospital.write(IMAGES, b"NUMPY pixels")
    hospital.write("current.json", b"{}")
    (hospital.store.folder / "tmp").mkdir()
    for of_a_moment in ("tmp/a", ".partial-1-ab", "privacy.lock"):
        (hospital.store.folder / of_a_moment).write_bytes(b"x")
    (hospital.store.folder / PLAIN_LOG).write_bytes(b"patient")
    put_away(hospital.store)
    sealed = hospital.record["storage"] == "sealed"
    assert hospital.there().keys() == {IMAGES, "current.json"} | (set() if sealed else {PLAIN_LOG})
    assert (b"pixels" in hospital.there()[IMAGES]) is not sealed
    shutil.rmtree(hospital.store.folder)
    store = open_store(fetched(hospital.store))
    assert store.read(store.folder / IMAGES) == b"NUMPY pixels"
    assert hospital.here() == hospital.there()


@pytest.mark.parametrize("hospital", [SEALED], indirect=True)
def test_a_sealed_store_is_rotated_in_its_container_too(hospital: Hospital) -> None:
    hospital.write("current.json", b"{}")
    put_away(hospital.store)
    before = hospital.there()
    assert rotate_key(hospital.store) == 1
    put_away(hospital.store)
    assert hospital.there() != before
    shutil.rmtree(hospital.store.folder)
    store = open_store(fetched(hospital.store))
    assert store.read(store.folder / "current.json") == b"{}"


def test_what_somebody_changed_in_the_container_is_refused(hospital: Hospital) -> None:
    hospital.write("current.json", b"{}")
    put_away(hospital.store)
    name, forged = f"{hospital.party}/minimal/current.json", b"forged"
    with hospital.azurite.owned(hospital.party) as container:
        container.upload_blob(name, forged, overwrite=True)
    with pytest.raises(ContainerRefused, match="not what was put there"):
        fetched(hospital.store)
    # Whoever knows of the digest forges it too; what is sealed is refused all the same.
    digest = hashlib.sha256(forged).hexdigest()
    with hospital.azurite.owned(hospital.party) as container:
        container.upload_blob(name, forged, overwrite=True, metadata={"sha256": digest})
    fetched(hospital.store)
    if hospital.store.keys is not None:
        with pytest.raises(SealBroken):
            hospital.store.read(hospital.store.folder / "current.json")


def test_a_process_puts_away_what_its_answer_rests_on(azurite: Azurite, tmp_path: Path) -> None:
    party = azurite.party()
    place = {"store": str(tmp_path / "minimal"), "container": str(tmp_path / "container.json")}
    hospital = Hospital(azurite, party, {**PLAIN, **place, "suppress_below": 0})
    issued = azurite.issue(party)
    hospital.given(issued.own)
    with hospital.process() as ask:
        digest = ask("prepare_images", **QUICK)["result"]["digest"]
        kept = hospital.there()
        assert f"datasets/{digest[:16]}/images.npy" in kept
        assert kept[OUTBOX_LOG] == (hospital.store.folder / OUTBOX_LOG).read_bytes()
        for why, dead in issued.dead.items():
            hospital.given(dead)
            error = ask("clear_away")["error"]
            assert error["kind"] == "AccessRefused", why
            assert "sig=" not in json.dumps(error)
        azurite.owned(party).delete_container()
        hospital.given(issued.own)
        error = ask("clear_away")["error"]
        assert error["kind"] == "AccessRefused"  # the policy of its token is gone with it
        assert "lies on this machine" in error["cure"]
        assert hospital.here().items() >= {**kept, PLAIN_LOG: hospital.here()[PLAIN_LOG]}.items()
        hospital.given(azurite.issue(party).own)
        assert "result" in ask("clear_away")
        assert kept.items() - hospital.there().items() <= {
            (name, kept[name]) for name in (OUTBOX_LOG, PLAIN_LOG)
        }
        assert hospital.there()[OUTBOX_LOG].startswith(kept[OUTBOX_LOG])
        Path(hospital.record["container"]).unlink()
        assert ask("clear_away")["error"]["kind"] == "ContainerRefused"


def test_a_store_without_a_container_asks_none(tmp_path: Path) -> None:
    store = open_store(fetched(Store(tmp_path / "minimal", "north")))
    put_away(store)
    assert not list(store.folder.glob(".container*"))


def test_where_its_container_is_must_be_told_whole(tmp_path: Path) -> None:
    record = {**PLAIN, "store": str(tmp_path)}
    assert Store.of("north", record).container is None
    with pytest.raises(RunConfigError):
        Store.of("north", {**record, "container": "keys/container.json"})
    store = Store.of("north", {**record, "container": str(tmp_path / "none.json")})
    with pytest.raises(ContainerRefused):
        fetched(store)
