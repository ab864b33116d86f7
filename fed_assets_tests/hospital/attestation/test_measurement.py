from __future__ import annotations

import os
import py_compile
import shutil
from collections.abc import Callable
from importlib.util import cache_from_source
from pathlib import Path

import pytest

from fed_assets.hospital.attestation.measurement import measure, package_folder


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A part of the package that can be changed."""
    folder = tmp_path / "fed_assets"
    shutil.copytree(package_folder() / "hospital", folder / "hospital", ignore=_CACHES)
    return folder


_CACHES = shutil.ignore_patterns("__pycache__")


def compiled(source: Path, content: str) -> None:
    """Has Python run some content in place of a source, which stays as it is."""
    found, own = source.stat(), source.read_text()
    source.write_text(content.ljust(len(own)))
    os.utime(source, ns=(found.st_atime_ns, found.st_mtime_ns))
    py_compile.compile(str(source), cache_from_source(str(source)), doraise=True)
    source.write_text(own)
    os.utime(source, ns=(found.st_atime_ns, found.st_mtime_ns))


def test_equal_code_has_one_measurement_wherever_it_lies_and_whether_it_ran_or_not(
    package: Path, tmp_path: Path
) -> None:
    first = measure(package)
    assert len(first) == 64
    assert measure(package) == first
    py_compile.compile(str(package / "hospital" / "training.py"))
    assert measure(package) == first
    assert measure(shutil.copytree(package, tmp_path / "elsewhere")) == first


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "training.py").open("a").write("#"),
        lambda folder: (folder / "training.py").unlink(),
        lambda folder: (folder / "training.py").rename(folder / "training2.py"),
        lambda folder: (folder / "extra.py").write_text(""),
        lambda folder: (folder / "torch.so").write_bytes(b""),
        lambda folder: compiled(folder / "training.py", "print('not what the source says')"),
    ],
    ids=["changed", "removed", "renamed", "added", "added_library", "compiled_otherwise"],
)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_any_change_gives_another_measurement(
    package: Path, change: Callable[[Path], object]
) -> None:
    before = measure(package)
    change(package / "hospital")
    assert measure(package) != before


def test_what_python_would_compile_anew_does_not_count(package: Path) -> None:
    before = measure(package)
    source = package / "hospital" / "training.py"
    compiled(source, "print('old')")
    os.utime(source)
    assert measure(package) == before


def test_code_behind_a_link_is_measured_too(package: Path, tmp_path: Path) -> None:
    before = measure(package)
    (package / "hospital").rename(tmp_path / "elsewhere")
    (package / "hospital").symlink_to(tmp_path / "elsewhere")
    assert measure(package) == before
    (tmp_path / "elsewhere" / "training.py").write_text("print('other')")
    assert measure(package) != before
