"""What a session reports through Pipes, read from its file line by line and whole.

Dagster's own reader of files takes what it finds of a line that is still being written for the
whole of it, fails, and passes on nothing more (`dagster._utils.tail_file` of 1.13).
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dagster import PipesMessageHandler, PipesMessageReader
from dagster_pipes import PipesDefaultMessageWriter

POLL_SECONDS = 0.02


class WholeLines(PipesMessageReader):
    """Passes on each message once all of its line is there; the file stays.

    Args:
        path: The file that the session will write to; made anew.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def read_messages(self, handler: PipesMessageHandler) -> Iterator[dict[str, Any]]:
        """Yields how the session is told of the file, and reads it until this is left."""
        self._path.write_bytes(b"")
        over = threading.Event()
        reading = threading.Thread(target=self._pass_on, args=(handler, over), daemon=True)
        reading.start()
        try:
            yield {PipesDefaultMessageWriter.FILE_PATH_KEY: str(self._path)}
        finally:
            over.set()
            reading.join()

    def no_messages_debug_text(self) -> str:
        """Returns where messages were looked for."""
        return f"They were looked for in {self._path}."

    def _pass_on(self, handler: PipesMessageHandler, over: threading.Event) -> None:
        rest = b""
        with self._path.open("rb") as stream:
            ending = False
            while not ending:
                ending = over.is_set()  # asked first: what was written before is read yet
                *lines, rest = (rest + stream.read()).split(b"\n")
                for line in lines:
                    handler.handle_message(json.loads(line))
                if not ending:
                    time.sleep(POLL_SECONDS)
