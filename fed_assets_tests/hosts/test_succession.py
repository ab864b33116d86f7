"""Certificates that near their end: the door's, its authority's, and who is told of it in time."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fed_assets.errors import KitRefused
from fed_assets.federation.revocations import revoke
from fed_assets.hosts import authority as authorities
from fed_assets.hosts import steps
from fed_assets.hosts.authority import Authority, fingerprint, open_authority
from fed_assets.hosts.identity import Identity, take_up
from fed_assets.hosts.issued import Issued
from fed_assets.hosts.kit import make_kit, read_kit
from fed_assets.hosts.steps import try_steps
from fed_assets.hosts.succession import keep_authority, outlook
from fed_assets.hosts.tls import shown_certificate
from fed_assets.resources.machine import AUTHORITY, examine
from fed_assets.resources.settings import Settings
from fed_assets_tests.hosts.machines import OpenDoor, ask, machine, open_door, within
from fed_assets_tests.places import make_place

MONTH = timedelta(days=30)


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has certificates begin when they are made, and machines look at theirs often."""
    monkeypatch.setattr("fed_assets.hosts.outgoing.RENEWAL_LOOK_SECONDS", 0.2)
    monkeypatch.setattr("fed_assets.hosts.authority.BACKDATED", timedelta(0))


def lasting(folder: Path, *, left: timedelta) -> Authority:
    """Makes an authority of ten years of which so much is left, and returns it."""
    before = authorities.BACKDATED
    authorities.BACKDATED = authorities.AUTHORITY_LIFETIME - left
    try:
        return open_authority(folder, lifetime=left)
    finally:
        authorities.BACKDATED = before


def joined(hub: Path, folder: Path, name: str, address: str) -> Identity:
    """Returns a machine that has taken up a kit, as the hub makes it now."""
    signer = keep_authority(hub, known_within=MONTH)
    content, made = make_kit(signer, name, address, version="1")
    Issued(hub).give_kit(name, made.serial_number)
    path = folder.with_suffix(".kit")
    path.touch(0o600)
    path.write_bytes(content)
    return take_up(read_kit(path), folder)


def shown(door: OpenDoor) -> datetime:
    """Returns until when the certificate is valid that the door shows whoever calls now."""
    found = None
    while found is None:  # the door hangs up on who shows none, and sometimes first
        found = shown_certificate(door.address)
    return found.not_valid_after_utc


def test_the_door_shows_a_new_certificate_in_time_and_parts_with_nobody(
    hosts: Path, tmp_path: Path
) -> None:
    with open_door(hosts, own_lifetime=timedelta(seconds=4)) as door:
        first = shown(door)
        with machine(joined(hosts, tmp_path / "at", "st_mary", door.address)) as st_mary:
            assert "result" in ask(hosts, "st_mary")
            assert within(10, lambda: shown(door) > first)
            assert datetime.now(UTC) < first  # there was no moment without a valid one
            assert within(10, lambda: datetime.now(UTC) > first)
            assert "result" in ask(hosts, "st_mary")
            assert door.heard("st_mary is connected")
            assert sum("is connected from" in line for line in door.said) <= 2  # kit, then its own
            late = joined(hosts, tmp_path / "late", "st_john", door.address)
            assert {each.state for each in try_steps(late)[0]} == {"ok"}
            assert st_mary.ended_by == []


def test_the_next_authority_is_made_long_before_and_signs_only_when_all_know_of_it(
    hosts: Path,
) -> None:
    young = open_authority(hosts)
    assert keep_authority(hosts, known_within=MONTH) == young
    assert "makes the next by itself" in outlook(young)[0]
    old = lasting(hosts / "old", left=timedelta(days=800))
    seen, cure = outlook(old)
    assert "no other is made" in seen
    assert "federation door" in cure
    both = keep_authority(hosts / "old", known_within=MONTH)
    assert both.certificate == old.certificate
    (following,) = both.others
    assert following.not_valid_after_utc > old.certificate.not_valid_after_utc
    assert outlook(both)[1] == ""
    assert os.stat(hosts / "old" / "next.key").st_mode & 0o077 == 0
    assert keep_authority(hosts / "old", known_within=MONTH) == both
    # Little is left of it, but machines do not know the next yet: it signs a month from now.
    late = lasting(hosts / "late", left=timedelta(days=100))
    assert keep_authority(hosts / "late", known_within=MONTH).certificate == late.certificate
    assert keep_authority(hosts / "late", known_within=MONTH).certificate == late.certificate
    changed = keep_authority(hosts / "late", known_within=timedelta(0))
    assert changed.certificate != late.certificate
    assert changed.others == (late.certificate,)
    assert keep_authority(hosts / "late", known_within=MONTH) == changed


def test_what_broke_off_as_the_next_took_over_is_finished(hosts: Path) -> None:
    lasting(hosts, left=timedelta(days=100))
    (following,) = keep_authority(hosts, known_within=MONTH).others
    (hosts / "next.crt").replace(hosts / "authority.crt")  # and then the power went
    with pytest.raises(KitRefused, match="another's"):
        open_authority(hosts)
    assert keep_authority(hosts, known_within=MONTH).certificate == following
    # One of whose making only the certificate was written is made anew.
    lasting(hosts / "other", left=timedelta(days=800))
    keep_authority(hosts / "other", known_within=MONTH)
    (hosts / "other" / "next.key").unlink()
    assert keep_authority(hosts / "other", known_within=MONTH).others != (following,)
    assert (hosts / "other" / "next.key").exists()


