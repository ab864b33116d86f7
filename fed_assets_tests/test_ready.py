"""A process that waits to be a run has imported what runs need, and read nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"torch", "monai", "mlflow", "great_expectations", "matplotlib"}


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    (tmp_path / "says.py").write_text(
        "import sys\nprint('fed_assets.definitions' in sys.modules, *sys.argv[1:])\n"
        "print(repr(sys.stdin.read()))\n"
    )
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    return os.environ | {
        "PYTHONPATH": path,
        "FED_ASSETS_HOME": str(tmp_path / "home"),
        "FED_ASSETS_ROSTER": str(tmp_path / "written_later.yaml"),
        "DAGSTER_HOME": str(tmp_path / "home" / "dagster"),
    }


def ready(environment: dict[str, str], given: bytes) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "fed_assets.ready", "says", "--tags", "{}"]
    return subprocess.run(
        command, input=given, env=environment, capture_output=True, timeout=100, check=False
    )


def test_what_is_let_go_is_the_module_with_its_arguments_and_finds_an_empty_stdin(
    environment: dict[str, str],
) -> None:
    ran = ready(environment, b". and what else was said")
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert ran.stdout.decode().splitlines() == ["True --tags {}", "''"]


def test_where_nobody_will_let_it_go_it_ends_and_has_run_nothing(
    environment: dict[str, str],
) -> None:
    ran = ready(environment, b"")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, b"", b"")


def after_imports(program: str, environment: dict[str, str]) -> list[str]:
    """Returns the lines that a program prints whose process is ready."""
    ahead = "from fed_assets.ready import import_ahead; import_ahead()"
    ran = subprocess.run(
        [sys.executable, "-c", f"{ahead}\nimport fed_assets, os, shutil, sys\n{program}"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()


def test_what_is_imported_ahead_is_not_heavy_and_reads_and_writes_nothing(
    environment: dict[str, str], tmp_path: Path
) -> None:
    program = (
        "print(*sys.modules)\nprint('defs' in vars(fed_assets), os.listdir('/proc/self/task'))"
    )
    loaded, told = after_imports(program, environment)
    assert {"dagster._cli.job", "fed_assets.definitions", "alembic"} <= {*loaded.split()}
    assert not HEAVY & {*loaded.split()}
    assert told.startswith("False") and "," not in told  # and numpy has started no thread
    assert not (tmp_path / "home").exists()


def test_a_roster_that_is_written_while_it_waits_is_the_runs(
    environment: dict[str, str],
) -> None:
    program = (
        "from fed_assets.resources.settings import SHIPPED_ROSTER\n"
        "shutil.copy(SHIPPED_ROSTER, os.environ['FED_ASSETS_ROSTER'])\n"
        "print(len(fed_assets.defs.resolve_asset_graph().get_all_asset_keys()))"
    )
    (assets,) = after_imports(program, environment)
    assert int(assets) > 30
