from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from fed_assets.errors import NoImages, SourceMissing
from fed_assets.hospital.files import Store
from fed_assets.hospital.images import prepare_images
from fed_assets.hospital.looking import look_at_source
from fed_assets.hospital.source_files import SECOND, files_of, read_files
from fed_assets.hospital.source_state import taken
from fed_assets.hospital.sources.folder import open_folder
from fed_assets.hospital.store import SEEN, TAKEN, open_store
from fed_assets.hospital.suppression import SUPPRESSED, disclosed
from fed_assets_tests.hospital.keys import a_sealed_store
from fed_assets_tests.hospital.samples import (
    noise,
    write_dicom,
    write_folder,
    write_npz,
    write_picture,
)

COUNTS = ("new", "changed", "removed", "moved", "copies", "unsettled")
NEW = "train/NORMAL/new.png"


class Hospital:
    """A folder of pictures that were prepared once, and looks at it."""

    def __init__(self, folder: Path, *, prepared: bool = True) -> None:
        self.root = write_folder(folder / "pictures")
        self.store = open_store(Store(folder / "store", "north"))
        self.arguments: dict[str, Any] = {
            "source": {"kind": "folder", "path": str(self.root)},
            "image_size": 16,
        }
        if prepared:
            self.prepare()

    def prepare(self, **changes: Any) -> dict[str, Any]:
        return prepare_images(self.arguments | changes, self.store)

    def look(self, **changes: Any) -> dict[str, Any]:
        return look_at_source(self.arguments | changes, self.store)

    def counts(self, **changes: Any) -> dict[str, int]:
        """Returns the counts of a look that are not 0."""
        answer = self.look(**changes)
        assert answer["differs"] == any(answer[name] for name in COUNTS[:4])
        return {name: answer[name] for name in COUNTS if answer[name]}

    def file(self, name: str = NEW, seed: int = 999) -> Path:
        return write_picture(self.root / name, noise((20, 20), seed))


@pytest.fixture
def hospital(tmp_path: Path) -> Hospital:
    return Hospital(tmp_path)


def first(root: Path, split: str = "train", name: str = "NORMAL") -> Path:
    return sorted((root / split / name).iterdir())[0]


def test_what_was_prepared_differs_in_nothing(hospital: Hospital) -> None:
    answer = hospital.look()
    assert {name: answer[name] for name in COUNTS} == dict.fromkeys(COUNTS, 0)
    assert (answer["differs"], answer["settled"]) == (False, True)


def test_what_was_never_prepared_is_all_new_and_has_no_mark(tmp_path: Path) -> None:
    hospital = Hospital(tmp_path, prepared=False)
    before = hospital.look()
    assert (before["new"], before["mark"]) == (48, "")
    hospital.prepare()
    after = hospital.look()
    assert after["mark"]
    assert after["digest"] == before["digest"]


def test_new_changed_and_removed_files_are_counted(hospital: Hospital) -> None:
    hospital.file()
    write_picture(first(hospital.root, "val"), noise((20, 20), 1000))
    first(hospital.root, "test").unlink()
    assert hospital.counts() == {"new": 1, "changed": 1, "removed": 1}
    hospital.prepare()
    assert hospital.counts() == {}


def test_each_preparation_has_a_mark_of_its_own(hospital: Hospital) -> None:
    marks = {hospital.look()["mark"]}
    for _ in range(2):
        hospital.prepare()
        marks.add(hospital.look()["mark"])
    assert len(marks) == 3


def test_the_same_file_dropped_twice_is_one_new_image(hospital: Hospital) -> None:
    before = hospital.prepare()["images"]
    shutil.copyfile(hospital.file(), hospital.root / "train" / "NORMAL" / "again.png")
    assert hospital.counts() == {"new": 1, "copies": 1}
    prepared = hospital.prepare()
    assert (prepared["images"], prepared["copies"]) == (before + 1, 1)
    assert hospital.counts() == {"copies": 1}


def test_a_copy_of_what_is_there_is_nothing_new_even_if_it_is_listed_first(
    hospital: Hospital,
) -> None:
    digest = hospital.look()["digest"]
    shutil.copyfile(first(hospital.root), hospital.root / "train" / "NORMAL" / "a_copy.png")
    assert hospital.counts() == {"copies": 1}
    assert hospital.look()["digest"] == digest
    assert hospital.prepare()["images"] == 48


def test_a_picture_under_two_classes_is_no_copy_and_validation_sees_both(
    hospital: Hospital,
) -> None:
    shutil.copyfile(first(hospital.root), hospital.root / "train" / "PNEUMONIA" / "copy.png")
    assert hospital.counts() == {"moved": 1}
    assert (hospital.prepare()["images"], hospital.look()["copies"]) == (49, 0)


def test_a_picture_that_moves_to_another_class_is_found(hospital: Hospital) -> None:
    file = first(hospital.root)
    file.rename(hospital.root / "train" / "PNEUMONIA" / file.name)
    assert hospital.counts() == {"moved": 1}


