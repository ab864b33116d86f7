"""NVFlare's admin session: every command has a hard time limit and is written down."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from fed_assets.errors import (
    FederationDidNotStart,
    FederationError,
    JobFailed,
    TimeLimitPassed,
)
from fed_assets.federation.history import Command, History, read_history
from fed_assets.federation.policies import ADMIN, Kits

Answer = TypeVar("Answer")

COMMAND_SECONDS = 15.0
CLOSE_SECONDS = 1.0
LONGEST_ANSWER = 500
# How errors of NVFlare begin where no reply came: there is a class of its own for one of these
# alone, that the server was not reached at all.
NO_REPLY = (
    "failed to challenge server: timeout",
    "expect payload to be dict but got <class 'NoneType'>",  # of the reply to a registration
    "Communication Error",  # to the login itself
    "Can't fetch command list from server",
)


class Admin:
    """A session of the federation's one admin user; close it, or its threads keep the process.

    Each command raises JobFailed where the server refuses it, and TimeLimitPassed where it cannot
    be reached or does not answer in time.

    Args:
        kits: Where the admin user's start-up kit lies.
        history: The file in which the commands are written down.
    """

    def __init__(self, kits: Kits, history: Path) -> None:
        self._kits = kits
        self._session: Any = None
        self._history = History(history)

    @property
    def history(self) -> Path:
        """The file in which the commands are written down; another run's can take its place."""
        return self._history.path

    @history.setter
    def history(self, path: Path) -> None:
        self._history = History(path)

    @property
    def commands(self) -> list[dict[str, Any]]:
        """The commands in the history, JSON-ready."""
        return [asdict(command) for command in read_history(self.history)]

    def connect(self, seconds: float) -> None:
        """Logs in.

        Raises:
            FederationDidNotStart: The server did not let the admin user in.
            TimeLimitPassed: It could not be reached, or did not answer in time.
        """
        from nvflare.fuel.flare_api.flare_api import new_secure_session
        from nvflare.fuel.utils.config_service import ConfigService

        def log_in() -> Any:
            # NVFlare looks for how to link in all folders below the working directory otherwise,
            # and so in a hospital's, which may be no folder of this user by then.
            ConfigService.initialize({}, [str(self._kits.admin / "local")])
            return new_secure_session(ADMIN, str(self._kits.admin), timeout=seconds)

        self._session = self._issue("login", seconds + 2, log_in, failure=FederationDidNotStart)

    def clients(self) -> set[str]:
        """Returns the hospitals whose clients have registered with the server."""
        info = self._issue("check_status server", COMMAND_SECONDS, self._session.get_system_info)
        return {client.name for client in info.client_info}

    def disable(self, hospital: str) -> None:
        """Has the server forget a hospital's log-in, and refuse its next one."""
        self._issue(
            f"disable_client {hospital}",
            COMMAND_SECONDS,
            lambda: self._session.disable_client(hospital),
        )

    def submit(self, job: Path) -> str:
        """Submits a job's folder and returns NVFlare's id of it.

        Raises:
            JobFailed: The server refused it.
        """
        return str(
            self._issue("submit_job", COMMAND_SECONDS, lambda: self._session.submit_job(str(job)))
        )

    def job(self, job_id: str) -> dict[str, Any]:
        """Returns what the server knows of a job."""
        meta: dict[str, Any] = self._issue(
            f"get_job_meta {job_id}", COMMAND_SECONDS, lambda: self._session.get_job_meta(job_id)
        )
        return meta

    def abort(self, job_id: str, seconds: float) -> None:
        """Asks every site to stop a job."""
        self._issue(f"abort_job {job_id}", seconds, lambda: self._session.abort_job(job_id))

    def close(self) -> None:
        """Logs out and ends the session's threads, as far as that can be done in 1 s."""
        if self._session is None:
            return
        session, self._session = self._session, None
        try:
            self._issue("logout", CLOSE_SECONDS, session.close)
        except Exception:  # it is recorded; the processes are stopped either way
            return

    def _issue(
        self,
        command: str,
        seconds: float,
        call: Callable[[], Answer],
        *,
        failure: type[FederationError] = JobFailed,
    ) -> Answer:
        at, started = datetime.now(UTC), time.monotonic()
        answer = "no answer"
        try:
            result = within(seconds, command, call)
            answer = "OK" if result is None else _short(result)
            return result
        except TimeLimitPassed as error:
            answer = error.what
            raise
        except Exception as error:
            answer = f"{type(error).__name__}: {error}"
            if _is_unanswered(error):
                raise TimeLimitPassed(
                    f"NVFlare's server did not answer `{command}` in time",
                    where=str(self._kits.server),
                    seen=answer,
                ) from error
            raise failure(
                f"NVFlare's server refused `{command}`", where=str(self._kits.server), seen=answer
            ) from error
        finally:
            took = round(time.monotonic() - started, 3)
            self._history.note(Command(command, at.isoformat(), took, answer[:LONGEST_ANSWER]))


def _is_unanswered(error: BaseException | None) -> bool:
    """Returns whether NVFlare's error is that no reply came, or one that it raised over that."""
    from nvflare.fuel.flare_api.api_spec import NoConnection

    while error is not None:
        if isinstance(error, NoConnection) or str(error).startswith(NO_REPLY):
            return True
        error = error.__context__
    return False


def within(seconds: float, what: str, call: Callable[[], Answer]) -> Answer:
    """Returns what `call` returns, or gives it up: NVFlare's own time limits do not always hold.

    Raises:
        TimeLimitPassed: It took longer.
    """
    outcome: list[Answer] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(call())
        except BaseException as error:  # handed on to the caller below
            failure.append(error)

    thread = threading.Thread(target=run, name=what, daemon=True)
    thread.start()
    thread.join(seconds)
    if failure:
        raise failure[0]
    if not outcome:
        raise TimeLimitPassed(f"NVFlare did not answer `{what}` within {seconds:g} s")
    return outcome[0]


def _short(result: object) -> str:
    if isinstance(result, dict):
        return str({key: result[key] for key in ("status", "job_id") if key in result})
    if hasattr(result, "client_info"):
        return "clients: " + ", ".join(sorted(client.name for client in result.client_info))
    return result if isinstance(result, str) else "OK"
