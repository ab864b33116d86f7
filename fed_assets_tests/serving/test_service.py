"""The service itself, asked over HTTP: what it answers, what it refuses, and what it never says."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

from fed_assets.serving.limits import MOST_BODY_BYTES, MOST_FILE_BYTES, MOST_FILES
from fed_assets.serving.server import ModelServer
from fed_assets_tests.hospital.samples import (
    png_of_declared_size,
    write_dicom,
    write_inflating_dicom,
)
from fed_assets_tests.serving.packages import CLASSES, SANDBOX, Exported, Models, encoded

Image = NDArray[np.uint8]
NAME = "lovelace_ada_1815.png"
FORM = {"Content-Type": "multipart/form-data; boundary=b"}


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("log") / "service.log"


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, exported: tuple[Exported, Exported], log: Path
) -> Iterator[ModelServer]:
    """Yields a service that answers with version 3."""
    models = Models(tmp_path_factory.mktemp("home"))
    models.package(3, exported[0], threshold=0.6, synthetic=True)
    with (
        log.open("wb") as told,
        ModelServer(
            models.versions,
            models.public,
            sandbox=SANDBOX,
            champion=lambda: 3,
            barred=dict,
            workers=1,
            told=told,
        ) as server,
    ):
        server.wait_ready(3)
        yield server


@pytest.fixture
def client(server: ModelServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.address, trust_env=False, timeout=60) as client:
        yield client


def ask(client: httpx.Client, *files: bytes) -> httpx.Response:
    return client.post("/predict", files=[("images", (NAME, each)) for each in files])


def test_it_listens_on_this_machine_alone(server: ModelServer) -> None:
    family = psutil.Process(server.pid).children()
    listening = {
        link.laddr
        for each in family
        for link in each.net_connections()
        if link.status == psutil.CONN_LISTEN
    }
    assert listening == {("127.0.0.1", server.port)}


def test_health_and_version_say_what_is_served(client: httpx.Client) -> None:
    assert client.get("/health/live").json() == {"live": True}
    ready = client.get("/health/ready")
    assert (ready.status_code, ready.json()) == (
        200,
        {"ready": True, "version": 3, "trouble": ""},
    )
    told = client.get("/version").json()
    assert (told["sandbox"], told["champion"], told["trouble"]) == (SANDBOX, 3, "")
    assert told["model"]["name"] == "fed_assets_minimal"
    assert set(client.get("/openapi.json").json()["paths"]) == {
        *("/health/live", "/health/ready", "/version", "/predict")
    }


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/version"])
def test_health_is_asked_by_head_too(client: httpx.Client, path: str) -> None:
    answer = client.head(path)
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize(
    ("method", "path", "status", "said"),
    [
        ("GET", "/nothing", 404, "nothing at this address: ask /predict"),
        ("GET", "/predict", 405, "POST for /predict"),
        ("POST", "/version", 405, "GET for the others"),
    ],
)
def test_what_is_asked_for_otherwise_gets_a_reason_too(
    client: httpx.Client, method: str, path: str, status: int, said: str
) -> None:
    answer = client.request(method, path)
    assert answer.status_code == status
    assert answer.json().keys() == {"reason"}
    assert said in answer.json()["reason"]
    assert ("Allow" in answer.headers) is (status == 405)


def test_an_answer_says_what_torch_says_and_of_which_model(
    client: httpx.Client, exported: tuple[Exported, Exported], real_images: Image
) -> None:
    expected = exported[0].probabilities(real_images[:, None])

    answer = ask(client, *(encoded(each) for each in real_images))

    assert answer.status_code == 200
    body = answer.json()
    seen = [[each["probabilities"][name] for name in CLASSES] for each in body["images"]]
    np.testing.assert_allclose(seen, expected, atol=1e-5)
    assert np.ptp(expected[:, 1]) > 0.01
    assert [each["index"] for each in body["images"]] == list(range(40))
    assert [each["class"] for each in body["images"]] == [
        CLASSES[int(each)] for each in expected[:, 1] >= 0.6
    ]
    assert (
        len(body["model"].pop("weights_digest")) == len(body["model"].pop("package_digest")) == 64
    )
    assert body["model"] == {
        "name": "fed_assets_minimal",
        "version": 3,
        "threshold": 0.6,
        "calibration": {"expected_calibration_error": {"value": 0.04, "low": 0.03, "high": 0.06}},
        "synthetic": True,
    }


def test_png_jpeg_and_dicom_are_answered_together(
    client: httpx.Client, tmp_path: Path, real_images: Image
) -> None:
    image = real_images[0]
    dicom = write_dicom(tmp_path / "a.dcm", image, WindowCenter="128", WindowWidth="256")
    assert (image.min(), image.max()) != (0, 255), "without a window it could be stretched"
    plain = write_dicom(tmp_path / "b.dcm", image)
    others = dicom.read_bytes(), plain.read_bytes()
    answer = ask(client, encoded(image), encoded(image, "JPEG", quality=100), *others)
    assert answer.status_code == 200
    png, jpeg, *read = (each["probabilities"]["pneumonia"] for each in answer.json()["images"])
    assert [png, png] == read
    assert abs(png - jpeg) < 0.05


def test_one_bad_picture_does_not_spoil_the_others(
    client: httpx.Client, real_images: Image
) -> None:
    good = encoded(real_images[0])
    alone = ask(client, good).json()["images"][0]

    answer = ask(client, good, b"no picture", good[:100], good)

    assert answer.status_code == 207
    images = answer.json()["images"]
    assert [each["status"] for each in images] == [200, 415, 422, 200]
    assert images[0] == alone
    assert images[3] == alone | {"index": 3}
    assert "class" not in images[1]
    assert images[2]["reason"] == "It cannot be decoded: it is damaged, or cut off."


def colours() -> bytes:
    return encoded(np.random.default_rng(0).integers(0, 256, (28, 28, 3), dtype=np.uint8))


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"", 422),
        (b"%PDF-1.7", 415),
        (b"\x89PNG\r\n\x1a\n", 422),
        (bytes(128) + b"DICM", 422),
        (png_of_declared_size(20_000, 20_000), 413),
        (bytes(MOST_FILE_BYTES + 1), 413),
        (colours(), 422),
    ],
    ids=["empty", "pdf", "header-alone", "dicom-header", "bomb", "too-many-bytes", "colour"],
)
def test_a_bad_picture_alone_gets_its_own_status_and_a_reason(
    client: httpx.Client, raw: bytes, status: int
) -> None:
    answer = ask(client, raw)
    assert answer.status_code == status
    (image,) = answer.json()["images"]
    assert image["status"] == status
    assert image["reason"].endswith(".")


def test_more_files_than_a_request_may_hold_are_refused(
    client: httpx.Client, real_images: Image
) -> None:
    good = encoded(real_images[0])
    assert ask(client, *[good] * MOST_FILES).status_code == 200
    answer = ask(client, *[good] * (MOST_FILES + 1))
    assert answer.status_code == 413
    assert answer.json() == {"reason": "A request may hold 64 pictures at the most."}


def test_a_body_that_is_too_large_is_refused_before_it_is_read(server: ModelServer) -> None:
    import socket

    head = (
        "POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        f"Content-Length: {MOST_BODY_BYTES + 1}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as plain:
        plain.sendall(head.encode())
        assert plain.recv(1000).startswith(b"HTTP/1.1 413 ")


def test_a_body_that_does_not_say_how_large_it_is_is_read_to_the_limit(
    client: httpx.Client,
) -> None:
    def chunks() -> Iterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="a"; filename="b"\r\n\r\n'
        for _ in range(MOST_BODY_BYTES // 2**20 + 2):
            yield bytes(2**20)

    try:
        answer = client.post(
            "/predict",
            content=chunks(),
            headers={"Content-Type": "multipart/form-data; boundary=b"},
        )
    except httpx.HTTPError:  # it hangs up while more is being sent
        assert client.get("/health/live").status_code == 200
        return
    assert answer.status_code == 413


FIELD = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--b--\r\n'
CUT_OFF = b'--b\r\nContent-Disposition: form-data; name="a"; filename="b"\r\n\r\nabc'


@pytest.mark.parametrize(
    ("content", "headers", "status", "said"),
    [
        (b"abc", {"Content-Type": "image/png"}, 415, "multipart/form-data"),
        (b"abc", {}, 415, "multipart/form-data"),
        (b"--b--\r\n", FORM, 400, "no picture"),
        (FIELD, FORM, 400, "a field that is no file"),
        (CUT_OFF, FORM, 400, "ends before its last file"),
        (b"abc", {"Content-Type": "multipart/form-data"}, 400, "no whole multipart"),
        (b"abc", FORM, 400, "no whole multipart"),
    ],
)
def test_what_is_no_form_of_files_is_refused(
    client: httpx.Client, content: bytes, headers: dict[str, str], status: int, said: str
) -> None:
    answer = client.post("/predict", content=content, headers=headers)
    assert answer.status_code == status
    assert said in answer.json()["reason"]


def heavy() -> bytes:
    """A PNG that takes a hundred times as long as a small one."""
    return encoded(np.zeros((3000, 3000, 3), np.uint8))


def test_small_pictures_and_health_are_answered_while_large_ones_are_decoded(
    client: httpx.Client, real_images: Image
) -> None:
    large, small = heavy(), encoded(real_images[0])
    answers: list[httpx.Response] = []
    took: list[float] = []

    def ask_much() -> None:
        with httpx.Client(base_url=client.base_url, trust_env=False, timeout=60) as own:
            answers.append(ask(own, *[large] * 4))

    asking = [threading.Thread(target=ask_much) for _ in range(2)]
    began = time.monotonic()
    for each in asking:
        each.start()
    while any(each.is_alive() for each in asking):
        at = time.monotonic()
        assert ask(client, small).status_code == 200
        assert client.get("/health/live").status_code == 200
        took.append(time.monotonic() - at)
    for each in asking:
        each.join()
    heavy_seconds = time.monotonic() - began
    assert [each.status_code for each in answers] == [200, 200]
    assert len(took) > 5
    assert np.median(took) < heavy_seconds / 8  # eight are decoded, and it waited for none


def test_more_pixels_than_a_request_may_have_are_refused_before_any_is_decoded(
    client: httpx.Client, real_images: Image
) -> None:
    large = encoded(np.zeros((8000, 8000), np.uint8))
    began = time.monotonic()
    answer = ask(client, *[large] * MOST_FILES)
    assert time.monotonic() - began < 10
    assert answer.status_code == 413
    assert answer.json() == {
        "reason": "The pictures of a request may have 128 million pixels in all, and these have "
        "4096.0 million; send them in several requests."
    }
    assert ask(client, encoded(real_images[0])).status_code == 200


def test_files_that_inflate_to_much_are_refused_one_by_one(
    client: httpx.Client, server: ModelServer, tmp_path: Path, real_images: Image
) -> None:
    (answering,) = psutil.Process(server.pid).children()
    bomb = write_inflating_dicom(tmp_path / "a.dcm", real_images[0], 100 * 2**20).read_bytes()
    assert len(bomb) < 200_000
    good = encoded(real_images[0])
    answer = ask(client, good, *[bomb] * 8)
    assert answer.status_code == 207
    first, *others = answer.json()["images"]
    assert first["status"] == 200
    assert {(each["status"], each["reason"]) for each in others} == {
        (
            413,
            "The tags before the pixels of a DICOM file may have 4 MiB, and those of this one have "
            "more.",
        )
    }
    assert psutil.Process(server.pid).children() == [answering]


def test_nothing_of_a_picture_is_logged_or_written(
    client: httpx.Client, server: ModelServer, log: Path, real_images: Image
) -> None:
    large = encoded(np.random.default_rng(0).integers(0, 256, (2000, 2000), dtype=np.uint8))
    assert len(large) > 2**20  # from where on a form's parser writes to a temporary file
    (answering,) = psutil.Process(server.pid).children()
    before = answering.io_counters().write_chars

    ask(client, encoded(real_images[0]), b"no picture", large)
    client.get(f"/{NAME}")

    assert answering.io_counters().write_chars - before < 100_000  # the answers
    assert log.read_text() == "serving version 3\n"