def test_another_name_and_other_times_are_no_difference(hospital: Hospital) -> None:
    file = first(hospital.root)
    file = file.rename(file.with_name("renamed.png"))
    os.utime(file, (1, 1))
    assert hospital.counts() == {}


def test_another_patient_is_a_difference_where_names_tell_the_patient(tmp_path: Path) -> None:
    hospital = Hospital(tmp_path, prepared=False)
    hospital.arguments["source"]["patient_pattern"] = "^(?P<patient>person[^_]+)_"
    hospital.prepare()
    file = first(hospital.root)
    file.rename(file.with_name("personelse_0.png"))
    assert hospital.counts() == {"moved": 1}


def test_a_content_of_the_same_size_and_times_is_found(hospital: Hospital) -> None:
    file = first(hospital.root)
    hospital.look()
    times = file.stat()
    raw = bytearray(file.read_bytes())
    raw[-20] ^= 1
    with file.open("r+b") as same:
        same.write(raw)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert hospital.counts() == {"changed": 1}


@pytest.mark.parametrize(("later", "found"), [(0.5, {}), (1.9, {}), (2.0, {"changed": 1})])
def test_a_reading_is_trusted_only_two_seconds_after_the_files_last_change(
    hospital: Hospital, later: float, found: dict[str, int]
) -> None:
    """What stands in the record is wrong, which shows whether the file is read again."""
    hospital.look()
    path = hospital.store.folder / SEEN
    record = json.loads(path.read_text())
    name = next(iter(record))
    (_, written, changed, _), _, _, since = record[name]
    read_at = max(written, changed) + int(later * SECOND)
    record[name][1:] = ["0" * 64, read_at, since]
    path.write_text(json.dumps(record))
    assert hospital.counts() == found


def test_a_damaged_record_costs_reading_and_hides_nothing(hospital: Hospital) -> None:
    hospital.file()
    (hospital.store.folder / SEEN).write_text("{")
    assert hospital.counts() == {"new": 1}
    (hospital.store.folder / SEEN).write_text('{"a": 1}')
    assert hospital.counts() == {"new": 1}


def test_a_damaged_note_of_what_was_taken_up_takes_all_up_anew(hospital: Hospital) -> None:
    (hospital.store.folder / TAKEN).write_text("[]")
    assert (hospital.counts(), hospital.look()["mark"]) == ({"new": 48}, "")


def test_a_file_that_was_just_written_is_not_settled_until_it_stays(hospital: Hospital) -> None:
    hospital.file()
    answer = hospital.look(settle_seconds=60)
    assert (answer["settled"], answer["unsettled"], answer["new"]) == (False, 49, 1)
    time.sleep(0.5)
    answer = hospital.look(settle_seconds=0.4)
    assert (answer["settled"], answer["unsettled"], answer["new"]) == (True, 0, 1)


def test_a_file_of_a_clock_that_is_ahead_settles_too(hospital: Hospital) -> None:
    ahead = time.time() + 3600
    os.utime(hospital.file(), (ahead, ahead))
    time.sleep(0.5)
    assert hospital.look(settle_seconds=0.4)["unsettled"] == 1  # it is seen for the first time
    time.sleep(0.5)
    assert hospital.look(settle_seconds=0.4)["unsettled"] == 0


