"""How far one federation run has come: its clock, its events, its hard limit."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from fed_assets.errors import TimeLimitPassed
from fed_assets.federation.plan import FederationPlan

Event = dict[str, Any]


class Interrupted(BaseException):
    """Somebody asked the run to stop. No Exception, so that nothing takes it for a failure."""


@dataclass
class Progress:
    """The clock of one run, which also tells its events.

    Attributes:
        plan: What is run.
        tell: Called with each event.
        stopped: Asked again and again whether whoever wanted the run is gone.
        timings: Seconds spent per step.
    """

    plan: FederationPlan
    tell: Callable[[Event], None]
    stopped: Callable[[], bool] = lambda: False
    timings: dict[str, float] = field(default_factory=dict)
    _started: float = field(default_factory=time.monotonic)

    def elapsed(self) -> float:
        """Returns the seconds since the start."""
        return time.monotonic() - self._started

    def left(self) -> float:
        """Returns the seconds left of the run's hard limit.

        Raises:
            TimeLimitPassed: There are none.
            Interrupted: Nobody wants the run any more.
        """
        if self.stopped():
            raise Interrupted("whoever started the run is gone")
        limit = self.plan.total_timeout_seconds
        left = limit - self.elapsed()
        if left <= 0:
            raise TimeLimitPassed(
                f"The federation took longer than {limit:g} s", where=self.plan.folder
            )
        return left

    def reached(self, event: str, **content: Any) -> None:
        """Tells of an event."""
        self.tell({"event": event, "elapsed_seconds": round(self.elapsed(), 3), **content})

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Notes how long a step takes."""
        before = self.elapsed()
        try:
            yield
        finally:
            self.timings[step] = self.elapsed() - before
