"""Hospitals that take turns to learn: real locks, real processes."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import ExitStack

import pytest

from fed_assets.hospital.places import (
    PATIENCE,
    ROUND_BYTES,
    cores,
    place,
    place_to_learn,
    places_for,
)

HOLD = """
import sys, time
from pathlib import Path
from fed_assets.hospital.places import place
with place(Path(sys.argv[1]), int(sys.argv[2]), lambda: False):
    print("in", time.monotonic(), flush=True)
    time.sleep(float(sys.argv[3]))
    print("out", time.monotonic(), flush=True)
"""


def hold(folder, places, seconds):
    command = [sys.executable, "-c", HOLD, str(folder), str(places), str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def most_at_once(processes):
    """Returns how many held a place at the same time at most."""
    moments = []
    for process in processes:
        output, _ = process.communicate(timeout=60)
        for line in output.splitlines():
            word, at = line.split()
            moments.append((float(at), 1 if word == "in" else -1))
    held, most = 0, 0
    for _, change in sorted(moments):
        held += change
        most = max(most, held)
    assert held == 0
    return most


@pytest.mark.parametrize("places", [1, 2, 3])
def test_no_more_hospitals_train_at_once_than_there_are_places(tmp_path, places):
    assert most_at_once([hold(tmp_path, places, 1.0) for _ in range(3)]) == places
    assert list(tmp_path.iterdir()) == []


def test_many_short_turns_never_overlap_where_there_is_one_place(tmp_path):
    holders = [hold(tmp_path, 1, 0.01) for _ in range(8)]
    assert most_at_once(holders) == 1


def test_a_killed_hospital_gives_its_place_back(tmp_path):
    holder = hold(tmp_path, 1, 60)
    assert holder.stdout.readline().startswith("in")
    holder.kill()
    holder.communicate()
    began = time.monotonic()
    with place(tmp_path, 1, lambda: False):
        assert time.monotonic() - began < 1


def test_one_that_is_told_to_stop_waits_no_longer(tmp_path):
    holder = hold(tmp_path, 1, 60)
    assert holder.stdout.readline().startswith("in")
    asked = []
    with place(tmp_path, 1, lambda: len(asked.append(1) or asked) > 2):
        assert len(asked) == 3
    holder.kill()
    holder.communicate()


def test_a_small_card_serves_one_at_a_time_and_a_large_one_all():
    assert places_for(2 << 30) == 1
    assert places_for(2 * ROUND_BYTES - 1) == 1
    assert places_for(8 << 30) == 2
    assert places_for(139 << 30) > 10


def test_without_a_card_as_many_learn_at_once_as_there_are_cores(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a card")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with ExitStack() as learning:
        for number in range(cores()):
            assert len(list(tmp_path.iterdir())) == number
            learning.enter_context(place_to_learn(60))
        began = time.monotonic()
        with place_to_learn(1 / PATIENCE):
            assert time.monotonic() - began >= 1
    assert list(tmp_path.iterdir()) == []


def test_hospitals_that_are_frozen_with_a_place_do_not_hold_the_others_for_ever(
    tmp_path, monkeypatch
):
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a card")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    holders = [hold(tmp_path, cores(), 60) for _ in range(cores())]
    assert all(holder.stdout.readline().startswith("in") for holder in holders)
    began = time.monotonic()
    with place_to_learn(2 / PATIENCE):
        assert 2 <= time.monotonic() - began < 10
    for holder in holders:
        holder.kill()
        holder.communicate()
