from __future__ import annotations

import re
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from fed_assets.errors import ChecksumMismatch, DownloadFailed, RunConfigError, StorageError
from fed_assets.resources.datasets import (
    fetch_dataset,
    find_dataset,
    known_datasets,
    locate_dataset,
)

NAME = "pneumoniamnist"
Progress = list[tuple[int, int | None]]


@dataclass
class Site:
    """What the local web server does, and what it was asked for."""

    content: bytes = b""
    status: int = 200
    honours_range: bool = True
    cut_after_bytes: int | None = None
    says_length: bool = True
    asked_ranges: list[str | None] = field(default_factory=list)
    sent_bytes: int = 0
    silent: threading.Event | None = None
    url: str = ""

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        asked = request.headers.get("Range")
        self.asked_ranges.append(asked)
        if self.silent:
            self.silent.wait(20)
            return
        start, status = 0, self.status
        if asked and self.honours_range and status == 200:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            status = 206 if start < len(self.content) else 416
        body = self.content[start:] if status in (200, 206) else b""
        request.send_response(status)
        if self.says_length:
            request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        body = body[: self.cut_after_bytes]
        self.sent_bytes += len(body)
        request.wfile.write(body)


@contextmanager
def serving(site: Site) -> Iterator[Site]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.answer(self)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    site.url = f"http://127.0.0.1:{server.server_port}/{NAME}.npz"
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def official(real_data: Path) -> bytes:
    return (real_data / f"{NAME}.npz").read_bytes()


Fetch = Callable[..., Path]


@pytest.fixture
def fetch(tmp_path: Path) -> Fetch:
    """Returns a function that fetches into a cache, `tmp_path / "cache"`."""

    def fetch(site: Site, *, progress: Progress | None = None, **options: Any) -> Path:
        heard = [] if progress is None else progress
        return fetch_dataset(
            NAME,
            **{"data": None, "cache": tmp_path / "cache", "timeout_seconds": 10} | options,
            progress=lambda have, expected: heard.append((have, expected)),
            url=site.url,
        )

    return fetch


def test_the_file_comes_whole_with_progress(tmp_path: Path, official: bytes, fetch: Fetch) -> None:
    heard: Progress = []
    with serving(Site(official)) as site:
        path = fetch(site, progress=heard)
    assert path == tmp_path / "cache" / f"{NAME}.npz"
    assert path.read_bytes() == official
    assert list(path.parent.iterdir()) == [path]
    assert len(heard) > 5
    assert heard == sorted(heard)
    assert heard[-1] == (len(official), len(official))


def test_a_file_that_is_there_is_not_fetched_again(official: bytes, fetch: Fetch) -> None:
    with serving(Site(official)) as site:
        assert fetch(site) == fetch(site)
    assert len(site.asked_ranges) == 1


def test_a_download_that_was_cut_off_goes_on_where_it_stopped(
    tmp_path: Path, official: bytes, fetch: Fetch
) -> None:
    heard: Progress = []
    with serving(Site(official, cut_after_bytes=1_000_000)) as site:
        with pytest.raises(DownloadFailed, match=f"Where: {re.escape(site.url)}"):
            fetch(site)
        assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".partial"]
        site.cut_after_bytes = None
        assert fetch(site, progress=heard).read_bytes() == official
    assert site.asked_ranges == [None, "bytes=1000000-"]
    assert site.sent_bytes == len(official)
    assert heard[0][0] > 1_000_000
    assert heard[-1] == (len(official), len(official))


def test_a_server_that_ignores_the_range_is_begun_again(official: bytes, fetch: Fetch) -> None:
    with serving(Site(official, honours_range=False, cut_after_bytes=1_000_000)) as site:
        with pytest.raises(DownloadFailed):
            fetch(site)
        site.cut_after_bytes = None
        assert fetch(site).read_bytes() == official
    assert site.sent_bytes == len(official) + 1_000_000


def test_a_partial_file_that_is_complete_is_taken(
    tmp_path: Path, official: bytes, fetch: Fetch
) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / f"{NAME}.npz.partial").write_bytes(official)
    with serving(Site(official)) as site:
        assert fetch(site).read_bytes() == official
    assert site.sent_bytes == 0


def test_a_server_that_does_not_say_the_length_is_no_hindrance(
    official: bytes, fetch: Fetch
) -> None:
    heard: Progress = []
    with serving(Site(official, says_length=False)) as site:
        assert fetch(site, progress=heard).read_bytes() == official
    assert heard[-1] == (len(official), None)


