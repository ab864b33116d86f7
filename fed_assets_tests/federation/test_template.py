"""The template and what is forked from it, in real federations of two hospitals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from fed_assets.errors import JobFailed, ProcessNotStarted
from fed_assets.federation.happenings import channel_pair, hear
from fed_assets.federation.origin import open_origin
from fed_assets.federation.preload import FEDERATION_MODULES
from fed_assets.federation.processes import running
from fed_assets.federation.provision import provision
from fed_assets.federation.template import _Template
from fed_assets_tests.federation.conftest import PROJECT

pytestmark = pytest.mark.slow

SPAWNING = "fed_assets_tests.federation.spawning_session"
# The template; and of server and two hospitals the supervisor, the main and the job process each.
WHOLE_FAMILY = 10


@pytest.fixture
def working(tmp_path, write_plan, behave, start_session):
    """Returns a session in whose first round a hospital hangs, and its processes by their titles.

    A round goes on without the hospital that hangs, but for longer than a test takes.
    """
    plan = write_plan(tmp_path, quorum=1)
    behave(plan, "hospital_01", {1: "hang"})
    session = start_session(plan)
    session.until("submitted")
    named = {}
    while len(named) < WHOLE_FAMILY:  # in its first moment a fork still bears its parent's title
        named = {title(member): member for member in session.working_family(WHOLE_FAMILY)}
    return session, named


def title(process):
    """Returns `template`, or such as `supervisor hospital_01`, `client_train`, `worker_process`."""
    words = process.cmdline()
    if "fed_assets.federation.template" in words:
        return "template"
    return f"{words[0].rpartition('.')[2]} {words[1].removeprefix('uid=')}"


def gone(processes, *, within_seconds):
    deadline = time.monotonic() + within_seconds
    while any(runs(process) for process in processes):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def runs(process):
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def sockets(process):
    folder = Path(f"/proc/{process.pid}/fd")
    links = (os.readlink(path) for path in folder.iterdir() if path.exists() or path.is_symlink())
    return {link for link in links if link.startswith("socket:")}


@pytest.mark.long
def test_spawned_processes_give_the_same_bits_as_forked_ones(tmp_path, write_plan, start_session):
    digests = {}
    for name, module in [("forked", "fed_assets.federation.session"), ("spawned", SPAWNING)]:
        (tmp_path / name).mkdir()
        session = start_session(write_plan(tmp_path / name), module=module)
        session.until("submitted")
        processes = session.working_family(WHOLE_FAMILY if name == "forked" else 6)
        template = any("fed_assets.federation.template" in each.cmdline() for each in processes)
        assert template == (name == "forked")
        assert session.finish() == 0, session.events
        digests[name] = session.result["final_digest"]
    assert digests["forked"] == digests["spawned"]


def test_the_template_has_one_thread_one_channel_and_no_word_of_the_federation(working):
    session, processes = working
    template = processes["template"]
    assert template.num_threads() == 1
    assert template.children() == [
        processes[f"supervisor {name}"] for name in ("server", "hospital_01", "hospital_02")
    ]
    # Its mailbox, one per supervisor, and the pair through which it hears of ended children.
    assert len(sockets(template)) == 1 + 3 + 2
    for name, process in processes.items():
        assert name == "template" or not sockets(template) & sockets(process), name
    known = b" ".join(Path(f"/proc/{template.pid}/{part}").read_bytes() for part in ("environ",))
    assert not any(name.encode() in known for name in session.plan.hospitals)
    assert not any(file.path.startswith(session.plan.folder) for file in template.open_files())


def test_each_process_lies_under_the_supervisor_of_its_own_site(working):
    _, processes = working
    for name in ("hospital_01", "hospital_02"):
        children = processes[f"supervisor {name}"].children(recursive=True)
        assert sorted(title(each) for each in children) == [
            f"client_train {name}",
            f"worker_process {name}",
        ]


def test_a_killed_supervisor_takes_its_site_with_it_and_no_other(working):
    session, processes = working
    processes["supervisor hospital_02"].kill()
    site = [process for name, process in processes.items() if name.endswith("hospital_02")]
    assert gone(site, within_seconds=1)
    others = [process for name, process in processes.items() if not name.endswith("hospital_02")]
    assert all(runs(process) for process in others)
    session.process.send_signal(signal.SIGTERM)
    assert session.finish() == 1
    assert gone(others, within_seconds=0)


def test_a_killed_client_takes_its_job_with_it(working):
    session, processes = working
    processes["client_train hospital_02"].kill()
    assert gone([processes["worker_process hospital_02"]], within_seconds=1)
    assert runs(processes["supervisor hospital_02"])
    session.process.send_signal(signal.SIGTERM)
    assert session.finish() == 1


def test_a_killed_template_ends_the_run_and_everything_in_it(working):
    session, processes = working
    processes["template"].kill()
    assert gone(processes.values(), within_seconds=2)
    assert session.finish() == 1
    assert isinstance(session.failure, JobFailed)
    assert "forked from" in session.failure.what
    assert session.failure.seen == "signal 9"


def test_the_server_listens_while_the_hospitals_modules_load_and_no_hospital_runs_before(
    tmp_path, write_plan
):
    kits = provision(write_plan(tmp_path))
    gate = "fed_assets_tests.federation.gates.first"
    origin = open_origin(FEDERATION_MODULES, tmp_path, then=[gate])
    with (
        closing(origin),
        running(kits, timeout_seconds=30, origin=origin) as federation,
    ):
        assert federation.ended() == {}
        for name in kits.hospitals:
            with pytest.raises(ProcessNotStarted):
                federation.processes[name].pid(0.5)
        (tmp_path / "first").touch()
        assert all(federation.processes[name].pid(20) > 0 for name in kits.hospitals)


def python(code):
    """Runs a program, and returns what it printed."""
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


CHECK = """
import os, sys, threading
from fed_assets.errors import FederationDidNotStart
from fed_assets.federation.preload import check_forkable
{before}
try:
    check_forkable(())
    print("forkable")
