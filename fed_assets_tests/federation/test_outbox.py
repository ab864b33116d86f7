from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from fed_assets.errors import QuorumNotMet, StorageError
from fed_assets.federation.outbox import (
    publish_failure,
    publish_round,
    read_failure,
    read_round,
    round_folder,
)
from fed_assets.federation.weights import read_weights

WEIGHTS = {"w": np.arange(100_000, dtype=np.float32)}
RECORD = {"round_number": 3, "missing": {}, "seconds": 0.5}


def test_a_published_round_is_whole(tmp_path):
    publish_round(tmp_path, RECORD, WEIGHTS)
    assert read_round(tmp_path, 3) == RECORD
    weights = read_weights(round_folder(tmp_path, 3) / "global.safetensors")
    np.testing.assert_array_equal(weights["w"], WEIGHTS["w"])
    assert [path.name for path in (tmp_path / "rounds").iterdir()] == ["0003"]


def test_a_round_that_is_not_there_is_none(tmp_path):
    assert read_round(tmp_path, 1) is None
    assert read_failure(tmp_path) is None


def test_what_a_killed_run_left_of_a_round_does_not_hinder_the_next(tmp_path):
    left = tmp_path / "rounds" / ".0003.partial"
    left.mkdir(parents=True)
    (left / "round.json").write_text("half")
    assert read_round(tmp_path, 3) is None
    publish_round(tmp_path, RECORD, WEIGHTS)
    assert read_round(tmp_path, 3) == RECORD
    assert not left.exists()


def test_a_record_that_is_damaged_is_an_error_of_ours(tmp_path):
    publish_round(tmp_path, RECORD, WEIGHTS)
    (round_folder(tmp_path, 3) / "round.json").write_text('{"round_number": 3, "mis')
    with pytest.raises(StorageError, match="Round 3 is damaged"):
        read_round(tmp_path, 3)


def test_a_published_round_is_never_replaced(tmp_path):
    publish_round(tmp_path, RECORD, WEIGHTS)
    with pytest.raises(StorageError, match="Round 3"):
        publish_round(tmp_path, {**RECORD, "seconds": 9.0}, WEIGHTS)
    assert read_round(tmp_path, 3) == RECORD


def test_a_failure_comes_back_as_the_error_it_was(tmp_path):
    publish_failure(tmp_path, QuorumNotMet("Too few", seen="hospital_02: gone"))
    failure = read_failure(tmp_path)
    assert isinstance(failure, QuorumNotMet)
    assert failure.seen == "hospital_02: gone"


def test_a_full_disk_leaves_nothing_of_the_round_and_room_for_the_failure(small_disk):
    full_disk = small_disk("200k")
    with pytest.raises(StorageError, match="No space left on device") as caught:
        publish_round(full_disk, RECORD, WEIGHTS)
    assert list((full_disk / "rounds").iterdir()) == []
    publish_failure(full_disk, caught.value)
    assert isinstance(read_failure(full_disk), StorageError)


def test_a_file_that_may_not_grow_leaves_nothing_of_the_round(tmp_path):
    program = (
        "import signal, resource, sys; from pathlib import Path; import numpy as np\n"
        "from fed_assets.errors import StorageError\n"
        "from fed_assets.federation.outbox import publish_round\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))\n"
        "try:\n"
        "    publish_round(Path(sys.argv[1]), {'round_number': 1}, {'w': np.zeros(100_000)})\n"
        "except StorageError as error:\n"
        "    print(error.seen)\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert said.stdout == "File too large\n"
    assert list((tmp_path / "rounds").iterdir()) == []
