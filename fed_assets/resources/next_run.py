"""The run that is to start next: its process gets ready while another run ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

from fed_assets.errors import StorageError
from fed_assets.resources.dagster_run import Launch, StartedRun, discard, made_ready, started
from fed_assets.resources.home import Home
from fed_assets.resources.run_process import ReadyProcess

Key = TypeVar("Key")


@dataclass(frozen=True)
class _Ahead(Generic[Key]):
    key: Key
    launch: Launch
    process: ReadyProcess


class NextRun(Generic[Key]):
    """Starts runs, of which one at a time may have been made ready before.

    Args:
        launch: Returns the launch of what stands for a run.
        home: Where it runs.
    """

    def __init__(self, launch: Callable[[Key], Launch], home: Home) -> None:
        self._launch, self._home = launch, home
        self._ahead: _Ahead[Key] | None = None
        self._tried: list[Key] = []

    def make_ready(self, key: Key) -> None:
        """Has a run's process get ready, if there is none that does; it is no run yet."""
        if self._ahead is None and key not in self._tried:
            self._tried.append(key)
            with suppress(OSError, StorageError):  # what is the matter, its start tells
                launch = self._launch(key)
                try:
                    self._ahead = _Ahead(key, launch, made_ready(launch, self._home))
                except OSError:
                    discard(launch)
                    raise

    @contextmanager
    def started(self, key: Key) -> Iterator[StartedRun]:
        """Yields a run that has started, by letting go the process that is ready for it, if any."""
        ahead = self._ahead if self._ahead and self._ahead.key == key else None
        launch = ahead.launch if ahead else self._launch(key)
        process = ahead.process if ahead else None
        with started(launch, self._home, on_progress=lambda _: None, ready=process) as run:
            if ahead:
                self._ahead = None
            yield run

    def close(self) -> None:
        """Ends a process that was not let go, and leaves nothing of its launch."""
        if self._ahead:
            self._ahead.process.end()
            discard(self._ahead.launch)
            self._ahead = None