except FederationDidNotStart as error:
    print(error.seen)
"""


@pytest.mark.parametrize(
    ("before", "seen"),
    [
        ("", "forkable"),
        ("threading.Thread(target=threading.Event().wait, daemon=True).start()", "2 threads"),
        ("held = open(os.devnull)", "open: /dev/null"),
        ("import grpc; held = grpc.insecure_channel('localhost:1')", "threads"),
    ],
)
def test_a_template_with_a_thread_or_an_open_file_is_not_forked(before, seen):
    assert seen in python(CHECK.format(before=before))


def test_preloading_goes_on_past_what_cannot_be_imported_and_says_so():
    code = """
import sys
from fed_assets.federation.preload import preload
print(preload(["nowhere.at_all", "wave"]), "wave" in sys.modules)
"""
    assert (
        python(code)
        == "{'nowhere.at_all': \"ModuleNotFoundError: No module named 'nowhere'\"} True"
    )


def test_garbage_is_collected_after_preloading_and_not_while_it_imports(tmp_path):
    (tmp_path / "looks.py").write_text("import gc\nenabled = gc.isenabled()\n")
    code = f"""
import gc, sys
from fed_assets.federation.preload import preload
sys.path.append({str(tmp_path)!r})
print(preload(["looks"]), sys.modules["looks"].enabled, gc.isenabled(), gc.get_freeze_count() > 0)
"""
    assert python(code) == "{} False True True"


@pytest.mark.parametrize(
    ("loads", "hidden", "one_of_them"),
    [
        (
            "monai.handlers.mlflow_handler",
            {"matplotlib", "mlflow", "scipy.ndimage", "scipy.signal", "sklearn", "pydicom"},
            "scipy.signal",
        ),
        ("great_expectations", {"azure", "sqlalchemy"}, "sqlalchemy"),
    ],
)
def test_what_preloading_hides_can_be_imported_afterwards(loads, hidden, one_of_them):
    code = f"""
import sys
from fed_assets.federation.preload import preload
failed = preload([{loads!r}])
before = {hidden} & sys.modules.keys()
import {one_of_them}
print(failed, before, {one_of_them}.__name__)
"""
    assert python(code) == f"{{}} set() {one_of_them}"


def test_what_a_hospitals_work_needs_is_hidden_from_monai_alone():
    code = """
import sys
from fed_assets.federation.preload import preload
print(preload(["sklearn.metrics", "monai.bundle.config_parser"]), "sklearn" in sys.modules)
"""
    assert python(code) == "{} True"


@pytest.mark.parametrize("gone", [False, True])
def test_a_request_goes_past_a_supervisor_that_was_killed_and_not_waited_for_yet(monkeypatch, gone):
    (old, theirs), (new, anew) = channel_pair(), channel_pair()
    template = object.__new__(_Template)
    template._walls, template._supervisors = None, {"site": (1, old)}
    monkeypatch.setattr(template, "_fork_supervisor", lambda *_: (2, new))
    if gone:
        theirs.close()
    template._pass_on("site", {"run": {}}, ())
    assert hear(anew if gone else theirs) == {"run": {}}
    assert template._supervisors == {"site": (2, new) if gone else (1, old)}
    assert (old.fileno() == -1) is gone
    for channel in (old, theirs, new, anew):
        channel.close()


def test_without_the_kernels_help_a_process_ends_soon_after_its_parent():
    code = """
import os, subprocess, sys
null = subprocess.DEVNULL
child = f"from fed_assets.federation.child import end_after; end_after({os.getpid()})"
print(subprocess.Popen([sys.executable, "-c", child], stdout=null, stderr=null).pid)
"""
    pid = int(python(code))
    try:
        orphan = psutil.Process(pid)
    except psutil.NoSuchProcess:
        return
    assert gone([orphan], within_seconds=5)
