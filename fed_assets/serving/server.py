"""The service of one sandbox's champion, from who starts it: address, news, and its end."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import fed_assets
from fed_assets.errors import DeploymentFailed, PortTaken, system_reason
from fed_assets.serving.asking import ask_news
from fed_assets.serving.keys import public_key

ADDRESS = "127.0.0.1"
BACKLOG = 2048
ASK_SECONDS = 1.0
START_SECONDS = 60.0
END_SECONDS = 10.0
HUNG_SECONDS = 30.0
MOST_STARTS, STARTS_SECONDS = 5, 60.0  # of what was lost: more often, it would be lost again
# What answers finds none of its starter's own: no keys, no tokens, no proxies.
ENVIRONMENT = {
    "LANG": "C.UTF-8",
    "PATH": os.defpath,
    "PYTHONPATH": str(Path(fed_assets.__file__).parent.parent),
    "PYTHONSAFEPATH": "1",
    "PYTHONUNBUFFERED": "1",
    # onnxruntime would keep an id of the machine and tell its maker of every model that it loads.
    "ORT_DISABLE_TELEMETRY": "1",
    # Before anything forks there shall be one thread, and after it one a process.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}


class ModelServer:
    """A running service on 127.0.0.1; leave the block to end it, with all that it started.

    Args:
        versions: the folder of all versions of the sandbox.
        key: the file of the public key whose signature counts.
        sandbox: its name.
        champion: returns which version the registry names now; asked once a second.
        barred: returns why versions may not be served, whatever the registry names; asked with it.
            Where it fails, none is served.
        port: where it listens; 0 takes a free one.
        workers: how many processes answer.
        patience: seconds after which a process that answers nothing is replaced.
        told: where it says what it serves and what it refuses; standard error if None.

    Raises:
        PortTaken: another process has the port.
        PackageRefused: there is no public key, so that nothing can be genuine.
    """

    def __init__(
        self,
        versions: Path,
        key: Path,
        *,
        sandbox: str,
        champion: Callable[[], int | None],
        barred: Callable[[], Mapping[int, str]],
        port: int = 0,
        workers: int = 2,
        patience: float = HUNG_SECONDS,
        told: IO[bytes] | None = None,
    ) -> None:
        self._champion, self._barred = champion, barred
        self._lock, self._ended, self._over = threading.Lock(), threading.Event(), threading.Event()
        self._awake = threading.Event()
        public_key(key)
        self._listener = _listen(port)
        self.port: int = self._listener.getsockname()[1]
        self._told = None if told is None else os.dup(told.fileno())
        self._command = [
            *(sys.executable, "-m", "fed_assets.serving.keeper"),
            *("--socket", str(self._listener.fileno()), "--workers", str(workers)),
            *("--versions", str(versions), "--key", str(key), "--sandbox", sandbox),
            *("--patience", str(patience)),
        ]
        self._keeper = self._start()
        self._threads = [
            threading.Thread(target=self._tell, name="champion", daemon=True),
            threading.Thread(target=self._keep, name="keeper", daemon=True),
        ]

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self._told,
            env=ENVIRONMENT,
            pass_fds=[self._listener.fileno()],
            start_new_session=True,  # Ctrl-C is for who started it, who ends it then
        )

    def __enter__(self) -> Self:
        """Begins to ask for the champion, and to tell what answers."""
        for each in self._threads:
            each.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ends what answers, after the requests that it is at; kills it where it does not end."""
        with self._lock:  # from now on, none is started
            self._ended.set()
        self._awake.set()
        try:
            self._threads[0].join(ASK_SECONDS)
            if self._keeper.stdin is not None:
                self._keeper.stdin.close()
            self._keeper.wait(END_SECONDS)
        except (OSError, subprocess.TimeoutExpired):
            pass
        finally:
            if self._keeper.poll() is None:
                self._keeper.kill()  # what it forked ends with its channel
                self._keeper.wait()
            self._over.set()
            self._listener.close()
            if self._told is not None:
                os.close(self._told)

    @property
    def address(self) -> str:
        """Returns where it answers."""
        return f"http://{ADDRESS}:{self.port}"

    @property
    def pid(self) -> int:
        """Returns the process id of what keeps the answering processes."""
        return self._keeper.pid

    @property
    def alive(self) -> bool:
        """Returns whether it still runs, or is just being started again."""
        return not self._over.is_set()

    def wait(self, seconds: float) -> bool:
        """Waits until it has ended, at the most so long; returns whether it still runs."""
        return not self._over.wait(seconds)

    def wait_ready(self, version: int, *, seconds: float = START_SECONDS) -> None:
        """Waits until it serves a version.

        Raises:
            DeploymentFailed: it has ended, or serves another one or none when time is over.
        """
        import httpx

        deadline, seen = time.monotonic() + seconds, "no answer"
        while time.monotonic() < deadline and self.alive:
            try:
                answer = httpx.get(f"{self.address}/health/ready", timeout=5, trust_env=False)
                ready = answer.json()
                if ready["version"] == version:
                    return
                seen = ready["trouble"] or f"it serves version {ready['version']}"
            except httpx.HTTPError as error:
                seen = type(error).__name__
            time.sleep(0.05)
        raise DeploymentFailed(
            f"The service does not serve version {version}",
            where=self.address,
            seen=seen if self.alive else f"it ended with exit code {self._keeper.returncode}",
        )

    def _keep(self) -> None:
        """Starts what keeps the answering processes again where it ends, if not again and again.

        Requests that come meanwhile wait: the socket that they come in by is kept here too.
        """
        starts: deque[float] = deque(maxlen=MOST_STARTS)
        while True:
            code = self._keeper.wait()
            with self._lock:
                if self._ended.is_set():
                    return
                now = time.monotonic()
                if len(starts) == MOST_STARTS and now - starts[0] < STARTS_SECONDS:
                    self._say(f"the service ended {MOST_STARTS + 1} times, and is given up")
                    self._over.set()
                    return
                starts.append(now)
                if self._keeper.stdin is not None:
                    with suppress(OSError):
                        self._keeper.stdin.close()
                self._say(f"the service ended with exit code {code}; it is started again")
                try:
                    self._keeper = self._start()
                except OSError as error:
                    self._say(f"the service cannot be started again: {system_reason(error)}")
                    self._over.set()
                    return
            self._awake.set()

    def _tell(self) -> None:
        """Tells the champion each second, until the end, and at once to who has just started."""
        former: int | None = None
        while not self._ended.is_set():
            self._awake.clear()
            news = ask_news(self._champion, self._barred, former)
            former = news.champion or (former if news.trouble else None)
            with suppress(OSError, ValueError):  # it has just ended, and another one is told
                if self._keeper.stdin is not None:
                    self._keeper.stdin.write(news.as_line())
                    self._keeper.stdin.flush()
            self._awake.wait(ASK_SECONDS)

    def _say(self, what: str) -> None:
        with suppress(OSError):
            os.write(
                sys.stderr.fileno() if self._told is None else self._told, f"{what}\n".encode()
            )


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((ADDRESS, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise PortTaken(
            f"The service cannot listen on port {port}",
            where=f"{ADDRESS}:{port}",
            seen=system_reason(error),
            cure="End the process that holds the port, or choose another; 0 takes a free one",
        ) from None
    return listener
