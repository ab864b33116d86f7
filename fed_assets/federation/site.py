"""What NVFlare runs at one site of a federation: its modules and their arguments."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fed_assets.federation.plan import SERVER
from fed_assets.federation.program import Program

CONSOLE_FILE = "console.log"
SITES = "sites"
TEMPORARY = "tmp"
PLACES = "places"
NVFLARE_PROCESS = "fed_assets.federation.nvflare_process"
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

    def main_program(self) -> Program:
        """Returns the process that runs as long as the federation does."""
        return Program(
            title=f"{self.main_module} uid={self.name}",
            module=NVFLARE_PROCESS,
            arguments=(self.main_module, *self.main_arguments()),
            folder=self.workspace,
            temporary=str(Path(self.workspace).parent.parent / TEMPORARY / self.name),
            console=str(self.console),
            job_module=self.job_module,
            early=self.name == SERVER,  # it averages, and learns nothing itself
        )

    @property
    def console(self) -> Path:
        """The file that holds what the site's processes wrote to stdout and stderr."""
        return Path(self.workspace) / CONSOLE_FILE
