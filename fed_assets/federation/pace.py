"""How often a hospital asks for its next task: the longer it has waited, the more seldom."""

from __future__ import annotations

import logging
import time
from typing import Any

from nvflare.apis.event_type import EventType
from nvflare.apis.fl_component import FLComponent

log = logging.getLogger(__name__)

# Asking takes some 3.5 ms of processors that others learn on: forty hospitals that each ask ten
# times a second take 1.4 of them. Waiting for a quarter longer than needed delays nobody but the
# hospital that is waited for, and that one has waited least.
SHARE = 0.25
LONGEST_SECONDS = 2.0


class Pace(FLComponent):  # type: ignore[misc]
    """Delays each question by a share of the time since the hospital last answered."""

    def __init__(self) -> None:
        super().__init__()
        self._answered = time.monotonic()
        self._questions = 0

    def handle_event(self, event_type: str, fl_ctx: Any) -> None:
        """Waits before a question, and says how many it took to get a task."""
        waited = time.monotonic() - self._answered
        if event_type == EventType.BEFORE_PULL_TASK:
            time.sleep(pause_after(waited))
            self._questions += 1
        elif event_type == EventType.BEFORE_TASK_EXECUTION:
            log.info("Waited %.1f s for this task, and asked %d times", waited, self._questions)
        elif event_type == EventType.AFTER_SEND_TASK_RESULT:
            self._answered, self._questions = time.monotonic(), 0


def pause_after(seconds: float) -> float:
    """Returns how many seconds to wait before asking again, after having waited that long."""
    return min(LONGEST_SECONDS, SHARE * seconds)
