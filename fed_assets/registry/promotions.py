"""The promotion log of one sandbox: who had which version serve, when and why; one line each.

It is only ever added to. Which version serves is not read from here: MLflow's alias says that.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from fed_assets.errors import PromotionRefused, StorageError, system_reason

LOG, LOCK = "promotions.jsonl", ".lock"
LOOK_SECONDS, SILENT_SECONDS = 0.05, 2.0
Kind = Literal["registered", "judged", "promoted", "refused", "rolled_back", "retired", "waived"]
DAMAGED = "Put the log back from a backup; MLflow's alias `champion` still says what serves"


@dataclass(frozen=True)
class Event:
    """One line of the log.

    Attributes:
        event: What was done.
        version: To which version; of a rollback, the one that serves after.
        by: Who did it.
        why: What for, or what stood against it.
        before: Which was champion before; None where none was.
        champion: Which is champion after, or was beside a judged one; None where none is.
        gates: Of a judgement, the gates as records; of a waiver, the one that was opened.
        at: When, ISO 8601.
    """

    event: Kind
    version: int
    by: str
    why: str = ""
    before: int | None = None
    champion: int | None = None
    gates: tuple[dict[str, Any], ...] = ()
    at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    def as_record(self) -> dict[str, Any]:
        """Returns it as a JSON-ready object."""
        return asdict(self) | {"gates": list(self.gates)}


@dataclass(frozen=True)
class History:
    """What a log tells.

    Attributes:
        events: The oldest first.
        torn: Whether its last line was cut off as it was written; it is not among them.
    """

    events: tuple[Event, ...] = ()
    torn: bool = False

    def of(self, version: int) -> tuple[Event, ...]:
        """Returns what became of one version."""
        return tuple(event for event in self.events if event.version == version)

    @property
    def retired(self) -> dict[int, str]:
        """Returns why versions may not serve any more."""
        return {event.version: event.why for event in self.events if event.event == "retired"}

    def judgement(self, version: int) -> Event | None:
        """Returns the last judgement of a version; None where it was never judged."""
        judged = (event for event in reversed(self.events) if event.event == "judged")
        return next((event for event in judged if event.version == version), None)

    def change(self) -> Event | None:
        """Returns what last changed which version serves; None where nothing did."""
        changed = (event for event in reversed(self.events) if event.champion != event.before)
        return next(changed, None)

    def champions(self) -> list[int]:
        """Returns the champions that came one upon the other, the present one last.

        A rollback takes those away that it passes over, so that another one goes further back.
        """
        row: list[int] = []
        for event in self.events:
            if event.event == "promoted":
                row.append(event.version)
            elif event.event in ("rolled_back", "retired") and event.champion != event.before:
                while row and row[-1] != event.champion:
                    row.pop()
        return row

    def missed(self, coming: Event) -> list[Event]:
        """Returns what is not told here: a champion that MLflow was told of by another."""
        row = self.champions()
        known, found = row[-1] if row else None, coming.before
        if found is None or found == known:
            return []
        why = "MLflow names it as champion, and the log does not say who decided so"
        return [Event("promoted", found, "MLflow", why, known, found)]


def make_folder(folder: Path) -> None:
    """Makes a sandbox's folder of versions, if there is none.

    Raises:
        StorageError: It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise _unwritten(folder, error) from None


@contextmanager
def hold(folder: Path, *, by: str, doing: str, wait_seconds: float = 0) -> Iterator[None]:
    """Keeps everybody else from changing what serves; the lock ends with this process, however.

    Args:
        folder: The sandbox's folder of versions.
        by: Who holds it.
        doing: What for, as it is told to who comes meanwhile.
        wait_seconds: How long to wait for somebody else who holds it.

    Raises:
        PromotionRefused: Somebody else holds it, and the message says who, and since when; or
            there is no such folder, as nothing was ever registered.
        StorageError: It cannot be written.
    """
    try:
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        raise PromotionRefused(
            "No version was ever registered there",
            where=str(folder),
            cure="Run the job federated_lifecycle; it registers the model that it comes to",
        ) from None
    except OSError as error:
        raise _unwritten(folder, error) from None
    try:
        until = time.monotonic() + wait_seconds
        while not _taken(lock):
            late = time.monotonic() - until
            # A holder that says nothing has just come or is just going: asked again, it is known.
            if ((holder := _holder(lock)) and late >= 0) or late >= SILENT_SECONDS:
                raise PromotionRefused(
                    "Somebody else is changing which version serves",
                    where=str(folder),
                    seen=holder or "it does not say who it is",
                    cure="Wait until that is done, look at "
                    f"`fed-assets models list {folder.name}`, and try again",
                )
            time.sleep(LOOK_SECONDS)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        _note(lock, f"{by} {doing} since {now}, process {os.getpid()}")
        try:
            yield
        finally:
            _note(lock, "")
    finally:
        os.close(lock)


def _taken(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _note(lock: int, said: str) -> None:
    with suppress(OSError):  # it is for information alone: on a full disk, the lock holds as well
        os.ftruncate(lock, 0)
        os.pwrite(lock, said.encode(), 0)


def _holder(lock: int) -> str:
    """Returns what the holder wrote: nothing just after it took the lock, or before it goes."""
    return os.pread(lock, 1000, 0).decode(errors="replace")


def read_history(folder: Path) -> History:
    """Returns what the log of a sandbox's folder tells; nothing where there is none.

    Raises:
        StorageError: It cannot be read, or a line that is not the last is no event.
    """
    try:
        content = (folder / LOG).read_bytes()
    except FileNotFoundError:
        return History()
    except OSError as error:
        raise StorageError(
            "The promotion log cannot be read",
            where=str(folder / LOG),
            seen=system_reason(error),
            cure=DAMAGED,
        ) from None
    *whole, rest = content.split(b"\n")
    return History(tuple(_event(line, at, folder) for at, line in enumerate(whole, 1)), bool(rest))


def append(folder: Path, events: Sequence[Event]) -> None:
    """Adds events, all or none, and has them on disk; call it while `hold` lasts.

    What is left of a line that was cut off is removed first.

    Raises:
        StorageError: They cannot be written; the log is then as it was.
    """
    lines = b"".join(json.dumps(event.as_record()).encode() + b"\n" for event in events)
    try:
        log = os.open(folder / LOG, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unwritten(folder, error) from None
    try:
        whole = os.pread(log, os.fstat(log).st_size, 0).rfind(b"\n") + 1
        try:
            os.ftruncate(log, whole)
            if os.pwrite(log, lines, whole) < len(lines):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(log)
        except OSError as error:
            with suppress(OSError):  # what is left of a line is removed by the next one
                os.ftruncate(log, whole)
            raise _unwritten(folder, error) from None
    finally:
        os.close(log)


def _event(line: bytes, number: int, folder: Path) -> Event:
    try:
        record = json.loads(line)
        known = {name: record[name] for name in Event.__dataclass_fields__}
        return Event(**known | {"gates": tuple(record["gates"])})
    except (ValueError, TypeError, KeyError):
        raise StorageError(
            "The promotion log is damaged",
            where=f"{folder / LOG}, line {number}",
            cure=DAMAGED,
        ) from None


def _unwritten(folder: Path, error: OSError) -> StorageError:
    return StorageError(
        "The registry of models cannot be written", where=str(folder), seen=system_reason(error)
    )
