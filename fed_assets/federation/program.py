"""What a process of a site runs, and what it finds around it: none of the starter's own."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import fed_assets

# Which graphics cards a process may use is the machine's say, not ours.
_OF_THE_MACHINE = ("CUDA_VISIBLE_DEVICES", "LD_LIBRARY_PATH", "NVIDIA_VISIBLE_DEVICES")


@dataclass(frozen=True)
class Program:
    """One process that is to run.

    Attributes:
        title: What the process is called in lists of processes.
        module: Its module, whose `main()` returns an exit code or None.
        arguments: Its command line.
        folder: Absolute path of its working directory, which is its HOME too.
        temporary: Absolute path of the folder for its temporary files.
        console: Absolute path of the file that gets what it writes to stdout and stderr.
        environment: What it finds in its environment beside `BARE_ENVIRONMENT`.
        job_module: NVFlare's module that its jobs run; empty if it may ask for none.
        answers: Whether its stdout, too, is the socket that it is given as its stdin.
        early: Whether it and its jobs need none of what the template loads last, see `template`.
    """

    title: str
    module: str
    arguments: tuple[str, ...]
    folder: str
    temporary: str
    console: str
    environment: Mapping[str, str] = field(default_factory=dict)
    job_module: str = ""
    answers: bool = False
    early: bool = False

    def full_environment(self) -> dict[str, str]:
        """Returns all that the process finds in its environment."""
        places = {"HOME": self.folder, "TMPDIR": self.temporary}
        return {**BARE_ENVIRONMENT, **places, **self.environment}

    def open_console(self) -> int:
        """Returns a descriptor that appends to the console, which only this user can read."""
        return os.open(self.console, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


BARE_ENVIRONMENT = {
    "LANG": "C.UTF-8",
    "PATH": os.defpath,
    # Libraries ask for a name, and the user of a confined hospital has no account.
    "USER": "fed_assets",
    "PYTHONPATH": str(Path(fed_assets.__file__).parent.parent),
    "PYTHONSAFEPATH": "1",
    "PYTHONUNBUFFERED": "1",
    # Libraries that hospitals' code imports must not phone home, nor start threads when imported.
    "DO_NOT_TRACK": "true",
    "GX_ANALYTICS_ENABLED": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "ORT_DISABLE_TELEMETRY": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    # Ten hospitals share a machine: one thread each.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    # Big arrays come and go every round; unmapping them each time costs a page fault per page.
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": "33554432",
    "MALLOC_TRIM_THRESHOLD_": "268435456",
    **{name: os.environ[name] for name in _OF_THE_MACHINE if name in os.environ},
}
