from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fed_assets.errors import RosterError
from fed_assets.sandboxes.yaml_file import read_entries


def read(path: Path) -> dict[str, Any]:
    return read_entries(path, what="The file", variable="X_FILE", error_class=RosterError)


def test_entries_come_back_as_they_stand(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("base: &base {x: 1, y: 2}\nother: {<<: *base, y: 3}\n7: seven\n")
    assert read(path) == {
        "base": {"x": 1, "y": 2},
        "other": {"x": 1, "y": 3},
        "7": "seven",
    }


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a: 1\nb: [1, 2\nc: 3\n", r"not well-formed YAML\. Where: .*, line 3"),
        (b"a: 1\nb: 2\na: 3\n", r"line 3\. Seen: a stands there twice"),
        (b"a:\n  b: 1\n  b: 2\n", r"line 3\. Seen: b stands there twice"),
        (b"\xff\xfe\x00a", "no text file"),
        (b"a: \x07", "not well-formed YAML"),
        (b"a: !!python/object:os.system {}", "not well-formed YAML"),
        (b"- a\n- b\n", "no list of entries.*Seen: list"),
        (b"", "Seen: an empty file"),
        (b"? [1, 2]\n: x\n", "not well-formed YAML"),
    ],
    ids=["unclosed", "twice", "twice-inside", "binary", "bell", "code", "list", "empty", "key"],
)
def test_a_file_that_cannot_be_used_is_refused_in_one_line(
    tmp_path: Path, content: bytes, said: str
) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(content)
    with pytest.raises(RosterError, match=said) as caught:
        read(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_missing_file_and_a_folder_name_the_variable_to_set(tmp_path: Path) -> None:
    for path, seen in ((tmp_path / "none.yaml", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(RosterError, match=f"cannot be read: {seen}.*Set X_FILE"):
            read(path)
