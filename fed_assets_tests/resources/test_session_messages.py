"""Messages of a session: each is passed on once, and whole, however its line was written."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from dagster._core.pipes.utils import PipesFileMessageReader
from dagster_pipes import PipesDefaultMessageWriter

from fed_assets.resources.session_messages import WholeLines

LONG = {"method": "report_custom_message", "params": {"payload": {"event": "x" * 10_000}}}


class Handler:
    """Keeps what is passed on, and what a reader's thread failed of."""

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.failures: list[Any] = []

    def handle_message(self, message: Any) -> None:
        self.heard.append(message)

    def report_pipes_framework_exception(self, origin: str, failure: Any) -> None:
        self.failures.append(failure[1])


def read(reader: Any, handler: Handler, *pieces: str) -> None:
    """Has a reader read what is written piece by piece."""
    with reader.read_messages(handler) as told:
        path = Path(told[PipesDefaultMessageWriter.FILE_PATH_KEY])
        for piece in pieces:
            time.sleep(0.2)  # so long that a reader looks in between
            with path.open("a", encoding="utf-8") as file:
                file.write(piece)


def test_a_line_that_is_written_in_two_pieces_is_one_message(tmp_path: Path) -> None:
    line = json.dumps(LONG) + "\n"
    handler = Handler()
    read(WholeLines(tmp_path / "messages"), handler, line, line[:5000], line[5000:] + line)
    assert handler.heard == [LONG] * 3


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_dagsters_own_reader_fails_at_it_and_passes_on_nothing_more(tmp_path: Path) -> None:
    line = json.dumps(LONG) + "\n"
    handler = Handler()
    reader = PipesFileMessageReader(str(tmp_path / "messages"))
    read(reader, handler, line, line[:5000], line[5000:] + line)
    assert handler.heard == [LONG]
    assert [type(failure) for failure in handler.failures] == [json.JSONDecodeError]


def test_what_was_written_just_before_the_end_is_read(tmp_path: Path) -> None:
    handler = Handler()
    with WholeLines(tmp_path / "messages").read_messages(handler):
        (tmp_path / "messages").write_text(f"{json.dumps(LONG)}\n" * 50)
    assert handler.heard == [LONG] * 50
