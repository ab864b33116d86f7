from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fed_assets.errors import DisclosureRefused, NoImages, RunConfigError
from fed_assets.hospital.contact_sheet import contact_sheet
from fed_assets.hospital.files import Store
from fed_assets.hospital.images import prepare_images
from fed_assets_tests.hospital.samples import write_npz


def _picture(result: dict[str, Any]) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(result["png_base64"])))


def _prepare(tmp_path: Path, **spec: Any) -> Store:
    source = {"kind": "medmnist", "path": str(write_npz(tmp_path / "a.npz", **spec))}
    store = Store(tmp_path / "s")
    prepare_images({"source": source, "image_size": 12}, store)
    return store


@pytest.mark.parametrize("side", [(12, 12), (12, 12, 3)])
def test_a_sheet_shows_as_many_images_as_asked(tmp_path: Path, side: tuple[int, ...]) -> None:
    store = _prepare(tmp_path, side=side, classes=3)
    result = contact_sheet({"images": 24}, store, previews=True)
    assert (result["images"], result["synthetic"]) == (24, False)
    picture = _picture(result)
    assert picture.size == (4 + 8 * 100, 4 + 3 * 100)
    assert np.asarray(picture).std() > 30


def test_a_hospital_with_few_images_shows_those(tmp_path: Path) -> None:
    store = _prepare(tmp_path, train=3, val=1, test=1)
    assert contact_sheet({}, store, previews=True)["images"] == 5


def test_synthetic_images_bear_a_banner(tmp_path: Path) -> None:
    source = {"kind": "phantom", "images": 30, "test_images": 0}
    prepare_images({"source": source, "image_size": 28}, Store(tmp_path))
    result = contact_sheet({"images": 8}, Store(tmp_path), previews=True)
    assert result["synthetic"] is True
    banner = np.asarray(_picture(result))[:18].astype(int)
    assert ((banner[..., 0] - banner[..., 1]) > 100).sum() > 100  # red letters


def test_no_picture_leaves_where_previews_are_off(tmp_path: Path) -> None:
    with pytest.raises(DisclosureRefused, match="previews"):
        contact_sheet({}, _prepare(tmp_path), previews=False)


@pytest.mark.parametrize("images", [0, 65])
def test_a_sheet_of_no_image_or_of_all_is_refused(tmp_path: Path, images: int) -> None:
    with pytest.raises(RunConfigError, match="1 to 64"):
        contact_sheet({"images": images}, Store(tmp_path), previews=True)


def test_without_images_there_is_no_sheet(tmp_path: Path) -> None:
    with pytest.raises(NoImages):
        contact_sheet({}, Store(tmp_path), previews=True)
