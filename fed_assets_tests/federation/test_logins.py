"""A hospital's kit is copied, and somebody else logs in with it: real servers and clients."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from nvflare.apis.client import Client
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_constant import FLContextKey, ReservedKey
from nvflare.apis.fl_context import FLContext, FLContextManager
from nvflare.apis.fl_exception import NotAuthenticated
from nvflare.apis.utils.event import fire_event_to_components
from nvflare.private.fed.server.client_manager import ClientManager

from fed_assets.errors import KitCopied
from fed_assets.federation.logins import REFUSED, TAKEN_OVER, LoginGuard

COPIED = "fed_assets_tests.federation.copied_session"


class Server:
    """NVFlare's table of clients and its events, as its server has them."""

    def __init__(self, alarms):
        self.alarms = alarms
        self.guard = LoginGuard(str(alarms))
        self.table = ClientManager("eyes_on")
        self._contexts = FLContextManager(self)

    def get_clients(self):
        return list(self.table.get_clients().values())

    def fire(self, event, claimed=""):
        """Fires an event, and says whether NVFlare would refuse the log-in."""
        context = self._contexts.new_context()
        peer = FLContext()
        peer.set_prop(ReservedKey.IDENTITY_NAME, claimed, private=False)
        context.set_peer_context(peer)
        fire_event_to_components(event, [self.guard], context)
        raised = context.get_prop(FLContextKey.EXCEPTIONS) or {}
        return any(isinstance(each, NotAuthenticated) for each in raised.values())

    def log_in(self, name, token, claimed=None):
        """Logs a client in as NVFlare does; says whether it was let in."""
        if self.fire(EventType.CLIENT_REGISTER_RECEIVED, claimed or name):
            return False
        for held in [each.token for each in self.get_clients() if each.name == name]:
            self.table.remove_client(held)
        self.table.clients[token] = Client(name, token)
        self.fire(EventType.CLIENT_REGISTER_PROCESSED, claimed or name)
        return True

    def seen(self):
        return {each.stem: json.loads(each.read_text())["seen"] for each in self.alarms.glob("*")}


@pytest.fixture
def server(tmp_path):
    return Server(tmp_path / "alarms")


def test_each_hospital_may_log_in_once(server):
    assert server.log_in("hospital_01", "a")
    assert server.log_in("hospital_02", "b")
    assert server.seen() == {}
    assert not server.log_in("hospital_01", "c")
    assert server.seen() == {"hospital_01": REFUSED}


def test_whoever_lies_about_its_name_takes_no_place_without_an_alarm(server):
    server.log_in("hospital_01", "a")
    assert server.log_in("hospital_01", "b", claimed="somebody")
    assert server.seen() == {"hospital_01": TAKEN_OVER}


def test_a_place_that_was_taken_between_two_log_ins_shows_at_the_next_heartbeat(server):
    server.log_in("hospital_01", "a")
    server.fire(EventType.CLIENT_HEARTBEAT_PROCESSED)
    assert server.seen() == {}
    server.table.remove_client("a")
    server.table.clients["b"] = Client("hospital_01", "b")
    server.fire(EventType.CLIENT_HEARTBEAT_PROCESSED)
    assert server.seen() == {"hospital_01": TAKEN_OVER}


def test_a_hospital_that_left_may_not_come_back(server):
    server.log_in("hospital_01", "a")
    server.table.remove_client("a")
    assert not server.log_in("hospital_01", "b")
    assert server.seen() == {"hospital_01": REFUSED}


def test_a_name_that_is_none_of_a_hospital_names_no_file(server, tmp_path):
    server.log_in("../escaped", "a")
    assert not server.log_in("../escaped", "b")
    assert server.seen() == {}
    assert list(tmp_path.iterdir()) == []


def run_with_a_copy(plan, start_session, *arguments):
    session = start_session(plan, *arguments, module=COPIED)
    assert session.finish() == 0, session.events
    (copy,) = [event["outcome"] for event in session.events if event["event"] == "copy"]
    jobs = [path for path in elsewhere(plan).iterdir() if (path / "fl_app.txt").exists()]
    return session, copy, jobs


def elsewhere(plan):
    return Path(plan.folder).parent / "elsewhere" / "sites" / plan.hospitals[0]


@pytest.mark.long
def test_without_a_guard_whoever_has_a_copy_of_a_kit_is_given_the_hospitals_job(
    tmp_path, write_plan, start_session
):
    plan = write_plan(tmp_path, transport="mtls", rounds=1)
    session, copy, jobs = run_with_a_copy(plan, start_session, "unguarded")
    assert copy == "logged in"
    assert len(jobs) == 1, "the copy must get the job where nothing hinders it"
    assert session.result["status"] == "complete", "and nobody hears of it"


@pytest.mark.long
def test_a_second_login_is_refused_and_fails_the_run_by_the_hospitals_name(
    tmp_path, write_plan, start_session
):
    plan = write_plan(tmp_path, transport="mtls", rounds=1)
    session, copy, jobs = run_with_a_copy(plan, start_session)
    assert copy == "refused"
    assert jobs == []
    assert isinstance(session.failure, KitCopied)
    assert "the certificate of hospital_01" in session.failure.what
    assert "hospital_02" not in str(session.failure)
    (alarm,) = Path(plan.folder, "sites", "localhost", "alarms").iterdir()
    assert alarm.stat().st_mode & 0o077 == 0