def test_a_half_copied_file_is_prepared_once_it_is_whole(hospital: Hospital) -> None:
    whole = hospital.file().read_bytes()
    time.sleep(0.1)
    file = hospital.root / NEW
    file.write_bytes(whole[: len(whole) // 2])
    prepared = hospital.prepare(settle_seconds=60)
    assert (prepared["images"], prepared["unreadable"], prepared["unsettled"]) == (48, 0, 1)
    file.write_bytes(whole)
    assert hospital.counts() == {"new": 1}
    prepared = hospital.prepare(settle_seconds=60)  # it can be decoded, so it is whole
    assert (prepared["images"], prepared["unreadable"], prepared["unsettled"]) == (49, 0, 0)


def test_a_damaged_file_that_stays_as_it_is_counts_as_unreadable(hospital: Hospital) -> None:
    file = hospital.file()
    file.write_bytes(file.read_bytes()[:100])
    prepared = hospital.prepare(settle_seconds=0)
    assert (prepared["images"], prepared["unreadable"], prepared["unsettled"]) == (49, 1, 0)
    assert hospital.counts() == {}  # it was taken up, and is not asked for again


def test_empty_files_are_no_copies_of_each_other(hospital: Hospital) -> None:
    for name in "abc":
        (hospital.root / "train" / "NORMAL" / f"{name}.png").touch()
    prepared = hospital.prepare()
    assert (prepared["unreadable"], prepared["copies"]) == (3, 0)


def test_a_look_without_time_goes_on_the_next_time(hospital: Hospital) -> None:
    (hospital.store.folder / SEEN).unlink()
    hospital.file()
    assert hospital.look(most_seconds=1e-9)["settled"] is False
    assert hospital.counts() == {"new": 1}


def test_other_terms_are_a_difference_without_counts(hospital: Hospital) -> None:
    answer = hospital.look(image_size=24)
    assert [answer[name] for name in COUNTS] == [0] * len(COUNTS)
    assert answer["differs"] is True


def test_a_folder_that_is_gone_is_an_error_and_no_removal(hospital: Hospital) -> None:
    shutil.rmtree(hospital.root / "train")
    shutil.rmtree(hospital.root / "val")
    shutil.rmtree(hospital.root / "test")
    with pytest.raises(NoImages):
        hospital.look()
    shutil.rmtree(hospital.root)
    with pytest.raises(SourceMissing):
        hospital.look()


def test_a_file_that_vanishes_while_it_is_looked_at_is_left_out(hospital: Hospital) -> None:
    files = files_of(open_folder(hospital.root), hospital.store)
    files[0].path.unlink()
    assert len(read_files(files, hospital.store).files) == 47


def test_a_packed_set_is_one_file(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "a.npz")
    store = open_store(Store(tmp_path / "s", "north"))
    arguments = {"source": {"kind": "medmnist", "path": str(path)}, "image_size": 12}
    prepare_images(arguments, store)
    assert look_at_source(arguments, store)["differs"] is False
    os.utime(path)
    assert look_at_source(arguments, store)["differs"] is False
    write_npz(path, train=61)
    assert look_at_source(arguments, store)["changed"] == 1
    path.unlink()
    with pytest.raises(SourceMissing):
        look_at_source(arguments, store)


def test_a_share_of_another_kind_is_a_difference(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "a.npz", train=400)
    store = open_store(Store(tmp_path / "s", "north"))
    share = {"index": 0, "of": 2, "how": "iid", "alpha": 0.5, "seed": 0}
    arguments = {"source": {"kind": "medmnist", "path": str(path)}, "image_size": 12}
    prepare_images(arguments | {"share": share}, store)
    assert look_at_source(arguments | {"share": share}, store)["differs"] is False
    assert look_at_source(arguments | {"share": share | {"of": 3}}, store)["differs"] is True


def test_a_phantom_differs_by_its_terms_alone(tmp_path: Path) -> None:
    store = open_store(Store(tmp_path / "s", "north"))
    source = {"kind": "phantom", "images": 60, "size": 12}
    prepare_images({"source": source, "image_size": 12}, store)
    assert look_at_source({"source": source, "image_size": 12}, store)["differs"] is False
    other = {"source": source | {"images": 61}, "image_size": 12}
    assert look_at_source(other, store)["differs"] is True


def test_a_dicom_file_of_another_patient_is_a_change(tmp_path: Path) -> None:
    root, store = tmp_path / "dicom", open_store(Store(tmp_path / "s", "north"))
    for number in range(6):
        write_dicom(root / "a" / f"{number}.dcm", noise((16, 16), number))
    arguments = {"source": {"kind": "dicom", "path": str(root)}, "image_size": 16}
    prepare_images(arguments, store)
    write_dicom(root / "a" / "0.dcm", noise((16, 16), 0), PatientID="another")
    answer = look_at_source(arguments, store)
    assert (answer["changed"], answer["new"], answer["removed"]) == (1, 0, 0)


def test_nothing_that_leaves_or_is_kept_names_a_file(hospital: Hospital) -> None:
    hospital.file("train/NORMAL/Ada_Lovelace.png")
    told = json.dumps(hospital.look())
    hospital.prepare()
    kept = [(hospital.store.folder / name).read_text() for name in (SEEN, TAKEN)]
    for text in (told, *kept):
        assert "Lovelace" not in text
        assert ".png" not in text
        assert "NORMAL" not in text


def test_a_sealed_store_seals_what_it_keeps_of_its_files(tmp_path: Path) -> None:
    hospital = Hospital(tmp_path, prepared=False)
    hospital.store = a_sealed_store(tmp_path)
    hospital.prepare()
    hospital.file()
    assert hospital.counts() == {"new": 1}
    for name in (SEEN, TAKEN):
        with pytest.raises(ValueError, match=r".*"):
            json.loads((hospital.store.folder / name).read_bytes())
    assert len(taken(hospital.store).files) == 48  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("counts", "told"),
    [
        ({}, True),
        ({"new": 10, "removed": 25}, True),
        ({"new": 9}, False),
        ({"new": 100, "copies": 1}, False),
    ],
)
def test_small_counts_of_a_look_stay_with_all_others(counts: dict[str, int], told: bool) -> None:
    answer = dict.fromkeys(COUNTS, 0) | counts
    answer |= {"differs": bool(counts), "settled": True, "digest": "d", "mark": "m"}
    shown = disclosed("look_at_source", answer, 10)
    assert {name: shown[name] for name in COUNTS} == (
        {name: answer[name] for name in COUNTS} if told else dict.fromkeys(COUNTS, SUPPRESSED)
    )
    assert shown["differs"] == answer["differs"]
