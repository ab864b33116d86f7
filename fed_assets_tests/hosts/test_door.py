"""Hospitals' machines at the door: whom it lets in, what comes through, and what it survives."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from fed_assets.errors import DoorUnreachable, HostAway
from fed_assets.federation.revocations import reinstate, revoke
from fed_assets.hosts.authority import DOOR, open_authority
from fed_assets.hosts.desk_socket import reach_desk
from fed_assets.hosts.frames import Gone, Stream, relay
from fed_assets.hosts.identity import Identity, take_up
from fed_assets.hosts.kit import make_kit, read_kit
from fed_assets.hosts.outgoing import Pipes
from fed_assets.hosts.tls import call
from fed_assets_tests.hosts.machines import ask, machine, open_door, within

Give = Callable[..., Path]


@pytest.fixture
def join(give: Give, tmp_path: Path) -> Callable[[str, str], Identity]:
    """Returns what makes a machine of a hospital's kit."""
    return lambda name, address: take_up(read_kit(give(name, address)), tmp_path / f"at_{name}")


Join = Callable[[str, str], Identity]


def test_what_is_asked_goes_to_the_hospital_and_its_answer_comes_back(
    hosts: Path, join: Join
) -> None:
    with open_door(hosts) as door, machine(join("st_mary", door.address)) as st_mary:
        assert ask(hosts, "st_mary", b"x" * 3_000_000, b"y")["result"] == {"bytes": 3_000_001}
        assert [each["do"] for each in st_mary.asked] == ["ask"]
        assert door.desk.connected() == ["st_mary"]
        assert (st_mary.identity.folder.stat().st_mode & 0o077) == 0


def test_a_used_kit_lets_nobody_else_in(hosts: Path, give: Give, tmp_path: Path) -> None:
    with open_door(hosts) as door:
        kit = read_kit(give("st_mary", door.address))
        with machine(take_up(kit, tmp_path / "own")):
            assert "result" in ask(hosts, "st_mary")
            with machine(take_up(kit, tmp_path / "copy")) as copied:
                assert within(10, lambda: bool(copied.ended_by))
                assert "the kit was used" in copied.ended_by[0].seen
            assert "result" in ask(hosts, "st_mary")
        assert door.heard("st_mary, from 127.0.0.1, was refused: the kit was used")


def test_the_kit_itself_is_not_enough_to_serve(hosts: Path, join: Join) -> None:
    with open_door(hosts) as door:
        new = join("st_mary", door.address)
        _, said = call(new.address, new.credentials, {"purpose": "serve", "sites": []})
        assert "is not let in" in said["refused"]


def test_a_new_kit_brings_another_machine_in_and_the_first_out(
    hosts: Path, give: Give, tmp_path: Path
) -> None:
    with open_door(hosts) as door:
        with machine(take_up(read_kit(give("st_mary", door.address)), tmp_path / "one")):
            assert "result" in ask(hosts, "st_mary")
        second = take_up(read_kit(give("st_mary", door.address)), tmp_path / "two")
        with machine(second) as new:
            assert "result" in ask(hosts, "st_mary")
            with machine(Identity(tmp_path / "one", "st_mary", door.address)) as old:
                assert within(10, lambda: bool(old.ended_by))
            assert new.ended_by == []


def test_a_stranger_gets_no_word(hosts: Path, join: Join, tmp_path: Path) -> None:
    with open_door(hosts) as door:
        own = join("st_mary", door.address)
        strange = open_authority(tmp_path / "strange")
        path = tmp_path / "strange.kit"
        path.touch(0o600)
        path.write_bytes(make_kit(strange, "st_mary", door.address, version="1")[0])
        stranger = take_up(read_kit(path), tmp_path / "at_stranger")
        # He knows our door, and shows a certificate of an authority of his own.
        (stranger.folder / "authority.pem").write_bytes(own.credentials.authority.read_bytes())
        with pytest.raises((OSError, Gone)):
            call(door.address, stranger.credentials, {"purpose": "look"})
        bare = ssl.create_default_context(cafile=str(own.credentials.authority))
        with (
            socket.create_connection(("127.0.0.1", door.door.port)) as link,
            pytest.raises(OSError),  # by TLS 1.3, it shows when he reads
            bare.wrap_socket(link, server_hostname=DOOR) as spoken,
        ):
            spoken.sendall(b"anything")
            assert spoken.recv(1) == b""
            raise OSError
        _, said = call(door.address, own.credentials, {"purpose": "look"})
        assert said["terms"] == {"of": "st_mary"}


