from __future__ import annotations

import io
import os
from dataclasses import replace
from pathlib import Path

import pytest

from fed_assets.containers.container import Container, Found
from fed_assets.containers.folder_copy import FolderCopy
from fed_assets.containers.index import INDEX
from fed_assets.containers.issuing import WRITE_ONLY
from fed_assets.containers.place import Place
from fed_assets.errors import ContainerRefused
from fed_assets_tests.azure_storage import Azurite

PREFIX = "north/minimal/"


def copy_of(folder: Path, place: Place, prefix: str = PREFIX) -> FolderCopy:
    folder.mkdir(exist_ok=True)

    def files() -> list[Path]:
        return sorted(path for path in folder.rglob("[!.]*") if path.is_file())

    return FolderCopy(folder, Container(place), prefix, files)


def content(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("[!.]*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def write(path: Path, text: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text)


@pytest.fixture
def party(azurite: Azurite) -> str:
    return azurite.party()


@pytest.fixture
def own(azurite: Azurite, party: str) -> Place:
    return azurite.issue(party).own


def test_a_new_machine_gets_all_that_another_kept(
    azurite: Azurite, own: Place, party: str, tmp_path: Path
) -> None:
    first = copy_of(tmp_path / "first", own)
    write(first.folder / "datasets" / "images", b"pixels" * 100)
    write(first.folder / "current", b"one")
    assert first.fetch().files == 0
    kept = first.keep()
    assert (kept.files, kept.sent_bytes) == (2, 603)
    assert azurite.names(party) == {f"{PREFIX}current", f"{PREFIX}datasets/images"}
    second = copy_of(tmp_path / "second", own)
    assert second.fetch().received_bytes == 603
    assert content(second.folder) == content(first.folder)
    assert {path.stat().st_mode & 0o077 for path in second.folder.rglob("*")} == {0}


def test_only_what_changed_is_moved(own: Place, tmp_path: Path) -> None:
    first, second = (copy_of(tmp_path / name, own) for name in ("first", "second"))
    write(first.folder / "a", b"a")
    write(first.folder / "b", b"b")
    first.keep()
    second.fetch()
    assert (first.keep().files, second.keep().files, second.fetch().files) == (0, 0, 0)
    write(first.folder / "a", b"changed")
    (first.folder / "b").unlink()
    assert first.keep().sent_bytes == 7
    assert second.fetch().received_bytes == 7
    assert content(first.folder) == {"a": b"changed"}
    # What one machine removed, another keeps: nothing is lost by a container.
    assert content(second.folder) == {"a": b"changed", "b": b"b"}


def test_what_two_machines_changed_is_refused_and_both_stay(own: Place, tmp_path: Path) -> None:
    first, second = (copy_of(tmp_path / name, own) for name in ("first", "second"))
    write(first.folder / "a", b"a")
    first.keep()
    second.fetch()
    write(first.folder / "a", b"first")
    write(second.folder / "a", b"second")
    first.keep()
    for act in (second.fetch, second.keep):
        with pytest.raises(ContainerRefused, match="changed here, and by another machine"):
            act()
    assert (content(first.folder), content(second.folder)) == ({"a": b"first"}, {"a": b"second"})
    assert first.fetch().files == 0


def test_a_process_that_died_before_its_index_was_written_is_gone_on_from(
    own: Place, tmp_path: Path
) -> None:
    copy = copy_of(tmp_path / "first", own)
    write(copy.folder / "a", b"a")
    copy.keep()
    (copy.folder / INDEX).unlink()
    assert (copy.fetch().files, copy.keep().files) == (0, 0)
    write(copy.folder / "a", b"again")
    assert copy.keep().files == 1


def test_a_container_that_vanishes_loses_nothing(
    azurite: Azurite, own: Place, party: str, tmp_path: Path
) -> None:
    copy = copy_of(tmp_path / "first", own)
    write(copy.folder / "a", b"a")
    copy.keep()
    azurite.owned(party).delete_container()
    write(copy.folder / "b", b"b")
    with pytest.raises(ContainerRefused, match="lies on this machine"):
        copy.keep()
    assert content(copy.folder) == {"a": b"a", "b": b"b"}
    again = replace(copy, container=Container(azurite.issue(party).own))
    again.fetch()
    assert again.keep().files == 2
    assert azurite.names(party) == {f"{PREFIX}a", f"{PREFIX}b"}


def test_another_container_gets_all_of_it(azurite: Azurite, own: Place, tmp_path: Path) -> None:
    copy = copy_of(tmp_path / "first", own)
    write(copy.folder / "a", b"a")
    copy.keep()
    party = azurite.party()
    moved = replace(copy, container=Container(azurite.issue(party).own))
    moved.fetch()
    assert moved.keep().files == 1
    assert azurite.names(party) == {f"{PREFIX}a"}


class Misnaming(Container):
    """A service that tells names which Azure itself would never take."""

    named: str

    def found(self, prefix: str) -> dict[str, Found]:
        (found,) = super().found(prefix).values()
        return {prefix + self.named: found}


@pytest.mark.parametrize("name", ["../outside", "datasets/../../outside", "/outside", "a//b"])
def test_a_name_that_leads_out_of_the_folder_is_refused(
    own: Place, tmp_path: Path, name: str
) -> None:
    first = copy_of(tmp_path / "first", own)
    write(first.folder / "a", b"a")
    first.keep()
    container = Misnaming(own)
    container.named = name
    copy = replace(copy_of(tmp_path / "second", own), container=container)
    with pytest.raises(ContainerRefused, match="leads out of the folder"):
        copy.fetch()
    assert not (tmp_path / "outside").exists()


def test_a_link_in_the_folder_is_not_written_through(
    azurite: Azurite, own: Place, party: str, tmp_path: Path
) -> None:
    copy = copy_of(tmp_path / "first", own)
    (tmp_path / "elsewhere").mkdir()
    (copy.folder / "datasets").symlink_to(tmp_path / "elsewhere")
    with azurite.owned(party) as container:
        container.upload_blob(f"{PREFIX}datasets/x", b"x")
    with pytest.raises(ContainerRefused, match="leads out of the folder"):
        copy.fetch()
    assert content(tmp_path / "elsewhere") == {}


def test_content_that_somebody_put_there_otherwise_is_refused(
    azurite: Azurite, own: Place, party: str, tmp_path: Path
) -> None:
    first, second = (copy_of(tmp_path / name, own) for name in ("first", "second"))
    write(first.folder / "a", b"a")
    first.keep()
    with azurite.owned(party) as container:
        known = container.get_blob_client(f"{PREFIX}a").get_blob_properties().metadata
        container.upload_blob(f"{PREFIX}a", io.BytesIO(b"forged"), overwrite=True, metadata=known)
    with pytest.raises(ContainerRefused, match="not what was put there") as told:
        second.fetch()
    assert told.value.where == f"{own.url}/{PREFIX}a"
    assert "backup" in told.value.cure
    assert "remove" not in told.value.cure  # nothing lies here to take its place
    assert content(second.folder) == {}
    assert not list(second.folder.glob(".partial*"))


@pytest.mark.parametrize("keeps_digest", [True, False])
def test_a_damaged_file_is_named_and_comes_again_from_the_machine_that_has_it(
    azurite: Azurite, own: Place, party: str, tmp_path: Path, keeps_digest: bool
) -> None:
    copy = copy_of(tmp_path / "first", own)
    write(copy.folder / "validated.json", b"whole")
    copy.keep()
    with azurite.owned(party) as container:
        blob = container.get_blob_client(f"{PREFIX}validated.json")
        known = blob.get_blob_properties().metadata if keeps_digest else None
        blob.upload_blob(b"whale", overwrite=True, metadata=known)
        with pytest.raises(ContainerRefused, match="not what was put there") as told:
            copy.fetch()
        assert told.value.where == f"{own.url}/{PREFIX}validated.json"
        assert "remove that one file" in told.value.cure
        assert content(copy.folder) == {"validated.json": b"whole"}
        blob.delete_blob()  # as it says
        copy.fetch()
        copy.keep()
        assert blob.download_blob().readall() == b"whole"


def test_what_is_damaged_here_too_is_not_said_to_be_whole(
    azurite: Azurite, own: Place, party: str, tmp_path: Path
) -> None:
    copy = copy_of(tmp_path / "first", own)
    path = copy.folder / "validated.json"
    write(path, b"whole")
    copy.keep()
    was = path.stat()
    write(path, b"whale")
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))  # as a disk damages it
    with azurite.owned(party) as container:
        container.upload_blob(f"{PREFIX}validated.json", b"whirl", overwrite=True)
    with pytest.raises(ContainerRefused, match="not what was put there") as told:
        copy.fetch()
    assert "backup" in told.value.cure
    assert "remove" not in told.value.cure


