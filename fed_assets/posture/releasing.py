"""Attempts to get an attested key: from the broker of a hospital that is made for them.

Where the key's custody is not `attested`, nobody releases it: who takes its file is `at_rest`'s.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import fed_assets
from fed_assets.errors import JobFailed
from fed_assets.federation.program import BARE_ENVIRONMENT
from fed_assets.posture.evidence import Attempt, Probe
from fed_assets.posture.ladders import AT_REST, HIGHEST
from fed_assets.sandboxes.controls import KeyCustody
from fed_assets.sandboxes.sandbox import Sandbox

ATTEMPTS = "fed_assets.hospital.attestation.attempts"
AS_PROCESS = "as_process"
TRAINING = Path("fed_assets", "hospital", "training.py")
ANSWER_SECONDS = 60.0
_WAYS = {
    "without_evidence": "Asks a hospital's broker for its key without any evidence",
    "replayed": "Asks for the key with evidence that was taken once",
    "expired": "Asks for the key with evidence that has expired",
    "debuggable": "Asks for the key with evidence of a machine that can be debugged",
    "by_another_attester": "Asks for the key with evidence that another attester has signed",
    "of_another_hospital": "Asks for the key with evidence of another hospital's attester",
}
# What a simulated attester signs gets the key: so far does an attested key reach here.
_NO_HARDWARE = "of_no_hardware"
_CHANGED = "to_changed_code"
RELEASES = tuple(f"release_key_{way}" for way in (*_WAYS, _CHANGED))


def probes_of_release(sandbox: Sandbox, folder: Path) -> list[Probe]:
    """Returns the probes of an attested key; none where the sandbox has no such key.

    Args:
        sandbox: Whose custody is probed.
        folder: Absolute path of a folder of the probes' own, which does not exist yet.
    """
    if sandbox.key_custody is not KeyCustody.ATTESTED:
        return []
    code = folder / "code"

    @cache
    def asked() -> Mapping[str, Any]:
        folder.mkdir(mode=0o700)
        return _run(Path(fed_assets.__file__).parent.parent, folder)

    def asks(way: str, kind: str) -> Callable[[], Attempt]:
        return lambda: _attempt(asked()[way][kind])

    def ask_by_approved_code() -> Attempt:
        asked()  # which makes the hospital
        ignored = shutil.ignore_patterns("__pycache__")
        package = Path(fed_assets.__file__).parent
        shutil.copytree(package, code / package.name, ignore=ignored)
        return _attempt(_run(code, folder, AS_PROCESS))

    def ask_by_changed_code() -> Attempt:
        with (code / TRAINING).open("a") as file:
            file.write("\n# keeps a copy of each image\n")
        return _attempt(_run(code, folder, AS_PROCESS))

    def probe(way: str, rung: int, tries: str) -> Probe:
        name = f"release_key_{way}"
        return Probe(name, AT_REST, rung, tries, asks(way, "attempt"), asks(way, "control"))

    return [
        *(probe(way, 3, tries) for way, tries in _WAYS.items()),
        Probe(
            f"release_key_{_CHANGED}",
            AT_REST,
            3,
            "Asks for the key by a copy of the code in which one training file was changed",
            ask_by_changed_code,
            ask_by_approved_code,
        ),
        probe(_NO_HARDWARE, HIGHEST, "Asks for the key with evidence that no hardware has signed"),
    ]


def _attempt(outcome: Mapping[str, int | str]) -> Attempt:
    return Attempt(int(outcome["opened"]) > 0, outcome)


def _run(code: Path, folder: Path, *way: str) -> Mapping[str, Any]:
    """Returns what came of it when a copy of the package asked.

    Raises:
        JobFailed: It came to no answer.
    """
    places = {"HOME": str(folder), "TMPDIR": str(folder), "PYTHONPATH": str(code)}
    ran = subprocess.run(
        [sys.executable, "-B", "-P", "-m", ATTEMPTS, str(folder), *way],
        cwd=folder,
        env={**BARE_ENVIRONMENT, **places},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=ANSWER_SECONDS,
        check=False,
    )
    if ran.returncode != 0:
        raise JobFailed("A key was asked for, and nothing came of it", seen=ran.stderr.decode())
    answer: Mapping[str, Any] = json.loads(ran.stdout)
    return answer
