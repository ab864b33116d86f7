"""What a process that observes a federation does of itself: it notes how it failed, and ends."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

from fed_assets.errors import FedAssetsError, JobFailed
from fed_assets.federation.progress import Interrupted
from fed_assets.federation.session import stopped_by_signals
from fed_assets.posture.transit_notes import Notes


def noted(observe: Callable[[], None], notes: Notes) -> int:
    """Returns 0 once a federation was observed, or 1 after noting what went wrong."""
    failure: FedAssetsError
    try:
        with stopped_by_signals():
            observe()
        return 0
    except FedAssetsError as error:
        traceback.print_exc()
        failure = error
    except Interrupted as signal_name:
        failure = JobFailed(f"The probes were stopped by {signal_name}")
    except Exception as error:
        traceback.print_exc()
        failure = JobFailed(f"The probes broke off with {type(error).__name__}")
    notes.failure(failure)
    return 1


def leave(code: int) -> NoReturn:
    """Ends the process; threads of NVFlare's session that did not end would hold it for ever."""
    sys.stderr.flush()
    os._exit(code)
