from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from benchmarks.federation.arms import Bench, run_process
from benchmarks.federation.goals import GOALS, compare, exponent, medians, period, ratios
from benchmarks.federation.judging import relative_distance
from benchmarks.federation.picture import draw_scaling, title_of
from benchmarks.federation.scaling import growth
from benchmarks.measure import run_measured

PROJECT = Path(__file__).parent.parent


def run(arm: str, seconds: float, cpu_seconds: float = 1.0, *, timed: bool = True) -> dict:
    """Returns a record of an arm whose command is over as long again after its result."""
    return {
        "arm": arm,
        "seconds": seconds,
        "process_seconds": 2 * seconds,
        "cpu_seconds": cpu_seconds,
        "timed": timed,
    }


def test_ratios_are_of_medians_and_leave_out_the_turn_for_memory() -> None:
    runs = [
        *(run("bare", seconds, cpu_seconds=10) for seconds in (9, 10, 30)),
        *(run("warm", seconds, cpu_seconds=15) for seconds in (8, 6, 1)),
        run("cold", 14),
        run("flower", 12),
        run("simulator", 30),
        run("warm", 500, timed=False),
    ]
    assert medians(runs, "seconds")["bare"] == 10
    assert ratios(runs, others="seconds") == {
        "warm_over_flower": 0.5,
        "warm_over_bare": 0.6,
        "warm_over_simulator": 0.2,
        "cold_over_flower": 1.167,
        "cpu_over_bare": 1.5,
    }


def test_goals_count_ours_until_its_result_and_others_until_their_command_is_over() -> None:
    runs = [run("bare", 10, 10), run("warm", 6, 15)]
    assert ratios(runs) == {"warm_over_bare": 0.3, "cpu_over_bare": 1.5}


def test_a_ratio_to_an_arm_that_did_not_run_is_left_out() -> None:
    assert set(ratios([run("bare", 10), run("warm", 8)])) == {"warm_over_bare", "cpu_over_bare"}


def test_a_round_is_timed_from_the_end_of_the_one_before() -> None:
    assert period([{"at": 3.0}, {"at": 3.5}, {"at": 4.4}]) == 0.7


@pytest.mark.parametrize(("power", "found"), [(0, 0.0), (1, 1.0), (2, 2.0)])
def test_the_exponent_of_growth_is_found(power: int, found: float) -> None:
    sizes = [5, 10, 20, 40]
    assert exponent(sizes, [3.0 * size**power for size in sizes]) == pytest.approx(found, abs=1e-6)


def test_goals_say_what_is_met_what_is_missed_and_what_was_not_measured() -> None:
    figures = {"warm_over_bare": 0.9, "cpu_over_bare": 1.61}
    rows = {row["figure"]: row for row in compare(figures)}
    assert set(rows) == {goal.figure for goal in GOALS}
    assert rows["warm_over_bare"]["met"] is True
    assert rows["cpu_over_bare"]["met"] is False
    assert rows["dagster_seconds"]["met"] is None


SCALING = [
    {
        "hospitals": hospitals,
        "parameters": parameters,
        "seconds_per_round": hospitals * parameters / 1e7,
        "megabytes_per_round": hospitals * parameters / 1e5,
        "peak_memory_gb": 1 + hospitals / 10,
    }
    for parameters in (105_538, 11_172_162)
    for hospitals in (5, 10, 20)
] + [{"hospitals": 40, "parameters": 11_172_162, "skipped": "would take about 50 GB of memory"}]


def test_growth_is_told_by_model_and_leaves_out_what_was_skipped() -> None:
    assert growth(SCALING, "seconds_per_round") == {"105538": 1.0, "11172162": 1.0}
    assert growth(SCALING[:1], "seconds_per_round") == {}


def test_the_picture_shows_every_model_and_says_what_is_seen() -> None:
    picture = draw_scaling(SCALING)
    assert picture.content.startswith(b"\x89PNG")
    known = [row for row in SCALING if "skipped" not in row]
    assert title_of(known) == (
        "From 5 to 20 hospitals, a round with 0.1 M parameters goes from 0.05 to 0.21 s"
    )


def test_weights_that_stayed_behind_are_a_whole_way_off() -> None:
    initial = {"a": np.zeros(3, np.float32), "steps": np.array([1])}
    trained = {"a": np.full(3, 2, np.float32), "steps": np.array([9])}
    nearly = {"a": np.array([2, 2, 2.02], np.float32), "steps": np.array([8])}
    assert relative_distance(initial, initial, trained) == 1.0
    assert relative_distance(initial, nearly, trained) < 0.01
    assert relative_distance(initial, trained, trained) == 0.0


