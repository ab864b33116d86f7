"""The attempts on what hospitals keep and hold: made on real stores and real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from fed_assets.posture.at_rest import probes_at_rest
from fed_assets.posture.evidence import Evidence, Outcome, Probe, gather
from fed_assets.posture.in_use import probes_in_use
from fed_assets.posture.target import Target

PLAIN = {"storage": "plain", "key_custody": "none"}
SEALED = {"storage": "sealed", "key_custody": "hospital"}
SUPPRESSED = {"suppress_below": 10}
PASSED, FAILED, INCONCLUSIVE = Outcome.PASSED, Outcome.FAILED, Outcome.INCONCLUSIVE
Plant = Callable[[Mapping[str, str]], list[Target]]


@contextmanager
def hospital(name: str, folder: Path, kept: Mapping[str, str]) -> Iterator[Target]:
    """Yields a hospital's process that has planted a canary in its store."""
    place: dict[str, Any] = {"store": str(folder / name), **kept, **SUPPRESSED}
    keys = [folder / "keys" / f"{name}.json"] if SEALED.items() <= kept.items() else []
    if keys:
        place["key_file"] = str(keys[0])
    with subprocess.Popen(
        [sys.executable, "-m", "fed_assets.hospital.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        requests, replies = process.stdin, process.stdout
        assert requests is not None and replies is not None

        def send(message: Mapping[str, Any]) -> None:
            requests.write(json.dumps(message) + "\n")
            requests.flush()

        def ask(task: str, **arguments: Any) -> Mapping[str, Any]:
            send({"task": task, "hospital": name, "arguments": arguments})
            answer: dict[str, Any] = json.loads(replies.readline())
            assert "error" not in answer, answer
            return dict(answer["result"])

        send({"hospitals": {name: place}, "previews": False})
        yield Target.planted(name, process.pid, folder / name, keys, ask)
        ask("remove_canary")
        requests.close()
    assert not (folder / name / "canary").exists()


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    """Returns a function that starts two hospitals' processes, which end with the test."""
    with ExitStack() as running:
        yield lambda kept: [
            running.enter_context(hospital(name, tmp_path, kept)) for name in ("north", "south")
        ]


def shown(probes: list[Probe]) -> dict[str, Evidence]:
    return {probe.name: gather(probe, {}) for probe in probes}


def outcomes(evidence: Mapping[str, Evidence]) -> dict[str, Outcome]:
    return {name: each.outcome for name, each in evidence.items()}


def test_a_plain_store_fails_every_attempt_and_has_no_key_to_take(
    plant: Plant, tmp_path: Path
) -> None:
    evidence = shown(probes_at_rest(plant(PLAIN), tmp_path / "open"))
    assert outcomes(evidence) == {
        "read_hospitals_files": FAILED,
        "find_plain_content": FAILED,
        "take_hospitals_keys": INCONCLUSIVE,
        "flip_a_stored_bit": FAILED,
        "swap_stored_files": FAILED,
        "plant_anothers_file": FAILED,
    }
    assert evidence["read_hospitals_files"].attempt["found"] == 2
    assert "ValueError" in evidence["take_hospitals_keys"].reason


def test_a_sealed_store_gives_away_its_key_alone_where_no_wall_stands(
    plant: Plant, tmp_path: Path
) -> None:
    evidence = shown(probes_at_rest(plant(SEALED), tmp_path / "open"))
    assert outcomes(evidence) == {
        "read_hospitals_files": PASSED,
        "find_plain_content": PASSED,
        "take_hospitals_keys": FAILED,
        "flip_a_stored_bit": PASSED,
        "swap_stored_files": PASSED,
        "plant_anothers_file": PASSED,
    }
    assert evidence["flip_a_stored_bit"].control == {"hospitals": 2, "taken": 2}
    assert evidence["flip_a_stored_bit"].attempt == {"hospitals": 2, "taken": 0}


def test_processes_without_walls_are_read(plant: Plant) -> None:
    evidence = shown(probes_in_use(plant(SEALED)))
    assert set(outcomes(evidence).values()) == {FAILED}
    assert evidence["read_hospitals_memory"].attempt["found"] == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_another_user_is_kept_from_files_keys_and_memory(plant: Plant, tmp_path: Path) -> None:
    targets = plant(SEALED)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        opened = tmp_path / "theirs"
        opened.mkdir()
        os.chown(opened, 54_321, 54_321)
        for folder in (*tmp_path.parents, tmp_path):
            if folder.stat().st_uid == 0 and folder.name.startswith(("pytest", "popen")):
                folder.chmod(0o711)
        tmp_path.chmod(0o711)
        os.setgroups([])
        os.setresgid(*(54_321,) * 3)
        os.setresuid(*(54_321,) * 3)
        names = {"read_hospitals_files", "take_hospitals_keys"}
        files = [each for each in probes_at_rest(targets, opened) if each.name in names]
        os.write(writing, json.dumps(outcomes(shown(files))).encode())
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as answer:
        told = json.loads(answer.read())
    os.waitpid(child, 0)
    assert told == {"read_hospitals_files": "passed", "take_hospitals_keys": "passed"}
