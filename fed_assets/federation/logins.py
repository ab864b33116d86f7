"""Each hospital logs in once: a second log-in under its name is refused, and raises an alarm.

To NVFlare, whoever holds a copy of a start-up kit is that hospital: the newcomer gets its place,
and the first one is forgotten. Nothing tells a copy from a client that was started anew, and none
ever is: a hospital that is lost stays lost for the run, one whose connection was cut comes back
without logging in again, and a client that gets no reply to its log-in ends.
"""

from __future__ import annotations

import logging
import re
import threading
from pathlib import Path
from typing import Any

from nvflare.apis.event_type import EventType
from nvflare.apis.fl_component import FLComponent
from nvflare.apis.fl_exception import NotAuthenticated

from fed_assets.federation.alarms import note_alarm
from fed_assets.federation.plan_faults import HOSPITAL_NAME

log = logging.getLogger(__name__)

REFUSED = "a second client logged in under its name, and was refused"
TAKEN_OVER = "another client took its place"


class LoginGuard(FLComponent):  # type: ignore[misc]
    """Refuses a second log-in under one name at the server, and notes an alarm.

    Before NVFlare has verified a client, the guard has that client's word alone for its name. The
    server's own table of clients is therefore compared as well: who lies about the name is not
    refused here, but takes no place in it without an alarm.

    Args:
        alarms: The folder for the alarms.
    """

    def __init__(self, alarms: str) -> None:
        super().__init__()
        self._alarms = Path(alarms)
        self._lock = threading.Lock()
        self._tokens: dict[str, str] = {}

    def handle_event(self, event_type: str, fl_ctx: Any) -> None:
        """Judges a log-in before NVFlare does, and the table of clients after.

        Raises:
            NotAuthenticated: It is a second one under its name; NVFlare refuses it then.
        """
        with self._lock:
            if event_type == EventType.CLIENT_REGISTER_RECEIVED:
                self._judge(fl_ctx)
            elif event_type in (
                EventType.CLIENT_REGISTER_PROCESSED,
                EventType.CLIENT_HEARTBEAT_PROCESSED,
            ):
                self._compare(fl_ctx)

    def _judge(self, fl_ctx: Any) -> None:
        peer = fl_ctx.get_peer_context()
        name = peer.get_identity_name() if peer else ""
        if name in self._tokens:
            self._raise_alarm(name, REFUSED)
            raise NotAuthenticated(f"{name} has logged in already")

    def _compare(self, fl_ctx: Any) -> None:
        for client in fl_ctx.get_engine().get_clients():
            known = self._tokens.setdefault(client.name, client.token)
            if client.token != known:
                self._tokens[client.name] = client.token
                self._raise_alarm(client.name, TAKEN_OVER)

    def _raise_alarm(self, name: str, seen: str) -> None:
        log.error("ALARM: %s: %s", name, seen)
        if re.fullmatch(HOSPITAL_NAME, name):  # it names a file
            note_alarm(self._alarms, name, seen)