def measured(script: str, folder: Path, **options: float):
    return run_measured(
        [sys.executable, "-c", script],
        environment=dict(os.environ),
        folder=folder,
        log=folder / "log",
        **{"timeout_seconds": 60, **options},
    )


BURN = "import time\nwhile time.process_time() < 0.4: pass\n"


def test_cpu_and_memory_of_grandchildren_count(tmp_path: Path) -> None:
    script = f"""
import subprocess, sys
child = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"
grandchild = "kept = b'x' * 200_000_000\\n" + {BURN!r} + "time.sleep(0.5)"
subprocess.run([sys.executable, "-c", child, grandchild])
"""
    usage = measured(script, tmp_path, sample_seconds=0.1)
    assert usage.exit_code == 0
    assert usage.cpu_seconds >= 0.4
    assert usage.machine_cpu_seconds >= 0.35
    assert usage.peak is not None
    assert usage.peak.memory_bytes > 200_000_000
    assert usage.peak.processes == 3
    assert usage.left_behind == ()


def test_a_process_that_is_left_behind_is_named_and_ended(tmp_path: Path) -> None:
    script = """
import subprocess
print(subprocess.Popen(["sleep", "300"], start_new_session=True).pid)
"""
    usage = measured(script, tmp_path)
    assert usage.left_behind == ("sleep",)
    assert not psutil.pid_exists(int((tmp_path / "log").read_text()))


def test_a_child_that_was_there_before_is_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "302"]) as own:
        assert measured("pass", tmp_path).left_behind == ()
        assert own.poll() is None
        own.kill()


def test_a_command_that_takes_too_long_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    script = """
import subprocess
print(subprocess.Popen(["sleep", "300"]).pid, flush=True)
while True: pass
"""
    usage = measured(script, tmp_path, timeout_seconds=2)
    assert usage.exit_code == -9
    assert 2 <= usage.seconds < 10
    assert not psutil.pid_exists(int((tmp_path / "log").read_text()))


def test_an_arm_that_fails_ends_the_benchmark_with_its_last_words(tmp_path: Path) -> None:
    bench = Bench(tmp_path, arms=(), flower_python=Path(sys.executable))
    folder = bench.new_folder("bare-1")
    with pytest.raises(SystemExit, match=r"(?s)bare failed.*FileNotFoundError.*no_such_work"):
        run_process(bench, "benchmarks.federation.bare", tmp_path / "no_such_work", folder)


@pytest.mark.slow
def test_work_that_is_not_done_is_told_from_work_that_is(tmp_path: Path, real_data: Path) -> None:
    from benchmarks.federation.judging import judge
    from benchmarks.federation.preparation import prepare, small_roster
    from benchmarks.federation.step import take_step
    from fed_assets.federation.weights import read_weights, write_weights

    work = prepare(small_roster(1), real_data, tmp_path)
    assert len(work.stores) == 10
    (hospital, store), *_ = work.stores.items()
    initial = read_weights(Path(work.initial_weights))
    step = take_step(hospital, Path(store), initial, work.instructions(1))
    assert step.examples == pytest.approx(388, abs=2)
    done = tmp_path / "done.safetensors"
    write_weights(done, step.weights)
    other = replace(work, seed=work.seed + 1).instructions(1)
    otherwise = tmp_path / "otherwise.safetensors"
    write_weights(otherwise, take_step(hospital, Path(store), initial, other).weights)
    assert judge(work, str(done), str(done))["same_work"]
    assert not judge(work, work.initial_weights, str(done))["same_work"]
    assert not judge(work, str(otherwise), str(done))["same_work"]


@pytest.mark.long
def test_bare_loop_and_federation_do_the_same_work_to_the_last_bit(
    tmp_path: Path, real_data: Path
) -> None:
    output, picture = tmp_path / "federation.json", tmp_path / "scaling.png"
    options = ["--quick", "--repeats", "0", "--arms", "bare", "ours", "--data", str(real_data)]
    options += ["--output", str(output), "--picture", str(picture)]
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.federation", *options],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    record = json.loads(output.read_text())
    assert record["faults"] == []
    assert [each["arm"] for each in record["runs"]] == ["bare", "cold", "warm"]
    assert len({each["digest"] for each in record["runs"]}) == 1
    assert [row["hospitals"] for row in record["scaling"]] == [2, 4]
    assert all(row["seconds_per_round"] > 0 for row in record["scaling"])
    assert all(row["peak_memory_gb"] > 0.1 for row in record["scaling"])
    assert picture.read_bytes().startswith(b"\x89PNG")
