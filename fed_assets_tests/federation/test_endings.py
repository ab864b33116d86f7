"""However a session ends, it leaves no process, no port and no temporary file."""

from __future__ import annotations

import signal
import socket
import time
from pathlib import Path

import psutil
import pytest

from fed_assets.errors import JobFailed, PortTaken, TimeLimitPassed

pytestmark = pytest.mark.long

# The template; and of server and two hospitals the supervisor, the main and the job process each.
WHOLE_FAMILY = 10


@pytest.fixture
def hanging(tmp_path, write_plan, behave):
    plan = write_plan(tmp_path)
    behave(plan, "hospital_01", {1: "hang"})
    return plan


def assert_nothing_left(session, family, port, *, within_seconds):
    deadline = time.monotonic() + within_seconds
    while left := [member for member in family if is_alive(member)]:
        assert time.monotonic() < deadline, left
        time.sleep(0.05)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
    assert list(session.temporary.iterdir()) == []


def is_alive(process):
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_aborts_the_job_and_stops_everything_within_ten_seconds(
    hanging, start_session, number
):
    session = start_session(hanging)
    port = session.until("provisioned")["port"]
    session.until("submitted")
    family = session.working_family(WHOLE_FAMILY)
    asked = time.monotonic()
    session.process.send_signal(number)
    assert session.finish() == 1
    assert time.monotonic() - asked < 10
    assert isinstance(session.failure, JobFailed)
    assert number.name in session.failure.what
    assert_nothing_left(session, family, port, within_seconds=0.5)
    # Not even as a zombie: the session waited for all of them.
    assert not any(member.is_running() for member in family)


def test_a_killed_session_takes_every_process_with_it(hanging, start_session):
    session = start_session(hanging)
    port = session.until("provisioned")["port"]
    session.until("submitted")
    family = session.working_family(WHOLE_FAMILY)
    session.process.send_signal(signal.SIGKILL)
    session.process.wait()
    assert_nothing_left(session, family, port, within_seconds=2)


def test_a_session_killed_while_it_starts_takes_every_process_with_it(hanging, start_session):
    session = start_session(hanging)
    port = session.until("provisioned")["port"]
    family = session.working_family(2)
    session.process.send_signal(signal.SIGKILL)
    session.process.wait()
    assert_nothing_left(session, family, port, within_seconds=2)


def test_a_stopped_hospital_is_ended_too(hanging, start_session):
    session = start_session(hanging)
    port = session.until("provisioned")["port"]
    session.until("submitted")
    family = session.working_family(WHOLE_FAMILY)
    client = next(member for member in family if "uid=hospital_02" in member.cmdline())
    client.send_signal(signal.SIGSTOP)
    session.process.send_signal(signal.SIGTERM)
    assert session.finish() == 1
    assert_nothing_left(session, family, port, within_seconds=0.5)


def test_a_killed_server_ends_the_run(hanging, start_session):
    session = start_session(hanging)
    port = session.until("provisioned")["port"]
    session.until("submitted")
    family = session.working_family(WHOLE_FAMILY)
    server = next(member for member in family if "uid=server" in member.cmdline())
    server.send_signal(signal.SIGKILL)
    assert session.finish() == 1
    assert isinstance(session.failure, JobFailed)
    assert "server" in session.failure.what
    assert_nothing_left(session, family, port, within_seconds=0.5)


def test_the_hard_time_limit_ends_a_run_that_hangs(tmp_path, write_plan, start_session, behave):
    plan = write_plan(tmp_path, total_timeout_seconds=9)
    behave(plan, "hospital_01", {1: "hang"})
    session = start_session(plan)
    port = session.until("provisioned")["port"]
    family = session.working_family(2)
    assert session.finish() == 1
    assert isinstance(session.failure, TimeLimitPassed)
    assert "longer than 9 s" in session.failure.what
    assert_nothing_left(session, family, port, within_seconds=0.5)


def test_a_taken_port_is_named_before_anything_is_written(tmp_path, write_plan, start_session):
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        plan = write_plan(tmp_path, port=port)
        session = start_session(plan)
        assert session.finish() == 1
    assert isinstance(session.failure, PortTaken)
    assert str(port) in session.failure.what
    assert not Path(plan.folder).exists()


def test_a_run_after_a_taken_port_uses_that_port(tmp_path, write_plan, start_session):
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
    session = start_session(write_plan(tmp_path, port=port, rounds=1))
    assert session.finish() == 0
    assert session.events[0]["port"] == port
