"""What a process of NVFlare takes from others: nothing that fills its memory, or ends it.

NVFlare takes frames, the pieces that a message travels in, of up to 2 GB, and memory for each
before it has read it. And the server's process of a job exits where an update cannot be decoded, or
somebody says that what it sent was too large: one hospital could end the run of all. It also writes
out each update as text for its log, whether or not it keeps that: 7 ms for 1 MB, and as much text
again as a log would then hold of weights. Nothing in NVFlare's configuration changes any of it.
"""

from __future__ import annotations

from nvflare.fuel.f3.cellnet import cell
from nvflare.fuel.f3.drivers import socket_conn
from nvflare.fuel.utils.buffer_list import ConsumableBufferList

from fed_assets.federation.sizes import MESSAGE_BYTES


def guard_incoming() -> None:
    """Has this process hang up on larger frames than any message, and outlive what it cannot read.

    Who sent such a message gets no answer, and is missing when the round's time is up. Of what
    comes in, no log gets more than its size.
    """
    socket_conn.MAX_FRAME_SIZE = MESSAGE_BYTES
    cell._is_server_job_cell = _exits
    ConsumableBufferList.__repr__ = _size


def _exits(_: object) -> bool:
    """Returns whether a process is one that exits at such a message: none is."""
    return False


def _size(update: ConsumableBufferList) -> str:
    """Returns what a log says of an update."""
    return f"{sum(map(len, update))} bytes"