def test_a_wrong_file_is_refused_and_nothing_of_it_is_left(tmp_path: Path, fetch: Fetch) -> None:
    with serving(Site(b"not an npz" * 1000)) as site:
        with pytest.raises(ChecksumMismatch, match=r"not the official .*md5 .* instead of") as told:
            fetch(site)
        assert site.url in str(told.value)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_rotten_partial_file_is_removed_and_the_next_try_succeeds(
    tmp_path: Path, official: bytes, fetch: Fetch
) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / f"{NAME}.npz.partial").write_bytes(bytes(1000))
    with serving(Site(official)) as site:
        with pytest.raises(ChecksumMismatch):
            fetch(site)
        assert list((tmp_path / "cache").iterdir()) == []
        assert fetch(site).read_bytes() == official


@pytest.mark.parametrize("status", [404, 500, 429])
def test_a_server_that_refuses_is_quoted(tmp_path: Path, fetch: Fetch, status: int) -> None:
    with (
        serving(Site(b"sorry", status=status)) as site,
        pytest.raises(DownloadFailed, match=f"refused the download.*Seen: HTTP {status}"),
    ):
        fetch(site)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_refused_connection_names_the_folder_to_use_instead(fetch: Fetch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nobody = Site(url=f"http://127.0.0.1:{taken.getsockname()[1]}/x.npz")
        with pytest.raises(DownloadFailed, match=r"download failed.*FED_ASSETS_DATA"):
            fetch(nobody)


def test_a_server_that_says_nothing_is_given_up(fetch: Fetch) -> None:
    with serving(Site(silent=threading.Event())) as site:
        try:
            with pytest.raises(DownloadFailed, match="timed out"):
                fetch(site, timeout_seconds=0.3)
        finally:
            assert site.silent
            site.silent.set()


def test_a_full_disk_is_named(small_disk: Path, official: bytes, fetch: Fetch) -> None:
    with (
        serving(Site(official)) as site,
        pytest.raises(StorageError, match="No space left on device"),
    ):
        fetch(site, cache=small_disk)
    assert not (small_disk / f"{NAME}.npz").exists()


def test_a_cache_that_is_a_file_is_an_error_of_ours(tmp_path: Path, fetch: Fetch) -> None:
    (tmp_path / "cache").write_text("mine")
    with pytest.raises(StorageError):
        fetch(Site(url="http://127.0.0.1:9/"))
    assert (tmp_path / "cache").read_text() == "mine"


def test_the_data_folder_comes_before_the_cache(tmp_path: Path, real_data: Path) -> None:
    for folder in ("data", "cache"):
        (tmp_path / folder).mkdir()
        shutil.copy(real_data / f"{NAME}.npz", tmp_path / folder)
    places = {"data": tmp_path / "data", "cache": tmp_path / "cache"}
    assert locate_dataset(NAME, **places) == tmp_path / "data" / f"{NAME}.npz"
    (tmp_path / "data" / f"{NAME}.npz").unlink()
    assert locate_dataset(NAME, **places) == tmp_path / "cache" / f"{NAME}.npz"
    (tmp_path / "cache" / f"{NAME}.npz").unlink()
    assert locate_dataset(NAME, **places) is None


def test_a_wrong_file_in_the_data_folder_is_refused_and_left_alone(
    tmp_path: Path, fetch: Fetch
) -> None:
    wrong = tmp_path / f"{NAME}.npz"
    wrong.write_bytes(b"mine")
    with pytest.raises(ChecksumMismatch, match=f"Where: {re.escape(str(wrong))}"):
        fetch(Site(url="http://127.0.0.1:9/"), data=tmp_path)
    assert wrong.read_bytes() == b"mine"


def test_an_unknown_set_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(RunConfigError, match=r"named pneumonia\..*pneumoniamnist"):
        locate_dataset("pneumonia", data=None, cache=tmp_path)


def test_every_official_file_has_an_md5_two_classes_and_a_licence() -> None:
    assert len(known_datasets()) > 5
    for name in known_datasets():
        dataset = find_dataset(name)
        assert re.fullmatch(r"[0-9a-f]{32}", dataset.md5)
        assert len(set(dataset.classes)) == len(dataset.classes) >= 2
        assert dataset.url.startswith("https://")
        assert dataset.licence
