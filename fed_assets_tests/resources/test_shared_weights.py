from __future__ import annotations

from pathlib import Path

import pytest

from fed_assets.errors import StorageError
from fed_assets.resources.shared_weights import clear_shared, with_shared_copies


def test_every_model_of_a_task_is_copied_where_hospitals_may_read_it(tmp_path: Path) -> None:
    shared, inside = tmp_path / "shared", tmp_path / "models"
    shared.mkdir()
    inside.mkdir()
    for name in ("one", "other"):
        (inside / name).write_text(name)
    asked = {"weights": str(inside / "one"), "other_weights": str(inside / "other"), "seed": 1}
    told = with_shared_copies(asked, shared)
    assert told["seed"] == 1
    for name, content in (("weights", "one"), ("other_weights", "other")):
        copy = Path(told[name])
        assert copy.parent == shared
        assert copy.read_text() == content
        assert copy.stat().st_mode & 0o777 == 0o640
    assert with_shared_copies(asked, shared) == told
    assert len(list(shared.iterdir())) == 2
    clear_shared(shared)
    assert list(shared.iterdir()) == []
    assert with_shared_copies({"seed": 1}, shared) == {"seed": 1}


def test_weights_that_are_gone_cannot_be_shared(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be shared"):
        with_shared_copies({"other_weights": str(tmp_path / "none")}, tmp_path)
