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
        (b"a: 1\nb: {c: 2019-02-30}\n", r"line 2\. Seen: a value that cannot be: day is out"),
        (b"a: 1\nb: [" + b"1" * 401 + b"]\n", r"line 2\. Seen: a value that cannot be: int too"),
        (b"a: " + b"1" * 5000, r"line 1\. Seen: a value that cannot be"),
        (b"a: " + b"[" * 10_000, "nested too deeply.*fewer brackets"),
    ],
    ids=[
        *("unclosed", "twice", "twice-inside", "binary", "bell", "code", "list", "empty", "key"),
        *("date", "large", "larger", "deep"),
    ],
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


def test_a_number_with_an_exponent_is_one_with_or_without_point_and_sign(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    written = ("1e5", "1.0e5", "1.e5", "-1.0e-5", "+.5e5", "1.0E+308", "1.0e308")
    path.write_text("\n".join(f"{place}: {number}" for place, number in enumerate(written)))
    assert list(read(path).values()) == [1e5, 1e5, 1e5, -1e-5, 5e4, 1e308, 1e308]
    texts = ("1.0e", "e5", ".e5", "1.0e5s", "1.2.0e5")
    path.write_text("\n".join(f"{place}: {text}" for place, text in enumerate(texts)))
    assert list(read(path).values()) == list(texts)


def test_a_missing_file_and_a_folder_name_the_variable_to_set(tmp_path: Path) -> None:
    for path, seen in ((tmp_path / "none.yaml", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(RosterError, match=f"cannot be read: {seen}.*Set X_FILE"):
            read(path)
