from __future__ import annotations

import pytest

from fed_assets.errors import DisclosureRefused
from fed_assets.hospital.named_classes import require_named_classes

K = 10


@pytest.mark.parametrize("kind", ["folder", "dicom"])
def test_folders_name_no_classes_where_counts_are_suppressed(kind: str) -> None:
    arguments = {"source": {"kind": kind, "path": "/data"}, "classes": None}
    with pytest.raises(DisclosureRefused, match="names of the hospital's folders") as caught:
        require_named_classes("prepare_images", arguments, K)
    assert "classes: [normal, pneumonia]" in str(caught.value)
    require_named_classes("prepare_images", arguments, 0)
    require_named_classes("prepare_images", {**arguments, "classes": ["a", "b"]}, K)
    require_named_classes("prepare_images", {"source": {"kind": "medmnist"}}, K)
    require_named_classes("validate_images", {}, K)
