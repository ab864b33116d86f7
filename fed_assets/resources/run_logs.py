"""Where each site of a run left its logs."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from pathlib import Path

from fed_assets.errors import RunConfigError
from fed_assets.federation.plan import PLAN_FILE, SERVER, FederationPlan
from fed_assets.federation.policies import HOST
from fed_assets.federation.site import CONSOLE_FILE, SITES
from fed_assets.federation.site_logs import NVFLARE_LOG
from fed_assets.resources.home import Home

WORKER_LOG = "worker.log"
SESSION_LOG = "session.log"


def find_logs(home: Home, run: str, site: str) -> list[Path]:
    """Returns the logs of one site of a run; some of them may not be there.

    Args:
        home: Where the runs lie.
        run: Dagster's id of it, or the first 8 characters; or a sandbox, for its newest run.
        site: A hospital's id, or `server`.

    Raises:
        RunConfigError: No such run trained, no such site took part in it, or it did so from a
            machine of its own.
    """
    folder = _folder(home, run)
    plan = FederationPlan.read(folder / PLAN_FILE)
    if site not in (SERVER, *plan.hospitals):
        raise RunConfigError(
            f"{site} took no part in the run {folder.name}",
            cure=f"Choose one of {', '.join([*plan.hospitals, SERVER])}",
        )
    if site != SERVER and site not in plan.stores:
        raise RunConfigError(
            f"{site} took part in the run {folder.name} from its own machine, and so its logs are "
            "there",
            cure="Have the hospital run the same command there, or read the log of its job if the "
            "machine is in Azure ML",
        )
    workspace = Path(plan.folder) / SITES / (HOST if site == SERVER else site)
    of_jobs = sorted(workspace.glob(f"*/{NVFLARE_LOG}"), key=lambda log: log.stat().st_mtime)
    logs = [workspace / CONSOLE_FILE, workspace / NVFLARE_LOG, *of_jobs]
    own = folder / SESSION_LOG if site == SERVER else Path(plan.stores[site]) / WORKER_LOG
    return [*logs, own]


def last_lines(log: Path, count: int) -> list[str] | None:
    """Returns the last lines of a log; None where there is no such file."""
    try:
        with log.open(encoding="utf-8", errors="replace") as file:
            return [line.rstrip("\n") for line in deque(file, maxlen=count)]
    except FileNotFoundError:
        return None


def logs_hint(home: Home, sandbox: str, run: str, failures: Iterable[str]) -> str | None:
    """Returns the command that shows the logs of the sites that a run's failures name, if any."""
    folder = home.federation(sandbox, run)
    if not run or not (folder / PLAN_FILE).is_file():
        return None
    sites = [*FederationPlan.read(folder / PLAN_FILE).hospitals, SERVER]
    told = "\n".join(failures)
    named = [site for site in sites if re.search(rf"\b{site}\b", told)]
    if not named:
        return None
    command = f"fed-assets logs {folder.name}"
    if len(named) == 1:
        return f"The last lines of {named[0]}: {command} {named[0]}"
    return f"The last lines of {', '.join(named)}: {command} {named[0]}, and so on"


def _folder(home: Home, run: str) -> Path:
    known = home.federations("*")
    for folder in known:
        if folder.name == run[:8] or folder.parent.name == run:
            return folder
    newest = [f"{folder.name} ({folder.parent.name})" for folder in known[:5]]
    raise RunConfigError(
        f"There is no run {run} that trained",
        where=str(home.root),
        seen="of each sandbox the newest five are kept, and what failed since the last success",
        cure=f"Choose one of {', '.join(newest)}" if newest else "Run `fed-assets run minimal`",
    )
