"""How NVFlare's server and clients start the processes of a job: tied to them by the kernel."""

from __future__ import annotations

import os
import shlex
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from nvflare.apis.fl_constant import FLContextKey, FLMetaKey, JobConstants
from nvflare.apis.job_launcher_spec import JobHandleSpec, JobReturnCode
from nvflare.app_common.job_launcher.process_launcher import ProcessHandle, ProcessJobLauncher
from nvflare.utils.job_launcher_utils import (
    generate_client_command,
    generate_server_command,
    get_credential_env,
)

from fed_assets.federation.ended import write_ended
from fed_assets.federation.link import ForkedJob, open_link
from fed_assets.federation.site import NVFLARE_PROCESS


class _TiedLauncher(ProcessJobLauncher):  # type: ignore[misc]
    """Has the site's supervisor fork job processes; without one, spawns them through `child`."""

    handle: type[_RecordedJob]

    def __init__(self) -> None:
        super().__init__()
        self._link = open_link()
        # The kernel ties a child to the thread that started it, and NVFlare's threads come and go.
        self._starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="job_starter")

    def launch_job(self, job_meta: dict[str, Any], fl_ctx: Any) -> JobHandleSpec:
        if self._link is not None:
            # Python, `-m` and the module come first; which module it is, the supervisor knows.
            arguments = shlex.split(self.nvflare_command(fl_ctx))[3:]
            credentials = get_credential_env(fl_ctx.get_prop(FLContextKey.JOB_PROCESS_ARGS) or {})
            job = self._link.start_job(arguments, credentials)
        else:
            job = self._starter.submit(super().launch_job, job_meta, fl_ctx).result()
        workspace = Path(fl_ctx.get_prop(FLContextKey.WORKSPACE_OBJECT).get_root_dir())
        return self.handle(job, workspace, str(job_meta[JobConstants.JOB_ID]))

    def get_command(self, job_meta: dict[str, Any], fl_ctx: Any) -> str:
        """Returns NVFlare's own command, led through `child` and `nvflare_process`."""
        start = f"{sys.executable} -m "
        command = self.nvflare_command(fl_ctx).removeprefix(start)
        return f"{start}fed_assets.federation.child {os.getpid()} {NVFLARE_PROCESS} {command}"

    def nvflare_command(self, fl_ctx: Any) -> str:
        """Returns the command that NVFlare itself would run."""
        raise NotImplementedError


# What else a hospital's process ends with is the hospital's own loss.
_LEFT_AS_THEY_ARE = (JobReturnCode.SUCCESS, JobReturnCode.UNSAFE_COMPONENT)


class _RecordedJob(JobHandleSpec):  # type: ignore[misc]
    """Writes down when and how a job's process ended, for the session to read."""

    def __init__(self, job: ForkedJob | ProcessHandle, workspace: Path, job_id: str) -> None:
        self._job = job
        self._workspace = workspace
        self._job_id = job_id

    def terminate(self) -> None:
        """Kills the process."""
        self._job.terminate()

    def poll(self) -> int:
        """Returns NVFlare's code for how it ended, or UNKNOWN while it runs."""
        return int(self._job.poll())

    def wait(self) -> None:
        """Waits for its end, and writes it down."""
        self._job.wait()
        with suppress(OSError):  # where nothing can be written, NVFlare's own bookkeeping goes on
            write_ended(self._workspace, self._job_id, self.code())

    def code(self) -> int | None:
        """Returns the exit code, `-N` after signal N, or None while it runs."""
        if isinstance(self._job, ForkedJob):
            return self._job.code
        code = self._job.adapter.poll()
        return None if code is None else int(code)


class _DispensableJob(_RecordedJob):
    """A hospital's process of a job, whose death leaves the job to the other hospitals.

    NVFlare ends the whole job for any code but SUCCESS and UNKNOWN. The quorum is the controller's
    to judge, which learns of the loss through the session.
    """

    def poll(self) -> int:
        """Returns SUCCESS or UNKNOWN, or that the job named a class that this hospital refuses."""
        code = self.code()
        if code is not None and code in _LEFT_AS_THEY_ARE:
            return code
        return int(JobReturnCode.UNKNOWN)

    def wait(self) -> None:
        """Waits for its end, writes it down, and has NVFlare ask `poll` for the code."""
        super().wait()
        (self._workspace / self._job_id / FLMetaKey.PROCESS_RC_FILE).unlink(missing_ok=True)


class ServerLauncher(_TiedLauncher):
    """Starts the server's process of a job."""

    handle = _RecordedJob

    def nvflare_command(self, fl_ctx: Any) -> str:
        """Returns the command that NVFlare itself would run."""
        return str(generate_server_command(fl_ctx))


class HospitalLauncher(_TiedLauncher):
    """Starts a hospital's process of a job."""

    handle = _DispensableJob

    def nvflare_command(self, fl_ctx: Any) -> str:
        """Returns the command that NVFlare itself would run."""
        return str(generate_client_command(fl_ctx))
