"""One line per NVFlare command that was issued for a run, in the run's own folder."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from fed_assets.federation.outbox import written

HISTORY_FILE = "commands.jsonl"


@dataclass(frozen=True)
class Command:
    """One NVFlare command that was issued; of the same one in a row, the last.

    Attributes:
        command: The command, as NVFlare's console would take it.
        at: When it was issued, ISO 8601, UTC.
        seconds: How long the answer took.
        answer: The answer, or the error's type and text.
        times: How often it was issued in a row: some are polled.
    """

    command: str
    at: str
    seconds: float
    answer: str
    times: int = 1


class History:
    """Writes commands down as they are answered, so that a killed run has its own too.

    Args:
        path: The file; it is made, or gone on with.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._last: Command | None = None
        self._at = 0

    def note(self, command: Command) -> None:
        """Writes a command; one that repeats the last takes its place.

        Raises:
            StorageError: It could not be written.
        """
        repeats = self._last is not None and self._last.command == command.command
        if self._last is not None and repeats:
            command = replace(command, times=self._last.times + 1)
        line = json.dumps(asdict(command)).encode() + b"\n"
        with written("The record of NVFlare's commands", self.path):
            file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                if not repeats:
                    self._at = os.fstat(file).st_size
                # One write of the whole line: what a kill leaves is the one line or the other.
                os.pwrite(file, line, self._at)
                os.ftruncate(file, self._at + len(line))
            finally:
                os.close(file)
        self._last = command


def read_history(path: Path) -> list[Command]:
    """Returns the commands of a run, oldest first: none where it issued none."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    commands = []
    for line in lines:
        try:
            commands.append(Command(**json.loads(line)))
        except (ValueError, TypeError):
            continue  # what a kill in the middle of a rewrite left of a longer line
    return commands
