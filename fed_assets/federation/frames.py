"""How large a frame may be, in which NVFlare's processes hand each other a piece of a message.

NVFlare takes 2 GB, and memory for it before it has read them; nothing in its configuration changes
that.
"""

from __future__ import annotations

from nvflare.fuel.f3.drivers import socket_conn

from fed_assets.federation.sizes import MESSAGE_BYTES


def bound_frames() -> None:
    """Has this process hang up on whoever announces a larger frame than any message."""
    socket_conn.MAX_FRAME_SIZE = MESSAGE_BYTES
