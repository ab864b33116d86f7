"""Each failing step of a connection is named, with what was seen and how to mend it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fed_assets.federation.revocations import revoke
from fed_assets.hosts import steps
from fed_assets.hosts.identity import Identity, take_up
from fed_assets.hosts.issued import Issued
from fed_assets.hosts.kit import read_kit
from fed_assets.hosts.steps import NAMES, Step, try_steps
from fed_assets_tests.hosts.machines import open_door

Give = Callable[..., Path]


@pytest.fixture
def own(give: Give, tmp_path: Path) -> Identity:
    return take_up(read_kit(give("st_mary")), tmp_path / "machine")


def states(found: list[Step]) -> dict[str, str]:
    assert [each.name for each in found] == list(NAMES)
    return {each.name: each.state for each in found}


def failing(own: Identity, name: str) -> Step:
    found, _ = try_steps(own)
    (failed,) = [each for each in found if each.state == "failed"]
    assert failed.name == name, failed
    assert failed.cure
    behind = NAMES[NAMES.index(name) + 1 :]
    assert {states(found)[each] for each in behind} <= {"not tried"}
    return failed


def test_where_all_is_well_every_step_says_so(hosts: Path, own: Identity) -> None:
    with open_door(hosts) as door:
        found, said = try_steps(replace(own, address=door.address))
        assert set(states(found).values()) == {"ok"}
        assert said["terms"] == {"of": "st_mary"}
        found, _ = try_steps(replace(own, address=door.address))  # the kit can still be used
        assert set(states(found).values()) == {"ok"}


def test_a_name_that_nobody_knows(own: Identity) -> None:
    step = failing(replace(own, address="no-such-host.invalid:1"), "name")
    assert "no-such-host.invalid" in step.seen


def test_no_route(own: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    # A listener whose queue is full drops what comes, as a firewall does.
    monkeypatch.setattr("fed_assets.hosts.tls.CONNECT_SECONDS", 0.5)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        waiting = []
        for _ in range(8):
            each = socket.socket()
            each.setblocking(False)
            each.connect_ex(address)
            waiting.append(each)
        step = failing(replace(own, address=f"127.0.0.1:{address[1]}"), "route")
        assert "nothing came back" in step.seen
        for each in waiting:
            each.close()


def test_a_port_on_which_nobody_listens(own: Identity) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    assert "refused" in failing(replace(own, address=f"127.0.0.1:{port}"), "port").seen


def test_what_is_no_door(own: Identity) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:

        def answer() -> None:
            for _ in range(2):
                link, _ = other.accept()
                link.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                link.close()

        threading.Thread(target=answer, daemon=True).start()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        assert "no door" in failing(replace(own, address=address), "certificate").seen


def test_a_door_of_another_authority(own: Identity, tmp_path: Path) -> None:
    with open_door(tmp_path / "other" / "hosts") as door:
        step = failing(replace(own, address=door.address), "certificate")
    assert step.seen.startswith("the door's: ")
    assert "proxy" in step.cure


def test_a_kit_that_was_used(hosts: Path, own: Identity) -> None:
    issued = Issued(hosts)
    issued.renewed("st_mary", 7)
    assert issued.refusal("st_mary", 7, enrolling=False) == ""
    with open_door(hosts) as door:
        step = failing(replace(own, address=door.address), "certificate")
    assert "the kit was used" in step.seen
    assert "for a new kit" in step.cure


def test_a_revoked_hospital(hosts: Path, own: Identity) -> None:
    revoke(hosts.parent / "revoked.json", "st_mary")
    with open_door(hosts) as door:
        step = failing(replace(own, address=door.address), "certificate")
    assert "it is revoked since" in step.seen
    assert "to reinstate the hospital" in step.cure
    assert "without a new kit" in step.cure


def test_a_certificate_that_has_ended(hosts: Path, give: Give, tmp_path: Path) -> None:
    path = give("st_mary", lifetime=timedelta(seconds=1.5))
    machine = take_up(read_kit(path), tmp_path / "machine")
    threading.Event().wait(2.5)
    with open_door(hosts) as door:
        step = failing(replace(machine, address=door.address), "certificate")
    assert "ended at" in step.seen


class Clock(datetime):
    """A machine's clock that is a month behind."""

    @classmethod
    def now(cls, tz: object = None) -> datetime:
        return datetime.now(UTC) - timedelta(days=30)


def test_a_clock_that_is_a_month_behind(
    hosts: Path, own: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "datetime", Clock)
    with open_door(hosts) as door:
        step = failing(replace(own, address=door.address), "clock")
    assert "begins later" in step.seen
    assert "timedatectl" in step.cure


def test_a_clock_that_is_some_minutes_off(
    hosts: Path, own: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "MOST_OFFSET_SECONDS", -1.0)
    with open_door(hosts) as door:
        found, _ = try_steps(replace(own, address=door.address))
    assert states(found)["clock"] == "failed"
    assert states(found)["certificate"] == "ok"


def test_other_versions(hosts: Path, own: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "versions", lambda: {"nvflare": "2.8.0", "fed_assets": "0.0.1"})
    with open_door(hosts) as door:
        step = failing(replace(own, address=door.address), "versions")
    assert "nvflare: 2.8.0 here, 2.9.0 there" in step.seen
