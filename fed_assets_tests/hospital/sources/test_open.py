from __future__ import annotations

import pytest

from fed_assets.errors import RosterError
from fed_assets.hospital.sources.open import open_source


@pytest.mark.parametrize("spec", [{}, {"kind": "zip"}, {"kind": None}])
def test_an_unknown_kind_is_answered_with_the_known_ones(spec: dict[str, object]) -> None:
    with pytest.raises(RosterError, match="medmnist, folder, dicom, phantom"):
        open_source(spec)


@pytest.mark.parametrize("kind", ["medmnist", "folder", "dicom"])
def test_a_kind_that_lies_somewhere_needs_a_path(kind: str) -> None:
    with pytest.raises(RosterError, match=f"kind {kind} has no path"):
        open_source({"kind": kind})
