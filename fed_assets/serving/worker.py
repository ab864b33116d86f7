"""One process that answers: forked by the keeper, on a socket that all of them share."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import threading
import warnings
from pathlib import Path

import uvicorn

from fed_assets.serving.app import build_app
from fed_assets.serving.following import News, Served
from fed_assets.serving.lanes import Lanes

END_SECONDS = 3
PULSE_SECONDS = 1
MOST_NEWS_BYTES = 1 << 18


def work(
    listener: socket.socket, channel: socket.socket, versions: Path, key: Path, sandbox: str
) -> None:
    """Answers until the keeper is gone or asks for an end; what is being answered is finished.

    Args:
        listener: where requests come in.
        channel: on which the keeper tells the news, a line each, and is told what is served.
        versions: the folder of all versions of the sandbox.
        key: the file of the public key whose signature counts.
        sandbox: its name.

    Each second it tells again what it serves, unless a picture that it is at gets no further: one
    that tells nothing for long hangs.
    """
    served = Served(versions, key, sandbox=sandbox)
    # uvicorn's log would hold the traceback of whatever fails, and that may quote a picture.
    logging.disable(logging.CRITICAL)
    # So would pydicom's warnings; in two lanes at once, what reads them off puts back each other's.
    warnings.simplefilter("ignore")
    lanes = Lanes()

    async def pulse() -> None:
        if lanes.move():
            await asyncio.to_thread(tell, channel, served)

    config = uvicorn.Config(
        build_app(served, lanes),
        access_log=False,
        log_config=None,
        lifespan="off",
        ws="none",
        server_header=False,
        timeout_graceful_shutdown=END_SECONDS,
        callback_notify=pulse,
        timeout_notify=PULSE_SECONDS,
    )
    server = uvicorn.Server(config)
    lines = channel.makefile("rb", MOST_NEWS_BYTES)  # what does not fit would be cut off
    if first := lines.readline():  # at first, so that what answers has a model
        served.hear(News.from_line(first))

    def follow() -> None:
        tell(channel, served)
        for line in lines:
            before = served.version, served.refusal
            served.hear(News.from_line(line))
            if (served.version, served.refusal) != before:
                tell(channel, served)
        server.should_exit = True

    threading.Thread(target=follow, name="follows", daemon=True).start()
    server.run(sockets=[listener])


def tell(channel: socket.socket, served: Served) -> None:
    """Tells the keeper what this process serves, and why not the champion."""
    version = served.version or 0
    with contextlib.suppress(OSError):  # where the keeper is gone, the news have ended too
        channel.sendall(f"{os.getpid()} {version} {served.refusal}\n".encode())
