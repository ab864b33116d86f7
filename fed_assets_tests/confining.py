"""What it takes to try walls: root, a kernel with Landlock, ordinary users that reach Python."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from fed_assets.federation.landlock import LEAST_ABI, landlock_abi

PROJECT = Path(__file__).parent.parent
# No account has it, nor any home of the tests.
ORDINARY_USER = 1_899_999_001
# Whom a test becomes to have no rights but an ordinary user's; nobody else, where it has no more.
BECOMES = ORDINARY_USER if os.geteuid() == 0 else None
BECOME = """
import os, runpy, sys
from pathlib import Path
from fed_assets.federation.ways import open_ways
user, module, *arguments = sys.argv[1:]
open_ways([Path(sys.base_prefix), *map(Path, filter(None, sys.path))])
os.setgroups([])
os.setresgid(*(int(user),) * 3)
os.setresuid(*(int(user),) * 3)
os.execv(sys.executable, [sys.executable, "-m", module, *arguments])
"""


def require_root() -> None:
    """Skips the test where this user may not take on others."""
    if os.geteuid() != 0:
        pytest.skip("only root can give each hospital a Unix user of its own")


def require_landlock() -> None:
    """Skips the test on a kernel without Landlock; with `CI=true` one that has it must lend it."""
    if landlock_abi() >= LEAST_ABI:
        return
    lsm = Path("/sys/kernel/security/lsm")
    if os.environ.get("CI") == "true" and lsm.exists() and "landlock" in lsm.read_text():
        pytest.fail("the kernel has Landlock, and does not let this process use it")
    pytest.skip(f"this kernel lends no Landlock of ABI {LEAST_ABI} or later")


def run_module(
    module: str,
    *arguments: str,
    user: int | None = None,
    timeout: float = 60,
    within: Sequence[str] = (),
) -> subprocess.CompletedProcess[str]:
    """Returns what a module of ours printed, run by root, or by an ordinary user.

    Args:
        module: Its name.
        arguments: Its own.
        user: The ordinary user, if it is one.
        timeout: How many seconds it may take.
        within: A command that goes on as root's with what follows it.
    """
    command = [*within, sys.executable, "-m", module, *arguments]
    if user is not None:
        command = [sys.executable, "-c", BECOME, str(user), module, *arguments]
    return subprocess.run(
        command,
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": str(PROJECT), "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