def test_a_file_that_others_put_there_is_not_named(
    azurite: Azurite, own: Place, party: str, tmp_path: Path
) -> None:
    copy = copy_of(tmp_path / "first", own)
    with azurite.owned(party) as container:
        container.upload_blob(f"{PREFIX}smith_1950.png", b"pixels")
    with pytest.raises(ContainerRefused, match="not what was put there") as told:
        copy.fetch()
    assert told.value.where == own.url
    assert "smith" not in str(told.value)
    assert content(copy.folder) == {}


def test_one_prefix_knows_nothing_of_another(own: Place, tmp_path: Path) -> None:
    minimal = copy_of(tmp_path / "minimal", own)
    write(minimal.folder / "a", b"a")
    minimal.keep()
    sealed = copy_of(tmp_path / "sealed", own, "north/sealed/")
    assert sealed.fetch().files == 0
    assert sealed.keep().files == 0
    assert content(minimal.folder) == {"a": b"a"}


def test_a_token_that_may_only_write_keeps_and_does_not_fetch(
    azurite: Azurite, party: str, tmp_path: Path
) -> None:
    drop = azurite.issue(party).dead[WRITE_ONLY]
    copy = copy_of(tmp_path / "first", drop)
    write(copy.folder / "update", b"weights")
    assert copy.keep().files == 1
    with pytest.raises(ContainerRefused, match="does not let"):
        copy.fetch()
    assert azurite.names(party) == {f"{PREFIX}update"}
