"""What runs at one site of a federation: NVFlare's modules, their arguments and environment."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import fed_assets
from fed_assets.federation.plan import SERVER

CONSOLE_FILE = "console.log"
TEMPORARY = "tmp"
_APP = "nvflare.private.fed.app."
SITE_MODULES = (
    f"{_APP}server.server_train",
    f"{_APP}server.runner_process",
    f"{_APP}client.client_train",
    f"{_APP}client.worker_process",
)


@dataclass(frozen=True)
class Site:
    """The server or one hospital.

    Attributes:
        name: `server`, or the hospital's id.
        workspace: Absolute path of its workspace.
    """

    name: str
    workspace: str

    @property
    def main_module(self) -> str:
        """The module of NVFlare that runs as long as the federation does."""
        return SITE_MODULES[0 if self.name == SERVER else 2]

    @property
    def job_module(self) -> str:
        """The module of NVFlare that runs one job."""
        return SITE_MODULES[1 if self.name == SERVER else 3]

    def main_arguments(self) -> list[str]:
        """Returns what `main_module` gets on its command line."""
        config = "fed_server.json" if self.name == SERVER else "fed_client.json"
        options = ["secure_train=true", f"uid={self.name}", f"org={self.name}"]
        return ["-m", self.workspace, "-s", config, "--set", *options, "config_folder=config"]

    def environment(self) -> dict[str, str]:
        """Returns all that the site's processes find in their environment: none of ours."""
        return {
            **BARE_ENVIRONMENT,
            "HOME": self.workspace,
            "TMPDIR": str(Path(self.workspace).parent.parent / TEMPORARY),
        }

    @property
    def console(self) -> Path:
        """The file that holds what the site's processes wrote to stdout and stderr."""
        return Path(self.workspace) / CONSOLE_FILE


BARE_ENVIRONMENT = {
    "LANG": "C.UTF-8",
    "PATH": os.defpath,
    "PYTHONPATH": str(Path(fed_assets.__file__).parent.parent),
    "PYTHONSAFEPATH": "1",
    "PYTHONUNBUFFERED": "1",
    # Libraries that hospitals' code imports must not phone home, nor start threads when imported.
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    # Ten hospitals share a machine: one thread each.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    # Big arrays come and go every round; unmapping them each time costs a page fault per page.
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": "33554432",
    "MALLOC_TRIM_THRESHOLD_": "268435456",
}
