"""Turns at the processor: one picture after the other, whoever sent it, and large ones apart.

A request holds a lane for one picture at a time, so that those of several requests alternate. Small
pictures have a lane of their own, in which no large one is before them.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from fed_assets.serving.limits import MOST_CPU_SECONDS, SMALL_BYTES, SMALL_PIXELS

Result = TypeVar("Result")


class Lane:
    """One thread, which does what it is asked for in the order in which it was asked."""

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._at_work = False
        self._clock: int | None = None
        self._began, self._seen = 0.0, 0.0

    async def run(self, work: Callable[..., Result], *given: object) -> Result:
        """Returns what the work returns; who is cancelled before its turn gives it up."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self._do, work, given)

    def moves(self) -> bool:
        """Returns whether it is idle, or has got on since it was asked last.

        By its thread's own clock, which stands still where it waits for something that never comes,
        and not by the wall's: a machine that has much else to do makes any picture slow.
        """
        used = 0.0 if self._clock is None else time.clock_gettime(self._clock)
        seen, self._seen = self._seen, used
        return not self._at_work or (used > seen and used - self._began < MOST_CPU_SECONDS)

    def _do(self, work: Callable[..., Result], given: tuple[object, ...]) -> Result:
        self._began = time.thread_time()
        self._clock = time.pthread_getcpuclockid(threading.get_ident())
        self._at_work = True
        try:
            return work(*given)
        finally:
            self._at_work = False


class Lanes:
    """A lane for small pictures, and one for large ones."""

    def __init__(self) -> None:
        self._small, self._large = Lane("small"), Lane("large")

    def of(self, raw: bytes, pixels: int = 0) -> Lane:
        """Returns the lane of a file, by its bytes and by the pixels that it says it has."""
        small = len(raw) <= SMALL_BYTES and pixels <= SMALL_PIXELS
        return self._small if small else self._large

    def move(self) -> bool:
        """Returns whether both are idle, or have got on since this was asked last."""
        return all([self._small.moves(), self._large.moves()])
