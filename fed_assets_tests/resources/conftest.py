"""Full disks and begun runs that the doors to the world are tested with."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster import DagsterInstance, DagsterRunStatus, job, op

from fed_assets.resources.home import Home

DISK_BYTES = 1 << 20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Yields a folder on a disk of its own with room for one MiB; skips where none can be made."""
    folder = tmp_path / "small_disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    try:
        made = subprocess.run(mount, capture_output=True).returncode == 0
    except FileNotFoundError:
        made = False
    if not made:
        pytest.skip("only root can make a small disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def run_id(home: Home) -> str:
    """Returns the id of a run that has begun in the module's home, and that nobody runs."""

    @op
    def nothing() -> None: ...

    @job
    def one() -> None:
        nothing()

    with DagsterInstance.from_config(str(home.instance)) as instance:
        return instance.create_run_for_job(one, status=DagsterRunStatus.STARTED).run_id
