from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fed_assets.errors import RunConfigError, StorageError
from fed_assets.hospital.network import build_network
from fed_assets.hospital.weights import load_weights, read_weights, weights_of, write_weights
from fed_assets.privacy.digests import weights_digest
from fed_assets_tests.networks import SMALL_RESNET


def test_weights_survive_the_file_and_the_network(tmp_path: Path) -> None:
    weights = weights_of(build_network(SMALL_RESNET, channels=1, classes=2, seed=0))
    write_weights(weights, tmp_path / "deeper" / "w.safetensors")
    other = build_network(SMALL_RESNET, channels=1, classes=2, seed=1)
    load_weights(other, read_weights(tmp_path / "deeper" / "w.safetensors"))
    assert weights_digest(weights_of(other)) == weights_digest(weights)
    assert [p.name for p in (tmp_path / "deeper").iterdir()] == ["w.safetensors"]


def _rename(weights: dict[str, Any]) -> None:
    weights["other"] = weights.pop(next(iter(weights)))


def _reshape(weights: dict[str, Any]) -> None:
    weights["fc.bias"] = np.zeros((1, 2), np.float32)


def _not_a_number(weights: dict[str, Any]) -> None:
    weights["fc.bias"] = np.array([0, np.nan], np.float32)


@pytest.mark.parametrize(
    ("spoil", "seen"),
    [
        (_rename, "1 missing, 1 unknown"),
        (_reshape, "1 of another shape"),
        (_not_a_number, "1 with values that are not finite"),
    ],
)
def test_weights_that_do_not_fit_are_refused_and_change_nothing(spoil: Any, seen: str) -> None:
    network = build_network(SMALL_RESNET, channels=1, classes=2, seed=0)
    before = weights_digest(weights_of(network))
    weights = weights_of(build_network(SMALL_RESNET, channels=1, classes=2, seed=1))
    spoil(weights)
    with pytest.raises(RunConfigError, match=seen):
        load_weights(network, weights)
    assert weights_digest(weights_of(network)) == before


@pytest.mark.parametrize("content", [b"", b"not weights", None])
def test_a_file_that_holds_no_weights_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "w.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RunConfigError, match="cannot be read"):
        read_weights(path)


def test_weights_that_cannot_be_written_leave_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").mkdir()
    with pytest.raises(StorageError):
        write_weights({"a": np.zeros(2)}, tmp_path / "w.safetensors")
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]
