"""Keeps the processes that answer: starts them, tells them the champion, and starts lost ones anew.

uvicorn's own supervisor starts each process from nothing, which takes seconds, and has no way to
tell it anything, so that each would have to ask the registry itself, with all of MLflow in it. This
one has loaded all that answers, and forks: another process answers as soon as its model is loaded.
It is told the news on its standard input, a line each, and ends with it.
"""

from __future__ import annotations

import argparse
import os
import select
import signal
import socket
import sys
import time
import traceback
from dataclasses import dataclass, field, replace
from pathlib import Path

import onnxruntime  # noqa: F401 - loaded once, for all that are forked

from fed_assets.serving import worker
from fed_assets.serving.following import News

END_SECONDS = 5.0
QUICK_END_SECONDS = 1.0


@dataclass
class Answering:
    """One process that answers, and the channel to it."""

    pid: int
    channel: socket.socket
    started: float = field(default_factory=time.monotonic)
    told_at: float = field(default_factory=time.monotonic)
    heard: bytes = b""


class Keeper:
    """The processes that answer for one sandbox.

    Args:
        listener: where requests come in; they all accept from it.
        versions: the folder of all versions of the sandbox.
        key: the file of the public key whose signature counts.
        sandbox: its name.
        workers: how many processes answer.
        patience: seconds without a word after which a process hangs, and is replaced.
    """

    def __init__(
        self,
        listener: socket.socket,
        versions: Path,
        key: Path,
        *,
        sandbox: str,
        workers: int,
        patience: float,
    ) -> None:
        self._listener, self._workers, self._patience = listener, workers, patience
        self._places = versions, key, sandbox
        self._answering: dict[int, Answering] = {}
        self._news: News | None = None
        self._told = ""
        self._unread = b""

    def keep(self) -> None:
        """Keeps them until standard input ends; then ends them."""
        os.set_blocking(sys.stdin.fileno(), False)
        try:
            while self._listen():
                self._end_hung()
                self._bury()
                if self._news is not None:
                    for _ in range(self._workers - len(self._answering)):
                        self._start()
        finally:
            self._end()

    def _listen(self) -> bool:
        """Hears what comes within a quarter of a second; returns False at the end of the news."""
        channels = {each.channel: each for each in self._answering.values()}
        readable, _, _ = select.select([sys.stdin.fileno(), *channels], [], [], 0.25)
        for one in readable:
            if one in channels:
                self._hear_worker(channels[one])
                continue
            chunk = os.read(sys.stdin.fileno(), 1 << 16)
            if not chunk:
                return False
            *lines, self._unread = (self._unread + chunk).split(b"\n")
            for line in lines:
                self._hear_news(News.from_line(line))
        return True

    def _hear_news(self, news: News) -> None:
        # Where nothing shall serve any more, nothing shall serve again by itself.
        none = news.champion is None and not news.trouble
        former = news.former if self._news is None else self._news.former
        former = None if none or news.bars(former) else former
        self._news = replace(news, former=former)
        for each in self._answering.values():
            send(each.channel, self._news)

    def _hear_worker(self, one: Answering) -> None:
        try:
            chunk = one.channel.recv(1 << 16)
        except OSError:
            return
        *lines, one.heard = (one.heard + chunk).split(b"\n")
        one.told_at = time.monotonic()
        for line in lines:
            _, version, refusal = line.decode().split(" ", 2)
            if int(version) and self._news is not None:
                self._news = replace(self._news, former=int(version))
            said = refusal or f"serving version {version}" if int(version) else refusal
            if said and said != self._told:
                self._told = said
                say(said)

    def _start(self) -> None:
        # News go whole or not at all, and who does not read them holds nobody up.
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        pid = os.fork()
        if pid == 0:
            self._answer(ours, theirs)
        theirs.close()
        self._answering[pid] = Answering(pid, ours)
        if self._news is not None:
            send(ours, self._news)

    def _answer(self, ours: socket.socket, theirs: socket.socket) -> None:
        """Is the child: never returns."""
        code = 1
        try:
            ours.close()
            for each in self._answering.values():  # the keeper's end alone shall hold them open
                each.channel.close()
            os.dup2(os.open(os.devnull, os.O_RDONLY), sys.stdin.fileno())
            worker.work(self._listener, theirs, *self._places)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)

    def _end_hung(self) -> None:
        """Kills what lives and answers no more: whoever waits for it sees the connection end."""
        for each in self._answering.values():
            if time.monotonic() - each.told_at > self._patience:
                say(f"the process {each.pid} said nothing for {self._patience:g} s; it is ended")
                os.kill(each.pid, signal.SIGKILL)
                each.told_at = time.monotonic()

    def _bury(self) -> None:
        for pid in list(self._answering):
            if os.waitpid(pid, os.WNOHANG)[0] == 0:
                continue
            gone = self._answering.pop(pid)
            gone.channel.close()
            say(f"the process {pid} ended; another one takes its place")
            if time.monotonic() - gone.started < QUICK_END_SECONDS:
                time.sleep(QUICK_END_SECONDS)  # what ends at once shall not be started in a loop

    def _end(self) -> None:
        """Ends them politely, and kills what does not end in time."""
        for each in self._answering.values():
            each.channel.close()
        deadline = time.monotonic() + END_SECONDS
        left = set(self._answering)
        while left and time.monotonic() < deadline:
            left = {pid for pid in left if os.waitpid(pid, os.WNOHANG)[0] == 0}
            time.sleep(0.02)
        for pid in left:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def send(channel: socket.socket, news: News) -> None:
    """Tells a process the news; one that has just ended is noticed elsewhere."""
    try:
        channel.send(news.as_line())
    except OSError:
        return


def say(what: str) -> None:
    """Writes a line for whoever started the service."""
    print(what, file=sys.stderr, flush=True)


def main() -> None:
    """Keeps the processes that answer, until standard input ends."""
    os.umask(0o077)
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--socket", "--workers"):
        parser.add_argument(name, type=int, required=True)
    for name in ("--versions", "--key"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--sandbox", required=True)
    parser.add_argument("--patience", type=float, required=True)
    asked = parser.parse_args()
    listener = socket.socket(fileno=asked.socket)
    Keeper(
        listener,
        asked.versions,
        asked.key,
        sandbox=asked.sandbox,
        workers=asked.workers,
        patience=asked.patience,
    ).keep()


if __name__ == "__main__":
    main()
