from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fed_assets.errors import NoImages, RosterError, SealBroken
from fed_assets.hospital.expectations import Finding
from fed_assets.hospital.files import Store
from fed_assets.hospital.images import prepare_images
from fed_assets.hospital.store import dataset_folder, set_validated, validated_digest
from fed_assets.hospital.validation import LIMITS, find, validate_images
from fed_assets_tests.hospital.keys import a_sealed_store
from fed_assets_tests.hospital.samples import noise, png_of_declared_size, write_folder, write_npz

CLASSES = ("normal", "pneumonia")


def _manifest(images: int = 60) -> pd.DataFrame:
    """A manifest in which nothing is wrong; patients have two images each."""
    rows = np.arange(images)
    return pd.DataFrame(
        {
            "image_id": [f"i{row}" for row in rows],
            "patient": [f"p{row // 2}" for row in rows],
            "label": (rows // 2 % 2).astype(np.int16),
            "split": np.where(rows < images // 2, "train", "test"),
            "width": np.int32(28),
            "height": np.int32(32),
            "bit_depth": np.int16(8),
            "mean": np.float32(127),
            "sd": np.float32(50),
            "sha256": [f"{row:064x}" for row in rows],
            "readable": True,
        }
    )


def _find(manifest: pd.DataFrame, required: tuple[str, ...] = CLASSES) -> dict[str, Finding]:
    found = find(manifest, classes=CLASSES, required=required, limits=LIMITS)
    return {finding.name: finding for finding in found}


def _failed(findings: dict[str, Finding]) -> dict[str, int]:
    return {name: finding.count for name, finding in findings.items() if not finding.passed}


def test_a_sound_manifest_passes_every_rule() -> None:
    findings = _find(_manifest())
    assert _failed(findings) == {}
    assert len(findings) == 11
    assert all(finding.count == 0 for finding in findings.values())
    assert findings["readable"].of == 60


def _set(column: str, rows: list[int], value: Any) -> Callable[[pd.DataFrame], None]:
    def change(manifest: pd.DataFrame) -> None:
        manifest.loc[rows, column] = value

    return change


def _same_image(*rows: int) -> Callable[[pd.DataFrame], None]:
    return _set("sha256", list(rows), "f" * 64)


@pytest.mark.parametrize(
    ("change", "failed"),
    [
        (_set("image_id", [3, 4], "i5"), {"unique_image_ids": 3}),
        (_set("label", [0, 1, 2], -1), {"known_labels": 3}),
        (_set("label", [0, 1], 2), {"known_labels": 2}),
        (_set("width", [7], 15), {"size_in_range": 1}),
        (_set("height", [7, 8], 10_001), {"size_in_range": 2}),
        (_set("sd", [9], 0.5), {"not_blank": 1}),
        (_same_image(1, 50), {"no_duplicates_across_splits": 2}),
        (_same_image(1, 2, 3), {"no_duplicates_within_split": 2}),
        (_set("patient", [1, 50], "p9999"), {"no_patient_in_two_splits": 2}),
    ],
    ids=lambda case: next(iter(case)) if isinstance(case, dict) else "",
)
def test_each_rule_counts_the_rows_that_break_it(
    change: Callable[[pd.DataFrame], None], failed: dict[str, int]
) -> None:
    manifest = _manifest()
    change(manifest)
    assert _failed(_find(manifest)) == failed


def test_an_unreadable_image_breaks_that_rule_and_no_other() -> None:
    manifest = _manifest()
    unreadable = [4, 5, 50]
    manifest.loc[unreadable, "readable"] = False
    manifest.loc[unreadable, ["width", "height"]] = 0
    manifest.loc[unreadable, "sd"] = 0.0
    manifest.loc[unreadable, "sha256"] = "e" * 64  # three empty files are no duplicates
    assert _failed(_find(manifest)) == {"readable": 3}


def test_a_refused_giant_is_unreadable_and_out_of_range() -> None:
    manifest = _manifest()
    manifest.loc[4, "readable"] = False
    manifest.loc[4, "width"] = 12_000
    assert _failed(_find(manifest)) == {"readable": 1, "size_in_range": 1}


def test_a_hospital_with_one_class_only_fails_both_rules_about_classes() -> None:
    manifest = _manifest()
    manifest["label"] = np.int16(0)
    findings = _find(manifest)
    assert _failed(findings) == {"enough_images_per_class": 1, "plausible_class_balance": 1}
    assert findings["enough_images_per_class"].of == 2


def test_a_required_class_that_the_data_has_never_heard_of_is_wanting() -> None:
    findings = _find(_manifest(), required=(*CLASSES, "covid"))
    assert _failed(findings) == {"enough_images_per_class": 1}
    assert findings["enough_images_per_class"].of == 3


def test_a_class_that_is_not_required_may_be_absent() -> None:
    manifest = _manifest()
    manifest.loc[manifest.index[:59], "label"] = np.int16(0)
    manifest.loc[59, "label"] = np.int16(1)
    assert _failed(_find(manifest, required=("normal",))) == {"plausible_class_balance": 1}


def test_too_few_images_are_counted_by_how_many_are_wanting() -> None:
    findings = _find(_manifest(12))
    assert _failed(findings) == {"enough_images": 8}
    assert findings["enough_images"].of == 20


def test_where_no_patient_is_known_the_rule_about_patients_holds() -> None:
    manifest = _manifest()
    manifest["patient"] = None
    finding = _find(manifest)["no_patient_in_two_splits"]
    assert (finding.passed, finding.count, finding.of) == (True, 0, 0)


def test_only_the_rule_about_copies_in_one_split_is_a_warning() -> None:
    severities = {finding.severity: name for name, finding in _find(_manifest()).items()}
    assert severities["warning"] == "no_duplicates_within_split"


def test_no_finding_holds_a_value_of_the_manifest(capfd: pytest.CaptureFixture[str]) -> None:
    manifest = _manifest()
    manifest["image_id"] = "SECRET-ID"
    manifest["patient"] = "SECRET-PATIENT"
    manifest["sha256"] = "SECRET-HASH"
    manifest["sd"] = np.float32(0.123456)
    findings = _find(manifest)
    assert len(_failed(findings)) >= 4
    printed = "".join(capfd.readouterr())
    for secret in ("SECRET", "0.123456"):
        assert secret not in repr(findings)
        assert secret not in printed


def test_an_expectation_that_breaks_counts_as_failed(capfd: pytest.CaptureFixture[str]) -> None:
    manifest = _manifest()
    manifest["sd"] = manifest["sd"].astype(object)
    manifest.loc[3, "sd"] = "SECRET-TEXT"
    finding = _find(manifest)["not_blank"]
    assert not finding.passed
    assert finding.count == 60
    assert "SECRET" not in repr(finding) + "".join(capfd.readouterr())


def _store(tmp_path: Path, source: dict[str, Any], size: int = 20) -> Store:
    store = Store(tmp_path / "store")
    prepare_images({"source": source, "image_size": size}, store)
    return store


def test_sound_images_are_let_through(tmp_path: Path) -> None:
    source = {"kind": "medmnist", "path": str(write_npz(tmp_path / "a.npz", side=(20, 20)))}
    store = _store(tmp_path, source)
    result = validate_images({"required_classes": ["0", "1"]}, store)
    assert result["passed"] is True
    assert validated_digest(store) == result["digest"]


def test_an_error_takes_back_what_was_let_through_before(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "images")
    source = {"kind": "folder", "path": str(root)}
    store = _store(tmp_path, source)
    assert validate_images({}, store)["passed"]
    (root / "train" / "NORMAL" / "new.png").write_bytes(png_of_declared_size(12_000, 12_000))
    _store(tmp_path, source)
    result = validate_images({}, store)
    failed = {each["name"]: each["count"] for each in result["findings"] if not each["passed"]}
    assert failed == {"readable": 1, "size_in_range": 1}
    assert result["passed"] is False
    assert validated_digest(store) is None


def test_a_warning_shows_and_lets_through(tmp_path: Path) -> None:
    images = noise((60, 20, 20))
    images[2] = images[4]
    path = write_npz(tmp_path / "a.npz", side=(20, 20), train_images=images)
    store = _store(tmp_path, {"kind": "medmnist", "path": str(path)})
    result = validate_images({}, store)
    (warning,) = [each for each in result["findings"] if not each["passed"]]
    assert (warning["name"], warning["count"]) == ("no_duplicates_within_split", 1)
    assert result["passed"] is True
    assert validated_digest(store) == result["digest"]


def test_the_real_files_own_defects_are_found(real_data: Path, tmp_path: Path) -> None:
    source = {"kind": "medmnist", "path": str(real_data / "pneumoniamnist.npz")}
    result = validate_images({}, _store(tmp_path, source, size=28))
    failed = {each["name"]: each["count"] for each in result["findings"] if not each["passed"]}
    # 18 copies in train and 3 in test; and 8 images stand both in train and in validation.
    assert failed == {"no_duplicates_within_split": 21, "no_duplicates_across_splits": 18}


def test_limits_come_from_the_roster_and_an_unknown_one_is_refused(tmp_path: Path) -> None:
    source = {"kind": "medmnist", "path": str(write_npz(tmp_path / "a.npz", side=(20, 20)))}
    store = _store(tmp_path, source)
    strict = validate_images({"expectations": {"min_images": 1000, "min_sd": 200}}, store)
    failed = {each["name"]: each["count"] for each in strict["findings"] if not each["passed"]}
    assert failed == {"enough_images": 908, "not_blank": 92}
    set_validated(store, strict["digest"])
    with pytest.raises(RosterError, match=r"min_imgaes.*min_images"):
        validate_images({"expectations": {"min_imgaes": 1}}, store)


def test_images_that_were_never_prepared_cannot_be_validated(tmp_path: Path) -> None:
    with pytest.raises(NoImages):
        validate_images({}, Store(tmp_path))


def test_a_sealed_image_that_was_changed_is_found_by_validation_and_not_by_training(
    tmp_path: Path,
) -> None:
    store = a_sealed_store(tmp_path)
    source = {"kind": "phantom", "images": 60, "test_images": 20, "size": 20}
    prepared = prepare_images({"source": source, "image_size": 20}, store)
    assert validate_images({}, store)["passed"]  # the positive control
    images = dataset_folder(store, prepared["digest"]) / "images.npy"
    content = bytearray(images.read_bytes())
    content[-1] ^= 1
    images.write_bytes(content)
    with pytest.raises(SealBroken, match=r"images\.npy"):
        validate_images({}, store)
    assert validated_digest(store) is None
