"""How NVFlare's server and clients start the processes of a job: tied to them by the kernel."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from nvflare.apis.fl_constant import FLContextKey
from nvflare.app_common.job_launcher.process_launcher import ProcessHandle, ProcessJobLauncher
from nvflare.utils.job_launcher_utils import generate_client_command, generate_server_command

from fed_assets.federation.ended import write_ended


class _TiedLauncher(ProcessJobLauncher):  # type: ignore[misc]
    """Starts job processes through `child`, from one thread that lives as long as this process."""

    def __init__(self) -> None:
        super().__init__()
        # The kernel ties a child to the thread that started it, and NVFlare's threads come and go.
        self._starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="job_starter")

    def launch_job(self, job_meta: dict[str, Any], fl_ctx: Any) -> ProcessHandle:
        handle = self._starter.submit(super().launch_job, job_meta, fl_ctx).result()
        workspace = Path(fl_ctx.get_prop(FLContextKey.WORKSPACE_OBJECT).get_root_dir())
        return _RecordedHandle(handle.adapter, workspace)


class ServerLauncher(_TiedLauncher):
    """Starts the server's process of a job."""

    def get_command(self, job_meta: dict[str, Any], fl_ctx: Any) -> str:
        """Returns NVFlare's own command, led through `child`."""
        return _through_child(generate_server_command(fl_ctx))


class HospitalLauncher(_TiedLauncher):
    """Starts a hospital's process of a job."""

    def get_command(self, job_meta: dict[str, Any], fl_ctx: Any) -> str:
        """Returns NVFlare's own command, led through `child`."""
        return _through_child(generate_client_command(fl_ctx))


class _RecordedHandle(ProcessHandle):  # type: ignore[misc]
    """Writes down when and how a job's process ended, so that the session can name the first."""

    def __init__(self, adapter: Any, workspace: Path) -> None:
        super().__init__(process_adapter=adapter)
        self._workspace = workspace

    def wait(self) -> None:
        super().wait()
        write_ended(self._workspace, self.adapter.poll())


def _through_child(command: str) -> str:
    start = f"{sys.executable} -m "
    return f"{start}fed_assets.federation.child {os.getpid()} {command.removeprefix(start)}"
