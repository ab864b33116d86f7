"""The folder of an audit's attempts goes with its run, whether that ends or is killed."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from dagster import DagsterInstance

from fed_assets.resources.audit_folder import audit_folder
from fed_assets.resources.home import Home

AUDIT = """
import sys, time
from pathlib import Path
from dagster import DagsterInstance
from fed_assets.resources.audit_folder import audit_folder
from fed_assets.resources.home import Home
home = Home(Path(sys.argv[1]))
with DagsterInstance.from_config(str(home.instance)) as instance:
    with audit_folder(home, instance, sys.argv[2]) as folder:
        (folder / "client.key").touch()
        print("ready", flush=True)
        time.sleep(60)
"""
SECONDS = 20


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home").prepare()


def test_it_is_empty_at_first_the_users_alone_and_gone_after(home: Home, run_id: str) -> None:
    left = home.audit(run_id) / "left.key"
    left.parent.mkdir(parents=True)
    left.touch()
    with DagsterInstance.from_config(str(home.instance)) as instance:
        with audit_folder(home, instance, run_id) as folder:
            assert [*folder.iterdir()] == []
            assert folder.stat().st_mode & 0o077 == 0
            (folder / "client.key").touch()
        assert not folder.exists()


def test_the_keys_of_an_audit_that_is_killed_are_cleared_at_once(home: Home, run_id: str) -> None:
    command = [sys.executable, "-c", AUDIT, str(home.root), run_id]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as audit:
        assert audit.stdout is not None
        assert audit.stdout.readline() == "ready\n"
        assert (home.audit(run_id) / "client.key").exists()
        audit.kill()
    until = time.monotonic() + SECONDS
    while home.audit(run_id).exists():
        assert time.monotonic() < until
        time.sleep(0.05)
    with DagsterInstance.from_config(str(home.instance)) as instance:
        while (run := instance.get_run_by_id(run_id)) is None or not run.is_failure:
            assert time.monotonic() < until
            time.sleep(0.1)
