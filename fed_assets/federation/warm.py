"""The door to a federation that stays up between runs: up, down, status, and a run on it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fed_assets.errors import FederationDidNotStart, JobFailed, TimeLimitPassed, error_from_record
from fed_assets.federation.child import end_child
from fed_assets.federation.control import END_SECONDS, ask, connect, hang_up, heard
from fed_assets.federation.half_done import clear_half_done
from fed_assets.federation.outbox import written
from fed_assets.federation.plan import FederationPlan
from fed_assets.federation.program import BARE_ENVIRONMENT
from fed_assets.federation.progress import Event
from fed_assets.federation.results import FederationResult, result_from_record
from fed_assets.federation.site_logs import kept_logs
from fed_assets.federation.warm_folder import (
    FEDERATION,
    alone,
    clear_dead,
    clear_if_dead,
    remove,
)

LOG_FILE = "warm.log"
ANSWER_SECONDS = 30.0
SILENCE_SECONDS = 0.5
# A federation that waits for runs has certificates for so long, and is then provisioned anew.
CERTIFICATES_VALID = timedelta(days=7)
_PROVISIONED = (
    *("sandbox", "transport", "job_code", "hospitals", "executor", "port"),
    *("stores", "storage", "key_custody", "key_files", "approvals", "vault_keys"),
    "containers",
    *("suppress_below", "revocations", "update_protection"),
)


class Refused(Exception):
    """The federation that is up does not take the run; the reason is the message."""


def provisioned_with(plan: FederationPlan) -> dict[str, Any]:
    """Returns what a plan's federation is made of, JSON-ready: jobs that share it can share one."""
    parts = {name: value for name, value in asdict(plan).items() if name in _PROVISIONED}
    parts["hospitals"] = sorted(plan.hospitals)
    if plan.hides_updates:  # by its site's record, a hospital is added up among no fewer
        parts["threshold"] = plan.threshold
    return {**parts, **{name: version(name) for name in ("fed_assets", "nvflare", "torch")}}


def status(folder: Path) -> dict[str, Any] | None:
    """Returns what the federation in a folder says of itself, or None where none is up.

    Returns:
        See `warm_process.WarmProcess.status`.
    """
    try:
        with connect(folder) as connection:
            connection.settimeout(ANSWER_SECONDS)
            ask(connection, {"ask": "status"})
            return dict(next(heard(connection)))
    except (OSError, StopIteration):
        clear_dead(folder)
        return None


def unfit(seen: dict[str, Any], plan: FederationPlan) -> str | None:
    """Returns why a federation of that status cannot carry out a plan, or None if it can."""
    wanted = provisioned_with(plan)
    if changed := sorted(name for name in wanted if seen["provisioned"].get(name) != wanted[name]):
        return f"changed since: {', '.join(changed)}"
    if seen["missing"]:
        return f"not there any more: {', '.join(seen['missing'])}"
    if seen["alarms"]:
        return f"somebody else logged in with the certificate of {', '.join(seen['alarms'])}"
    ends = datetime.fromisoformat(seen["valid_until"])
    if ends < datetime.now(UTC) + timedelta(seconds=plan.total_timeout_seconds):
        return f"its certificates end before the run may: {ends:%Y-%m-%d %H:%M} UTC"
    return None


def bring_up(plan: FederationPlan, folder: Path, on_event: Callable[[Event], None]) -> None:
    """Provisions and starts a federation that stays up, in the place of the folder's last one.

    Args:
        plan: Whose hospitals, transport and executor it is for; its own folder is not used.
        folder: Absolute path of its folder.
        on_event: Called with `provisioned`, `started` and `up`.

    Raises:
        FedAssetsError: It did not start; nothing is left of it but its log.
    """
    place, log = folder / FEDERATION, folder / LOG_FILE
    with written("The warm federation", folder), alone(folder):
        _end(folder)
        remove(place)
        own = replace(
            plan,
            folder=str(place),
            outbox=str(place / "outbox"),
            certificate_seconds=CERTIFICATES_VALID.total_seconds() + plan.total_timeout_seconds,
        )
        own.write(folder / "plan.json")
        with open(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "fed_assets.federation.warm_process", "plan.json"],
                cwd=folder,
                env={**BARE_ENVIRONMENT, "HOME": str(folder), "TMPDIR": str(folder)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=output,
                start_new_session=True,  # it outlives whoever started it
            )
        try:
            _wait_until_up(process, on_event, log)
        except BaseException:
            end_child(process, END_SECONDS)
            clear_half_done(place)
            raise


def _wait_until_up(
    process: subprocess.Popen[bytes], on_event: Callable[[Event], None], log: Path
) -> None:
    assert process.stdout is not None
    with process.stdout:
        for line in process.stdout:
            event = json.loads(line)
            if event["event"] == "failed":
                process.wait()
                raise error_from_record(event["error"])
            on_event(event)
            if event["event"] == "up":
                return
    raise FederationDidNotStart(
        "The warm federation did not come up", where=str(log), seen=f"exit code {process.wait()}"
    )


def take_down(folder: Path) -> bool:
    """Stops the federation in a folder, a job of its too; says whether one was up.

    One that is coming up is awaited first.

    Raises:
        TimeLimitPassed: It did not end in time.
    """
    if not folder.is_dir():
        return False
    with alone(folder):
        return _end(folder)


def _end(folder: Path) -> bool:
    try:
        with connect(folder) as connection:
            connection.settimeout(END_SECONDS)
            ask(connection, {"ask": "down"})
            for _ in heard(connection):
                pass
    except TimeoutError:
        raise TimeLimitPassed(
            f"The warm federation did not end within {END_SECONDS:g} s", where=str(folder)
        ) from None
    except OSError:
        clear_if_dead(folder)
        return False
    return True


def run(
    folder: Path,
    plan: FederationPlan,
    on_event: Callable[[Event], None],
    *,
    on_silence: Callable[[], None] = lambda: None,
) -> FederationResult:
    """Runs a plan on the federation in a folder; whoever leaves this early aborts the job.

    Args:
        folder: The folder of the federation.
        plan: What to run, with a folder and an outbox of its own.
        on_event: Called with each event but the last, see `session.run_federation`.
        on_silence: Called again and again while no event comes.

    Raises:
        Refused: It is not up, or busy.
        FedAssetsError: What the job ended with.
    """
    try:
        connection = connect(folder)
    except OSError:
        clear_dead(folder)
        raise Refused("it is not up") from None
    try:
        ask(connection, {"ask": "run", "plan": asdict(plan)})
        connection.settimeout(SILENCE_SECONDS)
        with kept_logs(folder / FEDERATION, Path(plan.folder)) as tell_job:
            event = None
            for event in heard(connection, on_silence):
                match event["event"]:
                    case "refused":
                        raise Refused(event["reason"])
                    case "submitted":
                        tell_job(event["job_id"])
                    case "finished":
                        return result_from_record(event["result"])
                    case "failed":
                        raise error_from_record(event["error"])
                on_event(event)
        clear_dead(folder)
        if event is None:
            raise Refused("it has ended")
        raise JobFailed(
            "The warm federation ended in the middle of a job", where=str(folder / LOG_FILE)
        )
    finally:
        hang_up(connection)
