"""What the server of a real federation holds: looked for in its memory and its files as it runs."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest

from fed_assets.federation.plan import SERVER
from fed_assets.federation.weights import read_weights
from fed_assets.posture.searches import _memory
from fed_assets.privacy.encrypted_sums import ROOM
from fed_assets.privacy.encryption_terms import MOST_IMAGES
from fed_assets.privacy.fixed_point import changes, encoded, in_steps, rounded_up
from fed_assets_tests.confining import require_root
from fed_assets_tests.federation.conftest import BOUNDS
from fed_assets_tests.federation.masking_executor import examples_of
from fed_assets_tests.federation.tiny_executor import GO, LEARNED, learn

pytestmark = pytest.mark.long

ARRAY = "canary_layer.weight"
SHAPE = (64, 64)
LAST = "hospital_03"  # is slow: until it answers, the server holds what the others sent
PATTERN_BYTES = 256


def patterns_of(plan, hospital):
    """Returns bytes of the forms in which one hospital's update of round 1 could be seen."""
    received = read_weights(Path(plan.initial_weights))
    local = learn(received, hospital, 1, plan.seed)
    change = local[ARRAY] - received[ARRAY]
    everybody = sum(rounded_up(examples_of(name)) for name in plan.hospitals)
    share = examples_of(hospital) / everybody
    clipped = changes(local, received, BOUNDS)
    words = encoded(clipped, share, local, BOUNDS)[ARRAY]
    share = examples_of(hospital) / MOST_IMAGES
    numbers = in_steps(clipped, share, local, BOUNDS, ROOM)[ARRAY]
    exact = local[ARRAY].astype(np.float64) - received[ARRAY]
    forms = {
        "weights": local[ARRAY],
        "change": change,
        "change as float64": exact,
        "weighted change": np.float32(examples_of(hospital)) * change,
        "unmasked words": words,
        "whole numbers": numbers,
        "whole numbers as float64": numbers.astype(np.float64),
    }
    return {name: array.tobytes()[:PATTERN_BYTES] for name, array in forms.items()}


def server_processes(session):
    if session.process.poll() is not None:
        return
    for member in session.family():
        with suppress(psutil.NoSuchProcess, ValueError):
            module, site, *_ = member.cmdline()
            if site.removeprefix("uid=") == SERVER and "supervisor" not in module:
                yield member.pid


def look(session, plan, wanted):
    """Returns what of the wanted is held now, and how many processes and files were searched."""
    found, processes = set(), 0
    for process in server_processes(session):
        with suppress(OSError):  # it has just ended
            for piece in _memory(process, PATTERN_BYTES):
                found |= {name for name, pattern in wanted.items() if pattern in piece}
            processes += 1
    roots = [Path(plan.folder, "sites", "localhost"), Path(plan.folder, "tmp", SERVER)]
    roots += [Path(plan.outbox), Path(plan.folder, "parked")]
    files = [path for root in roots for path in root.rglob("*") if path.is_file()]
    for path in files:
        with suppress(FileNotFoundError):
            content = path.read_bytes()
            found |= {name for name, pattern in wanted.items() if pattern in content}
    return found, processes, len(files)


def search(session, plan):
    """Searches while the round waits for its last hospital, and when the run has ended."""
    first, second, last = (Path(store) for store in plan.stores.values())
    wanted = patterns_of(plan, plan.hospitals[0])
    deadline = time.monotonic() + 60
    while not ((first / LEARNED).exists() and (second / LEARNED).exists()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    time.sleep(3)  # until what was learned has been sent
    held, processes, _ = look(session, plan, wanted)
    assert processes == 2, "the server and its job"
    (last / GO).touch()
    assert session.finish() == 0, session.events
    stored, _, files = look(session, plan, wanted)
    assert files > 10
    return held | stored


def test_the_server_of_plain_averaging_holds_each_hospitals_update(
    tmp_path, write_plan, start_session, behave
):
    """The control: where nothing hides them the same search finds what it looks for."""
    require_root()
    plan = write_plan(tmp_path, hospitals=3, rounds=1, shape=SHAPE)
    behave(plan, LAST, {1: "wait"})
    assert "weights" in search(start_session(plan), plan)


@pytest.mark.parametrize("kind", ["secure_aggregation", "homomorphic_encryption"])
def test_the_server_of_a_sum_alone_holds_no_hospitals_update(
    tmp_path, write_masked_plan, start_session, behave, kind
):
    require_root()
    protection = {"kind": kind, **BOUNDS}
    plan = write_masked_plan(tmp_path, rounds=1, shape=SHAPE, update_protection=protection)
    behave(plan, LAST, {1: "wait"})
    session = start_session(plan)
    assert search(session, plan) == set()
    assert session.result["rounds"][0]["missing"] == {}
