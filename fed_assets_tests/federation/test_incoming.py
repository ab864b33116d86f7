"""What a real server does of whoever announces more than it takes at once, and what it logs."""

from __future__ import annotations

import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from nvflare.fuel.f3.drivers.net_utils import MAX_FRAME_SIZE
from nvflare.fuel.f3.sfm.prefix import PREFIX_LEN, Prefix

from fed_assets.federation.sizes import MESSAGE_BYTES
from fed_assets.posture.strangers import client_context

pytestmark = pytest.mark.slow

WAIT_SECONDS = 2.0


@pytest.fixture(scope="module", params=["mtls", "clear"])
def link(request, tmp_path_factory, write_plan, start_session, behave):
    """Returns what connects to a running federation's server as one of its hospitals does."""
    plan = write_plan(tmp_path_factory.mktemp("frames"), transport=request.param)
    behave(plan, "hospital_01", {1: "wait"})
    session = start_session(plan)
    port = session.until("provisioned")["port"]
    session.until("submitted")
    startup = Path(plan.folder, "sites", "hospital_01", "startup")

    def connect():
        plain = socket.create_connection(("127.0.0.1", port), timeout=WAIT_SECONDS)
        if request.param == "clear":
            return closing(plain)
        context = client_context(startup / "client.crt", startup / "client.key")
        return closing(context.wrap_socket(plain))

    yield connect
    session.kill()


def announced(link, length):
    """Returns what comes back after a frame was announced, once the server's own words are read."""
    buffer = bytearray(PREFIX_LEN)
    Prefix(length=length).to_buffer(buffer, 0)
    with link() as connection:
        connection.sendall(buffer)
        while said := connection.recv(4096):
            pass
        return said


def test_it_hangs_up_on_a_hospital_that_announces_more_than_a_message(link):
    assert MESSAGE_BYTES < MAX_FRAME_SIZE
    assert announced(link, MESSAGE_BYTES + 1) == b""


def test_it_waits_for_what_it_takes(link):
    with pytest.raises(TimeoutError):
        announced(link, MESSAGE_BYTES)


LOGGED = """
import logging
from nvflare.fuel.f3.cellnet.cell import Adapter
from nvflare.fuel.f3.streaming.stream_types import StreamFuture
from nvflare.fuel.utils.buffer_list import ConsumableBufferList
from fed_assets.federation.incoming import guard_incoming
{first}
logging.basicConfig(level=logging.DEBUG)
update = StreamFuture(1)
update.headers = {{}}
update.set_result(ConsumableBufferList([b"weights", b"of a hospital"]))
Adapter(None, None, None).call(update)  # which logs it, and then finds no cell to go on with
"""


@pytest.mark.parametrize(("first", "kept_out"), [("guard_incoming()", True), ("", False)])
def test_no_log_gets_an_update_as_text(first, kept_out):
    script = LOGGED.format(first=first)
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert ("weights" not in ended.stderr) is kept_out
    assert ("incoming data=20 bytes" in ended.stderr) is kept_out
