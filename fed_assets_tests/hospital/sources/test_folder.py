from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from fed_assets.errors import NoImages, RosterError, SourceCorrupt, SourceMissing
from fed_assets.hospital.sources.folder import open_folder
from fed_assets_tests.hospital.samples import (
    noise,
    png_of_declared_size,
    write_folder,
    write_picture,
)

PERSON = "^(?P<patient>person[A-Za-z]*[0-9]+)_"


def test_the_real_chest_x_rays_are_listed_with_splits_classes_and_patients(real_data: Path) -> None:
    source = open_folder(
        real_data / "chest_xray", patient_pattern=r"^(?P<patient>person\d+)_", patient_scope="split"
    )
    records = source.records()
    count = {
        (split, label): sum(each.split == split and each.label == label for each in records)
        for split in ("train", "validation", "test")
        for label in (0, 1)
    }
    assert list(count.values()) == [1341, 3875, 8, 8, 234, 390]
    assert source.classes == ("NORMAL", "PNEUMONIA")
    assert source.channels == 1  # stored as RGB, with three equal channels
    across = {each.patient for each in records if each.split == "train" and each.patient} & {
        each.patient for each in records if each.split == "test"
    }
    assert not across


def test_the_subtype_in_the_name_makes_a_third_class(real_data: Path) -> None:
    pattern = r"^(?P<patient>person\d+)_(?P<label>bacteria|virus)"
    source = open_folder(real_data / "chest_xray", patient_pattern=pattern)
    assert source.classes == ("NORMAL", "bacteria", "virus")
    assert {record.label for record in source.records()} == {0, 1, 2}


def test_a_folder_without_splits_is_all_train(tmp_path: Path) -> None:
    source = open_folder(write_folder(tmp_path, splits=()))
    assert {record.split for record in source.records()} == {"train"}
    assert source.classes == ("NORMAL", "PNEUMONIA")


