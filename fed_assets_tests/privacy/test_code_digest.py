from __future__ import annotations

from pathlib import Path

from fed_assets.privacy.code_digest import files_digest


def package(folder: Path) -> Path:
    (folder / "part" / "__pycache__").mkdir(parents=True)
    (folder / "part" / "one.py").write_text("one = 1\n")
    (folder / "part" / "__pycache__" / "one.pyc").write_bytes(b"compiled")
    return folder


def test_the_same_files_have_the_same_digest_wherever_they_lie(tmp_path: Path) -> None:
    assert files_digest(package(tmp_path / "a")) == files_digest(package(tmp_path / "b"))


def test_another_content_or_name_is_another_digest(tmp_path: Path) -> None:
    folder = package(tmp_path / "a")
    before = files_digest(folder)
    (folder / "part" / "one.py").write_text("one = 2\n")
    changed = files_digest(folder)
    (folder / "part" / "one.py").rename(folder / "part" / "two.py")
    assert len({before, changed, files_digest(folder)}) == 3


def test_what_python_compiled_is_not_counted(tmp_path: Path) -> None:
    folder = package(tmp_path / "a")
    before = files_digest(folder)
    (folder / "part" / "__pycache__" / "one.pyc").write_bytes(b"compiled anew")
    assert files_digest(folder) == before
