"""Whole lifecycles of two hospitals here and one whose machine is in Azure ML, at the double."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator

import pytest

from fed_assets.privacy.chain import entries_of, first_fault
from fed_assets_tests.azure_ml.mixed import DEGRADED, Mixed, mixed_consortium
from fed_assets_tests.azure_ml.setting import HOSPITAL
from fed_assets_tests.azure_storage import Azurite

pytestmark = [pytest.mark.long, pytest.mark.timeout(2400)]
SANDBOX = "eyes_on"


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory, azurite: Azurite) -> Iterator[Mixed]:
    with mixed_consortium(tmp_path_factory.mktemp("mixed"), azurite, SANDBOX) as made:
        yield made


def test_a_hospital_in_azure_ml_is_validated_learns_and_is_tested(mixed: Mixed) -> None:
    host = mixed.run_whole()
    began, ended = host.ran
    tasks = [job for job in mixed.setting.double.jobs.values() if job is not host]
    assert len(tasks) >= 4  # its images, a contact sheet, their validation; its test
    assert all(job.status == "Completed" for job in tasks)
    assert not [job for job in tasks if began < job.ran[0] < ended]  # one at a time
    # Nothing of it is here, and the log of what left it is whole there.
    assert not mixed.hub.home.hospital(HOSPITAL).exists()
    log = mixed.setting.home / "hospitals" / HOSPITAL / SANDBOX / "outbox.jsonl"
    assert first_fault(log.read_bytes(), hospital=HOSPITAL) is None
    rounds = [entry.round_number for entry in entries_of(log.read_bytes()) if entry.round_number]
    assert sorted(set(rounds)) == [1, 2]
    report = json.loads(
        (mixed.hub.home.report(SANDBOX) / "report.json").read_text(encoding="utf-8")
    )
    assert HOSPITAL in json.dumps(report)
    # Its kit lay in its own container, and serves nobody any more.
    assert mixed.setting.azurite.names(mixed.setting.party) == set()
    issued = json.loads((mixed.hub.home.hosts / "issued.json").read_text())
    assert issued.keys() == {HOSPITAL}
    assert issued[HOSPITAL]["kit"] == ""
    for place in (mixed.setting.home, mixed.hub.home.root / "federations", host.folder):
        assert list(place.rglob("client.key")) == []


def test_what_left_it_is_looked_at_in_its_own_home(mixed: Mixed) -> None:
    code, told = mixed.hub.tell("hub", "outbox", HOSPITAL, "--sandbox", SANDBOX)
    assert code == 1
    assert f"The machine of {HOSPITAL} is in Azure ML" in " ".join(told.split())
    (mixed.hub.folder / "mounted").symlink_to(mixed.setting.home)
    asked = ("outbox", HOSPITAL, "--sandbox", SANDBOX, "--verify")
    code, told = mixed.hub.tell("mounted", *asked)
    assert code == 0, told
    assert "entries are whole" in told


def test_a_machine_that_does_not_start_is_missed(mixed: Mixed) -> None:
    (mixed.setting.home / "hospital.yaml").unlink()
    before = len(mixed.hosts())
    with mixed.retraining(2) as run:
        told, _ = run.communicate(timeout=900)
    mixed.let(SANDBOX)
    assert run.returncode == DEGRADED, told
    words = " ".join(told.split())
    assert f"{HOSPITAL} was missing in rounds 1-2: The hospital's settings" in words
    assert mixed.participants() == [["south", "west"]] * 2
    assert len(mixed.hosts()) == before + 1


def test_a_machine_whose_job_is_cancelled_is_lost_to_the_run(mixed: Mixed) -> None:
    known = mixed.hub.home.federations(SANDBOX)
    with mixed.retraining(12) as run:
        mixed.hub.wait_for_round(run, SANDBOX, 1, known)
        mixed.hosts()[-1].cancel()
        told, _ = run.communicate(timeout=900)
    assert run.returncode == DEGRADED, told
    words = " ".join(told.split())
    assert f"degraded: {HOSPITAL} was missing in rounds" in words
    assert "ended as Canceled" in words
    rounds = mixed.participants()
    assert HOSPITAL in rounds[0]
    assert rounds[-1] == ["south", "west"]


def test_a_machines_job_is_cancelled_with_its_run(mixed: Mixed) -> None:
    known = mixed.hub.home.federations(SANDBOX)
    with mixed.retraining(40) as run:
        mixed.hub.wait_for_round(run, SANDBOX, 1, known)
        run.send_signal(signal.SIGINT)
        told, _ = run.communicate(timeout=300)
    assert run.returncode not in (0, DEGRADED), told
    end = time.monotonic() + 60
    while mixed.hosts()[-1].status not in ("Canceled", "Completed") and time.monotonic() < end:
        time.sleep(0.1)
    assert mixed.hosts()[-1].status in ("Canceled", "Completed")