def test_tls_1_2_is_not_spoken(hosts: Path, join: Join) -> None:
    with open_door(hosts) as door:
        own = join("st_mary", door.address)
        old = own.credentials.context()
        old.minimum_version = ssl.TLSVersion.TLSv1_2
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        with (
            socket.create_connection(("127.0.0.1", door.door.port)) as link,
            pytest.raises(OSError, match="protocol"),
        ):
            old.wrap_socket(link, server_hostname=DOOR)


def test_a_hospital_cannot_stand_in_the_doors_place(hosts: Path, join: Join) -> None:
    with open_door(hosts) as door:
        own, other = join("st_mary", door.address), join("st_john", door.address)
    liar = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    liar.load_cert_chain(other.credentials.certificate)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def lie() -> None:
            link, _ = listener.accept()
            with pytest.raises(OSError), liar.wrap_socket(link, server_side=True) as spoken:
                spoken.recv(1)
                raise OSError

        lying = threading.Thread(target=lie)
        lying.start()
        with pytest.raises(ssl.SSLCertVerificationError):
            call(f"localhost:{listener.getsockname()[1]}", own.credentials, {"purpose": "look"})
        lying.join(5)


def test_a_revoked_hospital_is_parted_with_and_not_let_in(hosts: Path, join: Join) -> None:
    with open_door(hosts) as door, machine(join("st_mary", door.address)) as st_mary:
        assert "result" in ask(hosts, "st_mary")
        revoke(hosts.parent / "revoked.json", "st_mary")
        assert within(10, lambda: bool(st_mary.ended_by))
        assert "it is revoked since" in st_mary.ended_by[0].seen
        assert "without a new kit" in st_mary.ended_by[0].cure
        assert door.desk.connected() == []


def test_a_reinstated_hospital_serves_again_without_a_new_kit(hosts: Path, join: Join) -> None:
    listed = hosts.parent / "revoked.json"
    with open_door(hosts) as door:
        own = join("st_mary", door.address)
        revoke(listed, "st_mary")
        with machine(own) as st_mary:
            assert within(10, lambda: bool(st_mary.ended_by))
        assert reinstate(listed, "st_mary")
        with machine(own):
            assert "result" in ask(hosts, "st_mary")


def test_what_ails_the_door_ends_no_machine_and_passes(hosts: Path, join: Join) -> None:
    listed = hosts.parent / "revoked.json"
    with open_door(hosts, away_seconds=0.5) as door:
        own = join("st_mary", door.address)
        listed.write_text("damaged")
        with machine(own) as st_mary:
            assert within(10, lambda: any("lets nobody in just now" in s for s in st_mary.said))
            assert ask(hosts, "st_mary")["error"]["kind"] == "HostAway"  # who waits is told still
            listed.unlink()
            assert within(20, lambda: door.desk.connected() == ["st_mary"])
            listed.write_text("damaged")
            assert door.heard("The door cannot tell who is revoked")
            listed.unlink()
            revoke(listed, "st_mary")
            assert within(10, lambda: bool(st_mary.ended_by))
            assert "it is revoked since" in st_mary.ended_by[0].seen


def test_what_was_asked_while_it_was_away_is_answered_when_it_comes(
    hosts: Path, join: Join
) -> None:
    answers: list[dict[str, object]] = []
    with open_door(hosts) as door:
        asking = threading.Thread(target=lambda: answers.append(ask(hosts, "st_mary")))
        asking.start()
        with machine(join("st_mary", door.address)):
            asking.join(10)
    assert answers == [{"id": 1, "result": {"bytes": 0}}]


def test_an_answer_outlives_the_connection_and_a_task_is_done_once(hosts: Path, join: Join) -> None:
    answers: list[dict[str, object]] = []
    with open_door(hosts) as door, machine(join("st_mary", door.address)) as st_mary:
        st_mary.answering.clear()
        asking = threading.Thread(target=lambda: answers.append(ask(hosts, "st_mary")))
        asking.start()
        assert within(10, lambda: len(st_mary.asked) == 1)
        door.desk.part_with("st_mary")  # as where the network ends it
        assert door.heard("is connected no longer")
        st_mary.answering.set()
        asking.join(10)
        assert len(st_mary.asked) == 1
    assert answers == [{"id": 1, "result": {"bytes": 0}}]


