"""One site's supervisor: forks the site's main process and the jobs that this one asks for."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fed_assets.errors import IdentityRefused
from fed_assets.federation import link
from fed_assets.federation.child import adopt_orphans
from fed_assets.federation.happenings import Asked, Closed, Ended, channel_pair, happenings, tell
from fed_assets.federation.identity import begin_process, take_identity
from fed_assets.federation.site import Site

# NVFlare waits 3 s by default before it closes its connections, which a job ends with.
SHUTDOWN_SECONDS = 0.2
CREDENTIALS = "NVFLARE_JOB_"


@dataclass(frozen=True)
class SiteProcess:
    """What a forked process of a site is to run.

    Attributes:
        site: Whose process it is.
        module: NVFlare's module.
        arguments: Its command line.
    """

    site: Site
    module: str
    arguments: Sequence[str]

    def run(self) -> None:
        """Runs the module as `python -m` would, and ends this process."""
        code = 1
        try:
            code = self._run()
        except SystemExit as request:
            code = request.code if isinstance(request.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code & 0xFF)

    def _run(self) -> int:
        from nvflare.fuel.f3.mpm import MainProcessMonitor

        sys.argv = [self.module, *self.arguments]
        program = importlib.import_module(self.module)
        options = program.parse_arguments()
        workspace = Path(self.site.workspace)
        if Path(options.workspace) != workspace:
            raise IdentityRefused(
                "A process was asked to work in another site's workspace", where=options.workspace
            )
        code = MainProcessMonitor.run(
            main_func=program.main,
            run_dir=str(workspace / getattr(options, "job_id", "")),
            shutdown_grace_time=SHUTDOWN_SECONDS,
            args=options,
        )
        return int(code or 0)


def supervise(site: Site, template: int) -> SiteProcess:
    """Takes on a site's identity, starts its main process and, at this one's request, its jobs.

    It ends as the main process ends, and everything of the site ends with it.

    Args:
        site: The site.
        template: Process id of the parent.

    Returns:
        In each forked process, what that one is to run. It never returns in the supervisor.
    """
    begin_process(template, f"fed_assets.federation.supervisor {site.name}", {})
    adopt_orphans()
    take_identity(site)
    supervisor = os.getpid()
    ours, theirs = channel_pair()
    main = os.fork()
    if main == 0:
        ours.close()
        begin_process(supervisor, f"{site.main_module} uid={site.name}", {})
        link.join(theirs)
        return SiteProcess(site, site.main_module, site.main_arguments())
    theirs.close()
    jobs: set[int] = set()
    events = happenings(ours)
    for event in events:
        match event:
            case Asked({"start": arguments, "credentials": credentials}):
                job = os.fork()
                if job == 0:
                    events.close()
                    ours.close()
                    own = {key: credentials[key] for key in credentials if _is_credential(key)}
                    begin_process(supervisor, f"{site.job_module} {site.name}", own)
                    return SiteProcess(site, site.job_module, arguments)
                jobs.add(job)
                tell(ours, {"started": job})
            case Asked({"terminate": job}):
                if job in jobs:
                    _kill(job)
            case Ended(pid, code):
                _kill_group(pid)
                if pid == main:
                    for job in jobs:
                        _kill(job)
                    _end_as(code)
                if pid in jobs:
                    jobs.remove(pid)
                    tell(ours, {"ended": pid, "code": code})
            case Closed():
                for job in jobs:
                    _kill(job)
    raise AssertionError("happenings never end")


def _is_credential(name: str) -> bool:
    return name.startswith(CREDENTIALS)


def _kill(job: int) -> None:
    _kill_group(job)
    os.kill(job, signal.SIGKILL)  # it leads no group in its first moment


def _kill_group(leader: int) -> None:
    """Kills what a process of ours has started and not moved to another group."""
    with suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def _end_as(code: int) -> None:
    """Ends this process with an exit code, or by the signal that a negative one stands for."""
    if code < 0:
        if -code not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code & 0xFF)
