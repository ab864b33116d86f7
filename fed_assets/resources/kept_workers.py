"""Workers that are kept between tasks, where their images are no hospital's own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager

from fed_assets.errors import WorkerFailed
from fed_assets.resources.worker_process import WorkerProcess


class KeptWorkers:
    """Lends workers for a task each, and keeps those that may be lent again.

    A process costs a tenth of a second, and what libraries make at their first use is made again in
    each.
    """

    def __init__(self) -> None:
        self._idle: list[tuple[Hashable, WorkerProcess]] = []
        self._looking = threading.Lock()

    @contextmanager
    def lent(
        self, start: Callable[[], WorkerProcess], kept_as: Hashable | None = None
    ) -> Iterator[WorkerProcess]:
        """Yields a worker that nobody else asks meanwhile.

        Args:
            start: starts one, where none is kept.
            kept_as: of what kind it is, if it is one that may be kept; else it ends after this.
        """
        worker = self._taken(kept_as) or start()
        try:
            yield worker
        except WorkerFailed:  # nobody foresaw that: what of it is left in the process, nobody knows
            kept_as = None
            raise
        finally:
            if kept_as is not None and worker.alive:
                with self._looking:
                    self._idle.append((kept_as, worker))
            else:
                worker.close()

    def close(self) -> None:
        """Ends those that are kept."""
        with self._looking:
            kept, self._idle = self._idle, []
        for _, worker in kept:
            worker.close()

    def _taken(self, kept_as: Hashable | None) -> WorkerProcess | None:
        """Returns a worker of a kind that is kept and lives, the last that was asked."""
        with self._looking:
            for kind, worker in reversed(self._idle):
                if kind == kept_as:
                    self._idle.remove((kind, worker))
                    if worker.alive:
                        return worker
                    worker.close()
        return None
