"""How NVFlare's server and clients start the processes of a job: tied to them by the kernel."""

from __future__ import annotations

import os
import shlex
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from nvflare.apis.fl_constant import FLContextKey
from nvflare.apis.job_launcher_spec import JobHandleSpec
from nvflare.app_common.job_launcher.process_launcher import ProcessHandle, ProcessJobLauncher
from nvflare.utils.job_launcher_utils import (
    generate_client_command,
    generate_server_command,
    get_credential_env,
)

from fed_assets.federation.ended import write_ended
from fed_assets.federation.link import ForkedJob, open_link


class _TiedLauncher(ProcessJobLauncher):  # type: ignore[misc]
    """Has the site's supervisor fork job processes; without one, spawns them through `child`."""

    def __init__(self) -> None:
        super().__init__()
        self._link = open_link()
        # The kernel ties a child to the thread that started it, and NVFlare's threads come and go.
        self._starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="job_starter")

    def launch_job(self, job_meta: dict[str, Any], fl_ctx: Any) -> JobHandleSpec:
        workspace = Path(fl_ctx.get_prop(FLContextKey.WORKSPACE_OBJECT).get_root_dir())
        if self._link is not None:
            # Python, `-m` and the module come first; which module it is, the supervisor knows.
            arguments = shlex.split(self.nvflare_command(fl_ctx))[3:]
            credentials = get_credential_env(fl_ctx.get_prop(FLContextKey.JOB_PROCESS_ARGS) or {})
            return _RecordedJob(self._link.start_job(arguments, credentials), workspace)
        handle = self._starter.submit(super().launch_job, job_meta, fl_ctx).result()
        return _RecordedJob(handle, workspace)

    def get_command(self, job_meta: dict[str, Any], fl_ctx: Any) -> str:
        """Returns NVFlare's own command, led through `child`."""
        start = f"{sys.executable} -m "
        command = self.nvflare_command(fl_ctx).removeprefix(start)
        return f"{start}fed_assets.federation.child {os.getpid()} {command}"

    def nvflare_command(self, fl_ctx: Any) -> str:
        """Returns the command that NVFlare itself would run."""
        raise NotImplementedError


class ServerLauncher(_TiedLauncher):
    """Starts the server's process of a job."""

    def nvflare_command(self, fl_ctx: Any) -> str:
        """Returns the command that NVFlare itself would run."""
        return str(generate_server_command(fl_ctx))


class HospitalLauncher(_TiedLauncher):
    """Starts a hospital's process of a job."""

    def nvflare_command(self, fl_ctx: Any) -> str:
        """Returns the command that NVFlare itself would run."""
        return str(generate_client_command(fl_ctx))


class _RecordedJob(JobHandleSpec):  # type: ignore[misc]
    """Writes down when and how a job's process ended, so that the session can name the first."""

    def __init__(self, job: ForkedJob | ProcessHandle, workspace: Path) -> None:
        self._job = job
        self._workspace = workspace

    def terminate(self) -> None:
        """Kills the process."""
        self._job.terminate()

    def poll(self) -> int:
        """Returns NVFlare's code for how it ended, or UNKNOWN while it runs."""
        return int(self._job.poll())

    def wait(self) -> None:
        """Waits for its end, and writes it down."""
        self._job.wait()
        forked = isinstance(self._job, ForkedJob)
        write_ended(self._workspace, self._job.code if forked else self._job.adapter.poll())