def test_machines_follow_from_one_authority_to_the_next_without_a_restart_or_a_kit(
    hosts: Path, tmp_path: Path
) -> None:
    old = open_authority(hosts, lifetime=timedelta(seconds=32))
    lives = timedelta(seconds=6)  # on a busy machine a renewal takes a second or two
    with open_door(hosts, lifetime=lives, own_lifetime=timedelta(seconds=4)) as door:
        own = joined(hosts, tmp_path / "at", "st_mary", door.address)
        assert own.authorities == [old.certificate]
        with machine(own) as st_mary:
            assert "result" in ask(hosts, "st_mary")
            assert within(40, lambda: len(own.authorities) == 2)
            assert datetime.now(UTC) < old.certificate.not_valid_after_utc
            assert within(40, lambda: datetime.now(UTC) > old.certificate.not_valid_after_utc)
            assert "result" in ask(hosts, "st_mary")
            assert within(20, lambda: own.certificate.not_valid_before_utc > _end(old))
            assert "result" in ask(hosts, "st_mary")
            assert st_mary.ended_by == []
            # A new hospital gets a kit of the next one, and only that lets it in.
            new = joined(hosts, tmp_path / "new", "st_john", door.address)
            assert fingerprint(new.authorities[0]) != fingerprint(old.certificate)
            assert {each.state for each in try_steps(new)[0]} == {"ok"}
    assert not [line for line in door.said if "no new certificate" in line]


def _end(of: Authority) -> datetime:
    return of.certificate.not_valid_after_utc


def test_a_kit_is_no_proof_of_the_authorities_that_it_names_beside_its_signer(
    hosts: Path, tmp_path: Path
) -> None:
    own = joined(hosts, tmp_path / "at", "st_mary", "localhost:1")
    stranger = open_authority(tmp_path / "stranger")
    liar = Authority(stranger.certificate, stranger.key, tuple(own.authorities))
    content, _ = make_kit(liar, "st_mary", "localhost:1", version="1")
    (tmp_path / "strange.kit").touch(0o600)
    (tmp_path / "strange.kit").write_bytes(content)
    with pytest.raises(KitRefused, match="another authority than this machine has joined"):
        take_up(read_kit(tmp_path / "strange.kit"), own.folder)


def test_an_authority_that_ended_signs_nothing_and_revocations_count_all_the_same(
    hosts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fed_assets.hosts.succession.NEXT_IS_MADE", 2.0)  # nobody made the next
    monkeypatch.setattr("fed_assets.hosts.outgoing.RENEWAL_LOOK_SECONDS", 3600.0)
    ended = open_authority(hosts, lifetime=timedelta(seconds=4))
    with open_door(hosts, own_lifetime=timedelta(seconds=2)) as door:
        own = joined(hosts, tmp_path / "at", "st_mary", door.address)
        with machine(own) as st_mary:
            assert "result" in ask(hosts, "st_mary")
            assert door.heard("The door has no new certificate: The authority of hospitals' hosts")
            assert "result" in ask(hosts, "st_mary")  # who is connected stays so
            revoke(hosts.parent / "revoked.json", "st_mary")
            assert within(10, lambda: door.desk.connected() == [])
            assert within(10, lambda: any("Not connected" in line for line in st_mary.said))
        found = {each.name: each for each in try_steps(own)[0]}
        assert found["authority"].state == "failed"
        assert "ask for a new kit" in found["authority"].cure
    with pytest.raises(KitRefused, match=r"has ended.*every hospital on a host of its own"):
        ended.issue("st_mary", ended.key.public_key(), MONTH)
    with pytest.raises(KitRefused, match="has ended"):
        keep_authority(hosts, known_within=MONTH)


@pytest.mark.parametrize(
    ("days", "state", "told"),
    [(3000, "ok", "from 20"), (800, "warning", "no other is made"), (0, "missing", "has ended")],
)
def test_doctor_tells_long_before_the_authority_ends(
    tmp_path: Path, days: int, state: str, told: str
) -> None:
    remote = [{"id": "north", "name": "n"}, {"id": "east", "name": "e", "remote": "share"}]
    door = {"door": "hub.example:8443"}
    place = make_place(tmp_path / "place", hospitals=remote, federation=door)
    chosen = Settings(place.home, roster=tmp_path / "place" / "roster.yaml")
    assert "none yet" in _finding(chosen)[1]
    lasting(place.home.hosts, left=timedelta(days=days))
    assert _finding(chosen)[0] == state
    assert told in _finding(chosen)[1]


def _finding(chosen: Settings) -> tuple[str, str]:
    (found,) = [each for each in examine(chosen) if each.what == AUTHORITY]
    return found.state, found.seen


class Later(datetime):
    """A clock that is nine and a half years ahead."""

    @classmethod
    def now(cls, tz: object = None) -> datetime:
        return datetime.now(UTC) + timedelta(days=3468)


def test_a_machine_that_knows_of_no_next_authority_is_told_so(
    hosts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = joined(hosts, tmp_path / "at", "st_mary", "localhost:1")
    assert steps._authority(own).state == "ok"
    monkeypatch.setattr(steps, "datetime", Later)
    step = steps._authority(own)
    assert (step.state, step.passed) == ("warning", True)
    assert "nobody told it of the next" in step.seen
    assert "door running" in step.cure