def test_a_machine_that_was_started_anew_is_asked_again(hosts: Path, join: Join) -> None:
    answers: list[dict[str, object]] = []
    with open_door(hosts) as door:
        own = join("st_mary", door.address)
        asking = threading.Thread(target=lambda: answers.append(ask(hosts, "st_mary")))
        with machine(own) as first:
            first.answering.clear()
            asking.start()
            assert within(10, lambda: len(first.asked) == 1)
        with machine(own):
            asking.join(10)
    assert answers == [{"id": 1, "result": {"bytes": 0}}]


def test_who_stays_away_is_given_up_and_not_asked_later(hosts: Path, join: Join) -> None:
    with open_door(hosts, away_seconds=0.5) as door:
        error = ask(hosts, "st_mary")["error"]
        assert error["kind"] == "HostAway"
        assert "st_mary has a host of its own" in error["what"]
        with machine(join("st_mary", door.address)) as late:
            assert "result" in ask(hosts, "st_mary")
            assert len(late.asked) == 1


def test_a_site_of_one_who_stays_away_has_ended_and_is_closed_when_it_comes_back(
    hosts: Path, join: Join
) -> None:
    with open_door(hosts, away_seconds=0.5) as door:
        own = join("st_mary", door.address)
        run = Stream(reach_desk(hosts))
        with machine(own) as st_mary:
            assert door.heard("is connected")
            run.put({"id": 1, "do": "start", "site": "s1", "hospital": "st_mary", "port": 7})
            assert run.next(10)["result"] == {"bytes": 0}
            assert st_mary.asked
        event = run.next(10)["event"]  # its machine is gone
        assert event["ended"] == -9
        assert "its host was not connected for" in event["why"]
        with machine(own, "s1") as back:
            closed = {"do": "close", "site": "s1"}
            assert within(10, lambda: any(closed.items() <= each.items() for each in back.asked))
        run.close()


def test_a_machine_tells_of_its_site_in_numbers_alone(hosts: Path, join: Join) -> None:
    with open_door(hosts) as door, machine(join("st_mary", door.address)) as st_mary:
        assert door.heard("is connected")
        run = Stream(reach_desk(hosts))
        run.put({"id": 1, "do": "start", "site": "s1", "hospital": "st_mary", "port": 7})
        assert run.next(10)["result"] == {"bytes": 0}
        for nonsense in ("words", {"ended": "words"}, {"why": "words"}, {"job": 1, "code": 1}):
            st_mary.link.put({"site": "s1", "event": nonsense})
        st_mary.link.put({"site": "s1"})
        st_mary.link.put({"site": "s1", "event": {"job": "j1", "code": None, "why": "words"}})
        st_mary.link.put({"site": "s1", "event": {"ended": 3, "why": "words"}})
        assert run.next(10) == {"site": "s1", "event": {"job": "j1", "code": None}}
        assert run.next(10) == {"site": "s1", "event": {"ended": 3}}
        run.close()


def test_what_was_said_before_an_end_is_passed_on() -> None:
    (near, far), (here, server) = socket.socketpair(), socket.socketpair()
    whole = b"z" * 3_000_000
    passing = threading.Thread(target=relay, args=(near, here))
    passing.start()

    def speak() -> None:
        with server:
            server.sendall(whole)

    speaking = threading.Thread(target=speak)
    speaking.start()
    far.settimeout(10)
    heard = b""
    while len(heard) < len(whole) - 900_000:
        heard += far.recv(65536)
    speaking.join(10)  # all is said, the last of it waits in between, and its speaker is gone
    passing.join(0.5)
    while piece := far.recv(65536):
        heard += piece
        if len(heard) == len(whole):
            break
    assert len(heard) == len(whole)
    passing.join(10)
    for each in (near, far, here):
        each.close()


def test_without_a_door_it_is_said_how_to_open_one(hosts: Path) -> None:
    with pytest.raises(HostAway, match="fed-assets federation door"):
        reach_desk(hosts)


