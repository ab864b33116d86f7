"""What a process behind Landlock can reach, beside what it could before."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from fed_assets.federation.landlock import everything_but, landlock_abi, restrict
from fed_assets_tests.confining import require_landlock, run_module

TRYING = "fed_assets_tests.federation.test_landlock"


def reach(paths: list[str]) -> dict[str, str]:
    """Returns what this process may do with each path."""
    may = {}
    for path in map(Path, paths):
        try:
            path.read_text()
            may[path.name] = "read"
            path.write_text("written")
            may[path.name] = "write"
        except OSError as error:
            may.setdefault(path.name, type(error).__name__)
    return may


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Returns a folder of three folders with a file in each."""
    for name in ("kept", "shown", "hidden"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.txt").write_text(name)
    return tmp_path


def tried(files: Path, readable: list[str], writable: list[str]) -> dict[str, str]:
    paths = [str(path) for path in sorted(files.glob("*/*.txt"))]
    # In a file: all that lies beside a folder may be more than an argument holds.
    asked = files.parent / f"{files.name}.json"
    asked.write_text(json.dumps([paths, readable, writable]))
    ran = run_module(TRYING, str(asked))
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def test_what_is_kept_can_be_written_what_is_shown_be_read_and_the_rest_not_be_opened(
    files: Path,
) -> None:
    require_landlock()
    told = tried(files, [str(files / "shown"), str(files / "not there")], [str(files / "kept")])
    assert told["before"] == dict.fromkeys(("hidden.txt", "kept.txt", "shown.txt"), "write")
    assert told["then"] == {
        "hidden.txt": "PermissionError",
        "kept.txt": "write",
        "shown.txt": "read",
    }
    assert told["signal to its parent"] == ("PermissionError" if landlock_abi() >= 6 else "done")


def test_everything_but_a_folder_is_all_that_is_there_and_not_on_the_way_to_it(
    files: Path,
) -> None:
    require_landlock()
    (files / "to the top").symlink_to("/")
    told = tried(files, [], list(map(str, everything_but(files / "hidden"))))
    assert told["then"] == {
        "hidden.txt": "PermissionError",
        "kept.txt": "write",
        "shown.txt": "write",
    }


def main() -> None:
    import os
    import signal

    paths, readable, writable = json.loads(Path(sys.argv[1]).read_text())
    before = reach(paths)
    restrict(readable, writable)
    told = {"before": before, "then": reach(paths)}
    try:
        os.kill(os.getppid(), signal.SIGURG)
        told["signal to its parent"] = "done"
    except OSError as error:
        told["signal to its parent"] = type(error).__name__
    print(json.dumps(told))


if __name__ == "__main__":
    main()
