"""The service of one sandbox's champion, from who starts it: address, news, and its end."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import fed_assets
from fed_assets.errors import DeploymentFailed, FedAssetsError, PortTaken, system_reason
from fed_assets.serving.following import News
from fed_assets.serving.keys import public_key

ADDRESS = "127.0.0.1"
BACKLOG = 2048
ASK_SECONDS = 1.0
START_SECONDS = 60.0
END_SECONDS = 10.0
HUNG_SECONDS = 30.0
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
        port: int = 0,
        workers: int = 2,
        patience: float = HUNG_SECONDS,
        told: IO[bytes] | None = None,
    ) -> None:
        self._champion, self._sandbox = champion, sandbox
        self._ended = threading.Event()
        public_key(key)
        listener = _listen(port)
        self.port: int = listener.getsockname()[1]
        with listener:
            self._keeper = subprocess.Popen(
                [
                    *(sys.executable, "-m", "fed_assets.serving.keeper"),
                    *("--socket", str(listener.fileno()), "--workers", str(workers)),
                    *("--versions", str(versions), "--key", str(key), "--sandbox", sandbox),
                    *("--patience", str(patience)),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=told,
                env=ENVIRONMENT,
                pass_fds=[listener.fileno()],
                start_new_session=True,  # Ctrl-C is for who started it, who ends it then
            )
        self._asking = threading.Thread(target=self._tell, name="champion", daemon=True)

    def __enter__(self) -> Self:
        """Begins to ask for the champion, and to tell what answers."""
        self._asking.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ends what answers, after the requests that it is at; kills it where it does not end."""
        self._ended.set()
        try:
            self._asking.join(ASK_SECONDS)
            if self._keeper.stdin is not None:
                self._keeper.stdin.close()
            self._keeper.wait(END_SECONDS)
        except (OSError, subprocess.TimeoutExpired):
            pass
        finally:
            if self._keeper.poll() is None:
                self._keeper.kill()  # what it forked ends with its channel
                self._keeper.wait()

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
        """Returns whether it still runs."""
        return self._keeper.poll() is None

    def wait(self, seconds: float) -> bool:
        """Waits until it has ended, at the most so long; returns whether it still runs."""
        try:
            self._keeper.wait(seconds)
        except subprocess.TimeoutExpired:
            return True
        return False

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

    def _tell(self) -> None:
        """Tells the champion each second, until the end."""
        while True:
            try:
                news = News(champion=self._champion())
            except FedAssetsError as error:
                news = News(trouble=f"the registry cannot be asked: {error}")
            except Exception as error:
                news = News(trouble=f"the registry cannot be asked ({type(error).__name__})")
            try:
                if self._keeper.stdin is not None:
                    self._keeper.stdin.write(news.as_line())
                    self._keeper.stdin.flush()
            except (OSError, ValueError):  # it has ended, which `alive` says
                return
            if self._ended.wait(ASK_SECONDS):
                return


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
