"""Files that one cell of NVFlare offers and another fetches, or fetches no further."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
from nvflare.fuel.f3.cellnet.cell import Cell
from nvflare.fuel.f3.streaming.download_service import Downloadable, ProduceRC
from nvflare.fuel.f3.streaming.obj_downloader import ObjectDownloader

from fed_assets.errors import JobFailed, StorageError
from fed_assets.federation.carried import PART_BYTES, fetch, offered
from fed_assets.federation.provision import free_port

SECONDS = 20.0
PART = 1000


@pytest.fixture(scope="module")
def cells():
    """Returns the cells of a server and of a hospital."""
    address = f"tcp://127.0.0.1:{free_port()}"
    pair = [Cell(name, address, False, {}) for name in ("server", "hospital_01")]
    for cell in pair:
        cell.start()
    yield pair
    for cell in pair:
        cell.stop()


class Parts(Downloadable):
    """Offers one part after another, without an end."""

    def __init__(self, part):
        super().__init__(None)
        self._part = part
        self.before = lambda: None
        self.given = 0

    def produce(self, state, requester):
        self.before()
        self.given += 1
        return ProduceRC.OK, self._part, {"given": self.given}


@contextmanager
def offering(cell, parts):
    offer = ObjectDownloader(cell, SECONDS, num_receivers=0)
    yield offer.add_object(parts)
    offer.delete_transaction()


def test_a_file_of_as_many_bytes_as_it_may_have_comes_whole_and_one_more_is_refused(
    cells, tmp_path
):
    server, hospital = cells
    content, came = bytes(range(256)) * (PART_BYTES // 256) * 2 + b"more", tmp_path / "came"
    (tmp_path / "offered").write_bytes(content)
    with offered(hospital, tmp_path / "offered", SECONDS) as reference:
        fetch(server, "hospital_01", reference, came, len(content))
        assert came.read_bytes() == content
        came.unlink()
        with pytest.raises(JobFailed, match="more than 8,388,611 bytes, which no update"):
            fetch(server, "hospital_01", reference, came, len(content) - 1)
    assert not came.exists()


@pytest.mark.parametrize(("part", "said"), [(bytes(PART), "more than 5,000"), (b"", "is empty")])
def test_what_never_ends_is_not_fetched_on(cells, tmp_path, part, said):
    server, hospital = cells
    parts = Parts(part)
    with offering(hospital, parts) as reference, pytest.raises(JobFailed, match=said):
        fetch(server, "hospital_01", reference, tmp_path / "came", 5 * PART)
    assert parts.given <= 7  # one may be on its way while the last is refused
    assert list(tmp_path.iterdir()) == []


def test_what_its_round_waits_for_no_longer_is_not_fetched_on_and_a_later_file_stays(
    cells, tmp_path
):
    server, hospital = cells
    came, parts = tmp_path / "came", Parts(bytes(PART))

    def replace():
        if parts.given == 3:
            came.unlink()
            came.write_text("a later round's")

    parts.before = replace
    with offering(hospital, parts) as reference, pytest.raises(JobFailed, match="nobody waits"):
        fetch(server, "hospital_01", reference, came)
    assert 3 < parts.given <= 6
    assert came.read_text() == "a later round's"


def test_of_a_file_that_the_disk_has_no_room_for_nothing_is_left(cells, tmp_path, small_disk):
    server, hospital = cells
    full = small_disk("100k")
    with (
        offering(hospital, Parts(bytes(PART))) as reference,
        pytest.raises(StorageError, match=r"Weights that came in could not be written.*No space"),
    ):
        fetch(server, "hospital_01", reference, full / "came")
    assert list(full.iterdir()) == []
