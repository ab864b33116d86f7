"""The search for canaries finds every form, however it is packed, and none where there is none."""

from __future__ import annotations

import base64
import gzip
import io
import sqlite3
import zipfile
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fed_assets.hospital.contact_sheet import contact_sheet
from fed_assets.hospital.files import Store
from fed_assets.hospital.images import prepare_images
from fed_assets_tests.canary import FILE_NAME, PATIENT, PICTURE, canaries_in, forms, marked
from fed_assets_tests.hospital.samples import noise, write_npz


def test_every_form_is_found_in_a_file_of_its_own(tmp_path: Path) -> None:
    for number, content in enumerate(forms().values()):
        (tmp_path / f"{number}.log").write_bytes(b"before it " + content + b" after it")
    found = canaries_in(tmp_path)
    for number, name in enumerate(forms()):
        assert f"{number}.log" in found[name]


def test_nothing_is_found_in_noise(tmp_path: Path) -> None:
    pixels = noise((1000, 1000))
    (tmp_path / "noise").write_bytes(pixels.tobytes())
    Image.fromarray(pixels).save(tmp_path / "noise.png")
    (tmp_path / "noise.txt").write_text(", ".join(map(str, pixels.ravel()[:50_000])))
    assert canaries_in(tmp_path) == {}


def in_a_zip(content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner", content)
    return file.getvalue()


def in_a_database(content: bytes) -> bytes:
    """Returns a database's bytes, with content in a cell that fills several pages."""
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute("CREATE TABLE events (id INTEGER, body BLOB)")
        database.execute("INSERT INTO events VALUES (1, ?)", (content,))
        database.commit()
        return bytes(database.serialize())


def in_base64(content: bytes) -> bytes:
    return b"![picture](data:;base64," + base64.b64encode(bytes(100) + content) + b")"


@pytest.mark.parametrize(
    "pack",
    [
        in_a_zip,
        gzip.compress,
        zlib.compress,
        in_a_database,
        in_base64,
        lambda content: in_a_zip(gzip.compress(in_a_zip(content))),
        lambda content: in_a_database(zlib.compress(content)),
    ],
    ids=["zip", "gzip", "zlib", "database", "base64", "zip in gzip in zip", "zlib in database"],
)
def test_every_form_is_found_in_what_is_packed(
    tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    (tmp_path / "packed").write_bytes(pack(b"\n".join(forms().values())))
    found = canaries_in(tmp_path)
    assert set(forms()) <= set(found)


def test_a_name_of_a_file_a_folder_and_of_a_link_is_looked_at(tmp_path: Path) -> None:
    (tmp_path / PATIENT).mkdir()
    (tmp_path / f"{FILE_NAME}.log").touch()
    (tmp_path / "link").symlink_to(f"/nowhere/{FILE_NAME}")
    found = canaries_in(tmp_path)
    assert found["patient"] == {f"the name of {PATIENT}"}
    assert found["file name"] == {f"the name of {FILE_NAME}.log", "the aim of link"}


@pytest.mark.parametrize("side", [28, 56, 96])
def test_an_image_is_found_in_a_picture_of_another_size(tmp_path: Path, side: int) -> None:
    page = Image.new("L", (500, 300), 255)
    page.paste(Image.fromarray(marked(noise((28, 28)))).resize((side, side)), (333, 77))
    page.save(tmp_path / "page.png")
    assert canaries_in(tmp_path) == {PICTURE: {"page.png"}}


def test_a_contact_sheet_of_the_hospital_is_found_as_its_answer_holds_it(tmp_path: Path) -> None:
    images = np.stack([marked(noise((28, 28), seed)) for seed in range(30)])
    source = {"kind": "medmnist", "path": str(write_npz(tmp_path / "a.npz", train=30))}
    write_npz(tmp_path / "a.npz", train=30, val=4, test=4, side=(28, 28), train_images=images)
    store = Store(tmp_path / "store")
    prepare_images({"source": source, "image_size": 28}, store)
    (tmp_path / "home").mkdir()
    answer = contact_sheet({}, store, previews=True)["png_base64"]
    (tmp_path / "home" / "event.json").write_text(f'{{"sheet": "{answer}"}}')
    assert set(canaries_in(tmp_path / "home")) == {PICTURE}
    assert "pixels as bytes" in canaries_in(tmp_path / "store")


def test_what_is_left_out_is_not_searched(tmp_path: Path) -> None:
    for name in ("own", "outside"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "note").write_text(PATIENT)
    assert canaries_in(tmp_path, but=[tmp_path / "own"]) == {"patient": {"outside/note"}}
