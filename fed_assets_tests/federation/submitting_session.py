"""Submits jobs that a federation may refuse, and prints what became of each.

`python -m fed_assets_tests.federation.submitting_session PLAN.json unlisted brought`

The first word after the plan may be `lax`: the server then lets every job through, as one that
somebody else has taken over would, and the hospitals stand alone.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from nvflare.lighter.utils import load_private_key_file, sign_folders

from fed_assets.errors import JobFailed
from fed_assets.federation.admin import Admin
from fed_assets.federation.ended import read_ended
from fed_assets.federation.follow import wait_for_hospitals
from fed_assets.federation.history import HISTORY_FILE
from fed_assets.federation.job import write_job
from fed_assets.federation.origin import open_origin
from fed_assets.federation.plan import FederationPlan
from fed_assets.federation.policies import ADMIN_ROLE
from fed_assets.federation.preload import FEDERATION_MODULES, modules_of
from fed_assets.federation.processes import running
from fed_assets.federation.progress import Progress
from fed_assets.federation.provision import provision
from fed_assets.federation.session import events_to_stdout

BROUGHT = """
from pathlib import Path
from fed_assets_tests.federation.tiny_executor import TinyExecutor

class BroughtExecutor(TinyExecutor):
    def __init__(self, trace):
        super().__init__()
        with Path(trace).open("a") as file:
            file.write("brought code ran\\n")
"""


def with_code(job: Path, trace: Path) -> None:
    """Has a job bring an executor of its own, which leaves a trace when it runs."""
    custom = job / "app" / "custom"
    custom.mkdir()
    (custom / "brought.py").write_text(BROUGHT)
    name_executor(job, "brought.BroughtExecutor", {"trace": str(trace)})


def name_executor(job: Path, path: str, arguments: dict[str, Any]) -> None:
    """Has a job name another executor."""
    config = job / "app" / "config" / "config_fed_client.json"
    content = json.loads(config.read_text())
    content["executors"][0]["executor"] = {"path": path, "args": arguments}
    config.write_text(json.dumps(content))


def with_scope(job: Path) -> None:
    """Has a job ask for a privacy scope of its own."""
    meta = json.loads((job / "meta.json").read_text())
    (job / "meta.json").write_text(json.dumps({**meta, "scope": "open"}))


def change(job: Path) -> None:
    """Changes a job in a way that would not hinder it: it asks for its tasks more seldom."""
    config = job / "app" / "config" / "config_fed_client.json"
    content = json.loads(config.read_text())
    config.write_text(json.dumps({**content, "default_task_fetch_interval": 0.06}))


def prepare(name: str, job: Path, admin_kit: Path, trace: Path) -> None:
    """Makes a job what its name says; a `plain` one is left as it is."""
    startup = admin_kit / "startup"
    if name == "brought":
        with_code(job, trace)
    elif name == "unlisted":
        name_executor(job, "nvflare.app_common.np.np_trainer.NPTrainer", {})
    elif name == "scoped":
        with_scope(job)
    elif name == "changed":
        key = load_private_key_file(str(startup / "client.key"))
        sign_folders(str(job), key, str(startup / "client.crt"))
        change(job)


@contextmanager
def key_aside(admin_kit: Path, aside: bool) -> Iterator[None]:
    """Takes the key away with which NVFlare would sign a job that is submitted."""
    key = admin_kit / "startup" / "client.key"
    if aside:
        key.rename(key.with_suffix(".aside"))
    try:
        yield
    finally:
        if aside:
            key.with_suffix(".aside").rename(key)


def let_everything_through(server: Path) -> None:
    """Takes away what a server that has not started yet refuses jobs by."""
    for name, changes in {
        "local/resources.json": {"class_list_enforcement_mode": "warn"},
        "startup/fed_server.json": {"require_signed_jobs": False},
    }.items():
        content = json.loads((server / name).read_text())
        assert content.keys() >= changes.keys()
        (server / name).write_text(json.dumps({**content, **changes}))
    rights = json.loads((server / "local/authorization.json").read_text())
    rights["permissions"][ADMIN_ROLE]["byoc"] = "any"
    (server / "local/authorization.json").write_text(json.dumps(rights))


def outcome(admin: Admin, job: Path, outbox: Path, hospitals: Iterable[Path]) -> dict[str, Any]:
    """Submits a job and returns how it ended, or that its first round was published.

    Of the hospitals' job processes the first that ended tells.
    """
    try:
        job_id = admin.submit(job)
    except JobFailed as refusal:
        return {"status": "refused", "detail": refusal.seen}
    while True:
        meta = admin.job(job_id)
        if (outbox / "rounds" / "0001").exists():
            return {"status": "ran", "detail": ""}
        if ended := [each for site in hospitals if (each := read_ended(site, job_id)) is not None]:
            first = min(ended, key=lambda each: each["at"])
            return {"status": "ended", "detail": first["code"]}
        if meta["status"].startswith("FINISHED"):
            time.sleep(0.5)  # NVFlare adds the detail after the status
            meta = admin.job(job_id)
            return {"status": meta["status"], "detail": str(meta.get("job_deploy_detail"))}
        time.sleep(0.2)


def main() -> None:
    """Runs one federation with the jobs that argv names."""
    tell = events_to_stdout()
    plan = FederationPlan.read(Path(sys.argv[1]))
    progress = Progress(plan, tell)
    kits = provision(plan)
    names = sys.argv[2:]
    if names[0] == "lax":
        let_everything_through(kits.server)
        names = names[1:]
    origin = open_origin(FEDERATION_MODULES, Path(plan.folder), then=modules_of(plan))
    with closing(origin), running(kits, timeout_seconds=60, origin=origin) as federation:
        admin = Admin(kits, Path(plan.folder) / HISTORY_FILE)
        try:
            admin.connect(60)
            wait_for_hospitals(progress, federation, admin, until=60)
            original = write_job(plan)
            for name in names:
                job = shutil.copytree(original, Path(plan.folder) / name)
                prepare(name, job, kits.admin, Path(plan.folder) / "trace.txt")
                hospitals = kits.hospitals.values()
                with key_aside(kits.admin, name in ("unsigned", "changed")):
                    became = outcome(admin, job, Path(plan.outbox), hospitals)
                tell({"event": name, **became})
        finally:
            admin.close()


if __name__ == "__main__":
    main()
    os._exit(0)
