from __future__ import annotations

import io
import secrets
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from azure.core.exceptions import ResourceNotFoundError, ServiceRequestError
from azure.storage.blob import BlobClient, ContainerClient

from fed_assets.containers.container import BLOCK_BYTES, ChangedThere, Container
from fed_assets.containers.issuing import DEAD, EXPIRED, REVOKED, WRITE_ONLY, Issued, issue
from fed_assets.containers.place import Place, read_place, write_place
from fed_assets.errors import ContainerRefused
from fed_assets_tests.azure_storage import Azurite


@pytest.fixture
def issued(azurite: Azurite) -> Issued:
    return azurite.issue(azurite.party())


def put(container: Container, folder: Path, content: bytes, name: str = "minimal/a") -> str:
    path = folder / "content"
    path.write_bytes(content)
    return container.put(name, path, None).etag


def refusal(act: Callable[[], object]) -> str:
    with pytest.raises(ContainerRefused) as told:
        act()
    assert "sig=" not in str(told.value)
    return str(told.value)


def test_a_file_comes_back_as_it_was_put(issued: Issued, tmp_path: Path) -> None:
    container = Container(issued.own)
    etag = put(container, tmp_path, b"weights")
    (found,) = container.found("minimal/").items()
    assert found[0] == "minimal/a"
    assert (found[1].etag, found[1].size) == (etag, 7)
    target = io.BytesIO()
    assert container.get("minimal/a", found[1], target) == found[1].digest
    assert target.getvalue() == b"weights"
    container.remove("minimal/a", etag)
    assert container.found("") == {}
    container.remove("minimal/a", etag)  # again, after a crash


def test_nothing_is_put_over_what_is_not_known(issued: Issued, tmp_path: Path) -> None:
    container = Container(issued.own)
    etag = put(container, tmp_path, b"first")
    with pytest.raises(ChangedThere):
        put(container, tmp_path, b"second")
    second = container.put("minimal/a", tmp_path / "content", etag)
    with pytest.raises(ChangedThere):
        container.put("minimal/a", tmp_path / "content", etag)
    with pytest.raises(ChangedThere):
        container.remove("minimal/a", etag)
    assert container.found("")["minimal/a"].etag == second.etag


def test_an_empty_file_and_one_of_several_blocks_come_back(issued: Issued, tmp_path: Path) -> None:
    container = Container(issued.own)
    for name, size in (("empty", 0), ("block", BLOCK_BYTES), ("three", 2 * BLOCK_BYTES + 7)):
        content = secrets.token_bytes(size)
        put(container, tmp_path, content, name)
        target = io.BytesIO()
        found = container.found(name)[name]
        assert container.get(name, found, target) == found.digest
        assert target.getvalue() == content


