from __future__ import annotations

import numpy as np
import pytest

from fed_assets.errors import StorageError
from fed_assets.federation.weights import (
    difference_in_form,
    mapped_weights,
    payload_bytes,
    read_weights,
    write_weights,
)

LIKE = {
    "a": np.zeros((2, 3), dtype=np.float32),
    "b": np.zeros(4, dtype=np.float32),
    "steps": np.array(1, dtype=np.int64),
}


def test_weights_come_back_as_they_were_written(tmp_path):
    write_weights(tmp_path / "w.safetensors", LIKE)
    back = read_weights(tmp_path / "w.safetensors")
    assert back.keys() == LIKE.keys()
    for name, array in LIKE.items():
        np.testing.assert_array_equal(back[name], array)
        assert (back[name].shape, back[name].dtype) == (array.shape, array.dtype)


@pytest.mark.parametrize("dtype", ["f8", "f4", "f2", "i8", "i4", "u1", "?"])
def test_mapped_weights_are_those_of_the_file_and_outlive_it(tmp_path, dtype):
    path = tmp_path / "w.safetensors"
    weights = {**LIKE, "other": np.arange(5).astype(dtype), "none": np.zeros((0, 3), dtype)}
    write_weights(path, weights)
    mapped = mapped_weights(path)
    path.unlink()
    assert mapped.keys() == weights.keys()
    for name, array in weights.items():
        np.testing.assert_array_equal(mapped[name], array)
        assert (mapped[name].shape, mapped[name].dtype) == (array.shape, array.dtype)


def test_writing_to_mapped_weights_changes_no_file(tmp_path):
    path = tmp_path / "w.safetensors"
    write_weights(path, LIKE)
    mapped_weights(path)["a"][:] = 7
    assert not read_weights(path)["a"].any()


@pytest.mark.parametrize("read", [read_weights, mapped_weights])
@pytest.mark.parametrize("content", [None, b"", b"no safetensors", b"\xff" * 100])
def test_a_missing_or_broken_file_is_named(tmp_path, content, read):
    path = tmp_path / "w.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StorageError, match=r"w\.safetensors"):
        read(path)


@pytest.mark.parametrize("read", [read_weights, mapped_weights])
def test_a_truncated_file_is_refused(tmp_path, read):
    path = tmp_path / "w.safetensors"
    write_weights(path, LIKE)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(StorageError):
        read(path)


def test_the_same_form_has_no_difference():
    assert difference_in_form({name: array.copy() for name, array in LIKE.items()}, LIKE) is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"a": np.zeros((3, 2), dtype=np.float32)}, "a has shape (3, 2) in place of (2, 3)"),
        ({"a": np.zeros((2, 3), dtype=np.float64)}, "a has dtype float64 in place of float32"),
        ({"a": [[0.0] * 3] * 2}, "a is no array"),
        ({"b": np.array([0, 1, np.nan, 2], dtype=np.float32)}, "b holds numbers that are not"),
        ({"b": np.array([0, 1, np.inf, 2], dtype=np.float32)}, "b holds numbers that are not"),
        ({"c": np.zeros(1)}, "0 names are missing and 1 are unknown"),
    ],
)
def test_a_difference_is_said_in_one_phrase(change, said):
    assert said in difference_in_form({**LIKE, **change}, LIKE)


def test_missing_names_and_no_weights_at_all_are_differences():
    assert "3 names are missing" in difference_in_form({}, LIKE)
    assert difference_in_form(None, LIKE) == "it holds no named arrays"


def test_payload_counts_arrays_and_what_is_said():
    assert payload_bytes(LIKE, {}) == 24 + 16 + 8 + len("{}")