def test_certificates_are_renewed_without_a_restart_and_without_new_kits(
    hosts: Path, join: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fed_assets.hosts.outgoing.RENEWAL_LOOK_SECONDS", 0.2)
    monkeypatch.setattr("fed_assets.hosts.authority.BACKDATED", timedelta(0))
    with (
        open_door(hosts, lifetime=timedelta(seconds=4)) as door,
        machine(join("st_mary", door.address)) as st_mary,
        machine(join("st_john", door.address)) as st_john,
    ):
        assert "result" in ask(hosts, "st_mary")
        first = st_mary.identity.certificate
        assert within(15, lambda: sum("new cert" in line for line in st_mary.said) >= 4)
        assert st_mary.identity.certificate.not_valid_after_utc > first.not_valid_after_utc
        assert "result" in ask(hosts, "st_mary")  # the first has long ended
        assert "result" in ask(hosts, "st_john")
        assert st_mary.ended_by == st_john.ended_by == []


def test_one_that_was_not_renewed_in_time_is_refused(
    hosts: Path, join: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fed_assets.hosts.authority.BACKDATED", timedelta(0))
    with open_door(hosts, lifetime=timedelta(seconds=1)) as door:
        own = join("st_mary", door.address)
        own.renew()
        assert within(3, lambda: _ended(own))
        with pytest.raises(DoorUnreachable):
            own.renew()
        assert door.heard("was not let in")


def _ended(own: Identity) -> bool:
    from datetime import UTC, datetime

    return own.certificate.not_valid_after_utc < datetime.now(UTC)


def test_a_pipe_leads_to_the_server_of_a_site_and_nowhere_else(hosts: Path, join: Join) -> None:
    with open_door(hosts) as door, socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        own, other = join("st_mary", door.address), join("st_john", door.address)
        own.renew()
        other.renew()
        run = Stream(reach_desk(hosts))
        run.put({"id": 1, "do": "start", "site": "s1", "hospital": "st_mary", "port": port})
        run.flush(1)
        assert within(5, lambda: "s1" in door.desk._sites)
        threading.Thread(target=_echo, args=(server,), daemon=True).start()
        pipes, strange = Pipes(own, "s1"), Pipes(other, "s1")
        assert _said_back(pipes.port, b"z" * 500_000) == b"z" * 500_000
        assert _said_back(strange.port, b"z") == b""  # another hospital's site
        assert _said_back(Pipes(own, "s2").port, b"z") == b""
        run.close()
        assert within(5, lambda: "s1" not in door.desk._sites)
        assert _said_back(pipes.port, b"z") == b""  # the run is gone
        pipes.close()
        strange.close()


def _echo(server: socket.socket) -> None:
    link, _ = server.accept()
    while piece := link.recv(65536):
        link.sendall(piece)
    link.close()


def _said_back(port: int, what: bytes) -> bytes:
    back = b""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as link:
        sender = threading.Thread(target=lambda: _send(link, what))
        sender.start()
        try:
            while len(back) < len(what) and (piece := link.recv(65536)):
                back += piece
        except OSError:
            return b""
        sender.join(5)
    return back


def _send(link: socket.socket, what: bytes) -> None:
    try:
        link.sendall(what)
    except OSError:
        return


def test_sites_of_a_run_that_is_gone_are_closed(hosts: Path, join: Join) -> None:
    with open_door(hosts) as door:
        own = join("st_mary", door.address)
        with machine(own, "forgotten") as st_mary:
            assert within(5, lambda: [each["site"] for each in st_mary.asked] == ["forgotten"])
            run = Stream(reach_desk(hosts))
            run.put({"id": 1, "do": "open", "site": "s1", "hospital": "st_mary"})
            run.flush(1)
            assert within(5, lambda: any(each["do"] == "open" for each in st_mary.asked))
            run.close()
            closed = {"do": "close", "site": "s1"}
            assert within(5, lambda: any(closed.items() <= each.items() for each in st_mary.asked))
        assert json.loads((hosts / "issued.json").read_text()).keys() == {"st_mary"}


def test_a_run_hears_that_its_site_went_with_the_machines_process(hosts: Path, join: Join) -> None:
    with open_door(hosts) as door:
        own = join("st_mary", door.address)
        run = Stream(reach_desk(hosts))
        with machine(own) as st_mary:
            assert door.heard("is connected")
            run.put({"id": 1, "do": "start", "site": "s1", "hospital": "st_mary", "port": 7})
            run.flush(1)
            assert within(5, lambda: len(st_mary.asked) == 1)
            assert run.next(20)["result"] == {"bytes": 0}
        # It is there still.
        with machine(own, "s1"), pytest.raises(Gone, match="no answer in time"):
            run.next(1.5)
        with machine(own):
            assert run.next(20) == {"site": "s1", "event": {"ended": -9}}
        run.close()