def test_an_interrupted_upload_goes_on_where_it_was(
    issued: Issued, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    container = Container(issued.own)
    content = secrets.token_bytes(4 * BLOCK_BYTES + 11)
    staged = []
    stage = BlobClient.stage_block

    def cut_off(blob: BlobClient, block_id: str, data: bytes, **how: object) -> object:
        if len(staged) == 3:
            raise ServiceRequestError("the line was cut")
        staged.append(block_id)
        return stage(blob, block_id, data, **how)

    with monkeypatch.context() as cut:
        cut.setattr(BlobClient, "stage_block", cut_off)
        said = refusal(lambda: put(container, tmp_path, content))
    assert "cannot be reached" in said and "lies on this machine" in said
    assert container.found("") == {}  # nothing half is there
    done = container.put("minimal/a", tmp_path / "content", None)
    assert done.sent_bytes == BLOCK_BYTES + 11
    target = io.BytesIO()
    assert container.get("minimal/a", container.found("")["minimal/a"], target) == done.digest
    assert target.getvalue() == content


def test_an_upload_whose_process_was_killed_goes_on_where_it_was(
    azurite: Azurite, tmp_path: Path
) -> None:
    party = azurite.party()
    place_file = tmp_path / "container.json"
    write_place(place_file, azurite.issue(party).own)
    content = tmp_path / "content"
    content.write_bytes(secrets.token_bytes(12 * BLOCK_BYTES))
    code = (
        "import sys; from pathlib import Path;"
        "from fed_assets.containers.container import Container;"
        "from fed_assets.containers.place import read_place;"
        "Container(read_place(Path(sys.argv[1]))).put('large', Path(sys.argv[2]), None)"
    )
    command = [sys.executable, "-c", code, str(place_file), str(content)]
    with subprocess.Popen(command) as process, azurite.owned(party) as owned:
        while staged_blocks(owned) < 2:
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
        process.wait()
        arrived = staged_blocks(owned)
    assert 2 <= arrived < 12
    container = Container(read_place(place_file))
    assert container.found("") == {}
    assert container.put("large", content, None).sent_bytes == (12 - arrived) * BLOCK_BYTES
    assert container.found("")["large"].size == 12 * BLOCK_BYTES


def staged_blocks(owned: ContainerClient) -> int:
    try:
        return len(owned.get_blob_client("large").get_block_list("uncommitted")[1])
    except ResourceNotFoundError:
        return 0


def test_another_hospitals_container_is_not_read_written_nor_listed(
    azurite: Azurite, issued: Issued, tmp_path: Path
) -> None:
    other = azurite.issue(azurite.party())
    etag = put(Container(other.own), tmp_path, b"theirs")
    theirs = Container(other.own).found("")["minimal/a"]
    intruder = Container(replace(issued.own, url=other.own.url))
    attempts = (
        lambda: intruder.found(""),
        lambda: intruder.get("minimal/a", theirs, io.BytesIO()),
        lambda: put(intruder, tmp_path, b"forged", "new"),
        lambda: intruder.put("minimal/a", tmp_path / "content", etag),
        lambda: intruder.remove("minimal/a", etag),
    )
    for attempt in attempts:
        assert "does not let this party do that" in refusal(attempt)
    assert Container(other.own).found("").keys() == {"minimal/a"}


@pytest.mark.parametrize("why", DEAD)
def test_a_dead_token_reads_and_lists_nothing(issued: Issued, tmp_path: Path, why: str) -> None:
    put(Container(issued.own), tmp_path, b"kept")
    known = Container(issued.own).found("")["minimal/a"]
    dead = Container(issued.dead[why])
    for attempt in (
        lambda: dead.found(""),
        lambda: dead.get("minimal/a", known, io.BytesIO()),
    ):
        assert "does not let this party do that" in refusal(attempt)


def test_an_expired_and_a_revoked_token_write_nothing_and_a_write_only_one_does(
    azurite: Azurite, issued: Issued, tmp_path: Path
) -> None:
    for why in (EXPIRED, REVOKED):
        refusal(lambda why=why: put(Container(issued.dead[why]), tmp_path, b"late", why))
    put(Container(issued.dead[WRITE_ONLY]), tmp_path, b"dropped", "drop")
    assert Container(issued.own).found("").keys() == {"drop"}


def test_new_tokens_end_the_old_ones(azurite: Azurite) -> None:
    party = azurite.party()
    old = azurite.issue(party).own
    assert Container(old).found("") == {}
    new = azurite.issue(party).own
    refusal(lambda: Container(old).found(""))
    assert Container(new).found("") == {}


def test_a_container_that_is_gone_and_an_address_that_answers_nothing_are_told_apart(
    azurite: Azurite, issued: Issued, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    party = azurite.party()
    theirs = azurite.issue(party)
    azurite.owned(party).delete_container()
    # The policy that signs the token is gone with it; another token has none.
    assert "or the container is gone" in refusal(lambda: put(Container(theirs.own), tmp_path, b"x"))
    writes = Container(theirs.dead[WRITE_ONLY])
    assert ". The container is gone" in f". {refusal(lambda: put(writes, tmp_path, b'x'))}"
    monkeypatch.setattr("fed_assets.containers.place.TIMES", {"retry_total": 0})
    silent = Place("http://127.0.0.1:9/account/container", token=issued.own.token)
    assert "cannot be reached" in refusal(lambda: Container(silent).found(""))


def test_a_wrong_account_key_is_refused(azurite: Azurite) -> None:
    with pytest.raises(ContainerRefused, match="does not take the account's key"):
        issue(azurite.url, "d3Jvbmc=", azurite.party(), days=1)
