"""A site under a real supervisor, whose main process asks for more than it may.

`python -m fed_assets_tests.federation.asking_site WORKSPACE VICTIM [CODE]` forks a main process
that writes what came of its requests to `WORKSPACE/answers.json`, and ends with CODE, or is killed.
It prints the exit code that the supervisor told.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np

from fed_assets.federation import link
from fed_assets.federation.happenings import channel_pair, hear, tell
from fed_assets.federation.program import Program
from fed_assets.federation.site import Site
from fed_assets.federation.supervisor import supervise

MODULE = "fed_assets_tests.federation.asking_site"
CREDENTIALS = {"NVFLARE_JOB_AUTH_TOKEN": "token", "LD_PRELOAD": "/tmp/other.so"}


class AskingSite(Site):
    """Runs this module where other sites run NVFlare's."""

    main_module = job_module = MODULE

    def main_arguments(self) -> list[str]:
        return ["--workspace", self.workspace, *sys.argv[2:4]]


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--workspace")
    parser.add_argument("--report")
    parser.add_argument("victim", nargs="?", type=int)
    parser.add_argument("code", nargs="?", default="0")
    return parser.parse_args()


def main(args: argparse.Namespace) -> int:
    if args.report:
        Path(args.workspace, args.report).write_text(json.dumps(seen()))
        return 0
    asking = link.open_link()
    if asking is None:
        raise SystemExit("no supervisor")
    tell(asking._channel, {"terminate": args.victim})
    own = ["--workspace", args.workspace]
    jobs = {
        name: asking.start_job(arguments, CREDENTIALS)
        for name, arguments in {
            "first": [*own, "--report", "first.json"],
            "second": [*own, "--report", "second.json"],
            "other workspace": ["--workspace", "/", "--report", "tmp/never.json"],
            "nonsense": ["--nonsense"],
        }.items()
    }
    for job in jobs.values():
        job.wait()
    codes = {name: job.code for name, job in jobs.items()}
    answers = {"codes": codes, "main": seen()}
    Path(args.workspace, "answers.json").write_text(json.dumps(answers))
    if args.code == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    return int(args.code)


def seen() -> dict[str, object]:
    """Returns what a process finds of itself."""
    umask = os.umask(0)
    os.umask(umask)
    return {
        "pid": os.getpid(),
        "session": os.getsid(0),
        "parent": os.getppid(),
        "folder": os.getcwd(),
        "umask": umask,
        "environment": dict(os.environ),
        "title": Path("/proc/self/cmdline").read_bytes().decode(),
        "channel": link._channel is not None and link._channel.fileno() != -1,
        "random": [random.random(), float(np.random.default_rng().random()), np.random.rand()],
    }


def supervised(program: Program) -> int:
    """Returns how a program ended, as a supervisor told."""
    ours, theirs = channel_pair()
    supervisor = os.fork()
    if supervisor == 0:
        ours.close()
        supervise("hospital_01", theirs, os.getppid())
    theirs.close()
    lifeline, other = channel_pair()
    with other:
        tell(ours, {"run": asdict(program)}, [other.fileno()])
    while (heard := hear(lifeline)) and "ended" not in heard:
        pass
    os.kill(supervisor, signal.SIGKILL)
    os.waitpid(supervisor, 0)
    return -1000 if heard is None else heard["ended"]


if __name__ == "__main__":
    os.environ["A_SECRET"] = "of the template"
    print(supervised(AskingSite("hospital_01", sys.argv[1]).main_program()))