def test_one_id_is_one_patient_in_the_dataset_unless_its_scope_is_the_split(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write_picture(tmp_path / split / "a" / "person1_1.png", noise((20, 20)))
    whole = open_folder(tmp_path, patient_pattern=PERSON).records()
    apart = open_folder(tmp_path, patient_pattern=PERSON, patient_scope="split").records()
    assert [record.patient for record in whole] == ["person1", "person1"]
    assert [record.patient for record in apart] == ["train/person1", "test/person1"]


def test_a_name_that_does_not_match_has_no_patient_and_no_record_shows_one(tmp_path: Path) -> None:
    write_picture(tmp_path / "a" / "scan.png", noise((20, 20)))
    write_picture(tmp_path / "a" / "person7_1.png", noise((20, 20)))
    records = open_folder(tmp_path, patient_pattern=PERSON).records()
    assert [record.patient for record in records] == ["person7", None]
    assert "person7" not in repr(records)


def test_a_class_that_was_not_declared_is_unknown(tmp_path: Path) -> None:
    source = open_folder(write_folder(tmp_path), classes=("PNEUMONIA",))
    assert {record.label for record in source.records()} == {0, -1}


def test_colour_makes_three_channels(tmp_path: Path) -> None:
    write_picture(tmp_path / "a" / "1.png", noise((20, 20, 3)))
    source = open_folder(tmp_path)
    assert source.channels == 3
    assert next(source.read(source.records())).pixels.shape == (20, 20, 3)


def test_sixteen_bits_are_scaled_to_eight_over_their_full_range(tmp_path: Path) -> None:
    wide = np.array([[0, 257, 32896, 65535]] * 4, np.uint16)
    write_picture(tmp_path / "a" / "1.png", wide)
    source = open_folder(tmp_path)
    decoded = next(source.read(source.records()))
    assert decoded.pixels.tolist() == [[0, 1, 128, 255]] * 4
    assert decoded.bit_depth == 16


@pytest.mark.parametrize("mode", ["1", "P", "LA", "RGBA", "CMYK"])
def test_every_common_mode_is_decoded(tmp_path: Path, mode: str) -> None:
    from PIL import Image

    suffix = "jpg" if mode == "CMYK" else "png"
    (tmp_path / "a").mkdir()
    Image.fromarray(noise((20, 20, 3))).convert(mode).save(tmp_path / "a" / f"1.{suffix}")
    source = open_folder(tmp_path)
    pixels = next(source.read(source.records())).pixels
    assert pixels.dtype == np.uint8
    assert pixels.shape[:2] == (20, 20)


@pytest.mark.parametrize(
    ("content", "seen"),
    [
        (b"", (0, 0)),
        (b"this is a letter, not a picture", (0, 0)),
        (png_of_declared_size(20_000, 20_000), (0, 0)),
        (png_of_declared_size(12_000, 4), (12_000, 4)),
        (png_of_declared_size(9_000, 9_000), (9_000, 9_000)),
        (png_of_declared_size(300, 300), (300, 300)),
    ],
    ids=["zero bytes", "text", "20,000 pixels", "12,000 pixels", "81 megapixels", "cut off"],
)
def test_a_bad_file_is_one_unreadable_image_and_no_error(
    tmp_path: Path, content: bytes, seen: tuple[int, int]
) -> None:
    write_picture(tmp_path / "a" / "1.png", noise((20, 20)))
    (tmp_path / "a" / "2.jpeg").write_bytes(content)
    source = open_folder(tmp_path)
    good, bad = source.read(source.records())
    assert good.pixels is not None
    assert bad.pixels is None
    assert (bad.width, bad.height) == seen


def test_a_truncated_jpeg_is_unreadable(tmp_path: Path) -> None:
    path = write_picture(tmp_path / "a" / "1.jpeg", noise((64, 64)))
    path.write_bytes(path.read_bytes()[:-400])
    source = open_folder(tmp_path)
    assert next(source.read(source.records())).pixels is None


def test_a_file_that_goes_away_after_listing_is_unreadable(tmp_path: Path) -> None:
    source = open_folder(write_folder(tmp_path))
    records = source.records()
    source.files[0].path.unlink()
    assert [each.pixels is None for each in source.read(records)].count(True) == 1


def test_what_is_no_picture_is_not_listed(tmp_path: Path) -> None:
    write_folder(tmp_path, splits=(), images=2)
    (tmp_path / "NORMAL" / "notes.txt").write_text("x")
    (tmp_path / "NORMAL" / ".hidden.png").write_text("x")
    (tmp_path / "__MACOSX" / "NORMAL").mkdir(parents=True)
    os.mkfifo(tmp_path / "NORMAL" / "pipe.png")  # reading it would never end
    assert len(open_folder(tmp_path).records()) == 4


def test_a_name_in_another_encoding_has_an_id_that_can_be_stored(tmp_path: Path) -> None:
    write_picture(tmp_path / "a" / os.fsdecode(b"R\xf6ntgen.png"), noise((20, 20)))
    (record,) = open_folder(tmp_path).records()
    assert record.image_id.encode("utf-8")


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceMissing, match="nowhere"):
        open_folder(tmp_path / "nowhere")


def test_a_folder_without_pictures_says_which_files_it_looked_for(tmp_path: Path) -> None:
    (tmp_path / "train" / "a").mkdir(parents=True)
    with pytest.raises(NoImages, match=r"\.jpeg, \.jpg, \.png"):
        open_folder(tmp_path)


def test_a_misspelt_split_is_refused(tmp_path: Path) -> None:
    write_folder(tmp_path, splits=("train", "tset"))
    with pytest.raises(SourceCorrupt, match="1 of 2 folders"):
        open_folder(tmp_path)


@pytest.mark.parametrize(
    ("options", "seen"),
    [
        ({"patient_pattern": "(?P<patient>"}, "no regular expression"),
        ({"patient_pattern": "person[0-9]+"}, "which part of the name is the patient"),
        ({"patient_scope": "hospital"}, "dataset, split"),
        ({"channels": 2}, "1 or 3 channels"),
    ],
)
def test_options_that_cannot_be_used_are_refused(
    tmp_path: Path, options: dict[str, object], seen: str
) -> None:
    with pytest.raises(RosterError, match=seen):
        open_folder(write_folder(tmp_path), **options)  # type: ignore[arg-type]
