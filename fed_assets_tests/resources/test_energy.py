from __future__ import annotations

from pathlib import Path

import pytest

from fed_assets.resources.energy import NO_COUNTERS, UNREADABLE, EnergyMeter, read_counters

WRAPS_AT = 1_000_000


def put(powercap: Path, zone: str, name: str, microjoules: int) -> None:
    (powercap / zone).mkdir(parents=True, exist_ok=True)
    for file, content in {
        "name": name,
        "energy_uj": microjoules,
        "max_energy_range_uj": WRAPS_AT,
    }.items():
        (powercap / zone / file).write_text(f"{content}\n")


@pytest.fixture
def powercap(tmp_path: Path) -> Path:
    """Returns a folder like Linux's: two processors, a part of one, and the whole platform."""
    put(tmp_path, "intel-rapl:0", "package-0", 100)
    put(tmp_path, "intel-rapl:1", "package-1", 900_000)
    put(tmp_path, "intel-rapl:0:0", "core", 50)
    put(tmp_path, "intel-rapl:2", "psys", 1000)
    (tmp_path / "intel-rapl").mkdir()
    return tmp_path


def test_processors_are_added_up_and_their_parts_and_the_platform_are_not(powercap: Path) -> None:
    assert set(read_counters(powercap)) == {"intel-rapl:0", "intel-rapl:1"}
    meter = EnergyMeter(powercap)
    put(powercap, "intel-rapl:0", "package-0", 500_100)
    put(powercap, "intel-rapl:0:0", "core", 400_000)
    put(powercap, "intel-rapl:2", "psys", 999_999)
    meter.look()
    assert meter.joules() == 0.5
    assert meter.why_not() == ""


def test_a_counter_that_goes_round_is_followed_each_time(powercap: Path) -> None:
    meter = EnergyMeter(powercap)
    for microjoules in (200_000, 900_000, 199_999, 899_999):
        put(powercap, "intel-rapl:1", "package-1", microjoules)
        meter.look()
    # 300,001 across the end, 700,000, 300,000 across it again, and 700,000.
    assert meter.joules() == pytest.approx(2.000001, abs=1e-3)


def test_what_does_not_tell_is_no_zero_and_says_why(tmp_path: Path) -> None:
    for folder in (tmp_path / "nowhere", tmp_path):
        meter = EnergyMeter(folder)
        meter.look()
        assert meter.joules() is None
        assert meter.why_not() == NO_COUNTERS


@pytest.mark.parametrize("content", ["", "not a number"])
def test_a_counter_that_cannot_be_read_is_left_out(powercap: Path, content: str) -> None:
    (powercap / "intel-rapl:0" / "energy_uj").write_text(content)
    assert set(read_counters(powercap)) == {"intel-rapl:1"}
    (powercap / "intel-rapl:1" / "energy_uj").unlink()
    meter = EnergyMeter(powercap)
    assert meter.joules() is None
    assert meter.why_not() == UNREADABLE
