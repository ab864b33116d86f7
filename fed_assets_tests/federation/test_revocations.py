"""A list of hospitals that are kept out, and a real federation that goes on without one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fed_assets.errors import HospitalRevoked, RunConfigError, StorageError
from fed_assets.federation.provision import provision
from fed_assets.federation.revocations import (
    read_revocations,
    reinstate,
    require_none_revoked,
    revoke,
    revoked_in,
)
from fed_assets.federation.site import SITES

REVOKING = "fed_assets_tests.federation.revoking_session"


@pytest.fixture
def listed(tmp_path):
    return tmp_path / "revoked.json"


def test_nobody_is_revoked_where_there_is_no_list(listed):
    assert revoked_in(listed, "minimal") == {}


def test_a_hospital_is_revoked_in_all_sandboxes_or_in_one(listed):
    revoke(listed, "north")
    revoke(listed, "east", "eyes_on")
    assert revoked_in(listed, "eyes_on").keys() == {"north", "east"}
    assert revoked_in(listed, "minimal").keys() == {"north"}
    assert "`fed-assets federation reinstate north`" in revoked_in(listed, "minimal")["north"]


def test_a_second_time_changes_nothing(listed):
    revoke(listed, "north")
    before = listed.read_bytes()
    revoke(listed, "north")
    assert listed.read_bytes() == before


def test_a_reinstated_hospital_is_revoked_nowhere(listed):
    for sandbox in ("*", "eyes_on"):
        revoke(listed, "north", sandbox)
    revoke(listed, "east")
    assert reinstate(listed, "north")
    assert not reinstate(listed, "north")
    assert revoked_in(listed, "eyes_on").keys() == {"east"}


def test_it_is_reinstated_in_one_sandbox_only_where_it_is_revoked_in_that_one(listed):
    for sandbox in ("minimal", "eyes_on"):
        revoke(listed, "north", sandbox)
    assert reinstate(listed, "north", "eyes_on")
    assert revoked_in(listed, "minimal").keys() == {"north"}
    revoke(listed, "north")
    with pytest.raises(RunConfigError, match="north is revoked in all sandboxes"):
        reinstate(listed, "north", "minimal")
    assert revoked_in(listed, "eyes_on").keys() == {"north"}


def test_only_this_user_can_read_or_change_the_list(listed):
    revoke(listed, "north")
    assert [path for path in listed.parent.iterdir() if path.stat().st_mode & 0o077] == []
    listed.chmod(0o622)
    with pytest.raises(StorageError, match="others than this user may read or change it"):
        read_revocations(listed)


@pytest.mark.parametrize(
    "content",
    ["", "[", "{}", "[1]", "[{}]", '[{"hospital": "a", "sandbox": "*", "since": 1}]'],
)
def test_a_damaged_list_lets_nobody_in_and_is_not_written_over(listed, content):
    listed.write_text(content)
    listed.chmod(0o600)
    for use in (
        lambda: revoked_in(listed, "minimal"),
        lambda: revoke(listed, "north"),
        lambda: reinstate(listed, "north"),
    ):
        with pytest.raises(StorageError, match="nobody may take part"):
            use()
    assert listed.read_text() == content


def test_a_revoked_hospital_gets_no_kit_until_it_is_reinstated(tmp_path, listed, write_plan):
    plan = write_plan(tmp_path, revocations=str(listed))
    revoke(listed, "hospital_02", "minimal")
    require_none_revoked(plan)  # the plan is for another sandbox
    revoke(listed, "hospital_02")
    with pytest.raises(HospitalRevoked, match="hospital_02"):
        provision(plan)
    assert not Path(plan.folder, SITES).exists()
    reinstate(listed, "hospital_02")
    assert provision(plan).hospitals.keys() == {"hospital_01", "hospital_02"}


@pytest.mark.slow
def test_a_hospital_that_is_revoked_during_a_run_is_lost_and_cannot_log_in_again(
    tmp_path, listed, write_plan, start_session, behave
):
    plan = write_plan(tmp_path, revocations=str(listed), rounds=3, quorum=1)
    behave(plan, "hospital_01", {2: "hang"})
    session = start_session(plan, module=REVOKING)
    assert session.finish() == 0, session.events
    # That its certificate would do where it is not revoked: see `test_logins`.
    (again,) = [event["outcome"] for event in session.events if event["event"] == "again"]
    assert again == "refused"
    log = tmp_path / "again" / "sites" / "hospital_01" / "log.txt"
    assert "Client 'hospital_01' is disabled" in log.read_text()
    first, second, third = session.result["rounds"]
    assert first["missing"] == {}
    assert second["missing"] == third["missing"] == {"hospital_01": "it was revoked"}
    assert session.result["status"] == "degraded"
    assert json.loads(Path(plan.folder, "lost", "hospital_01.json").read_text())["reason"]
