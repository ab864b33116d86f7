"""MLflow, imported when it is wanted and no sooner, and without its telemetry and its hints."""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DATABASE = "mlflow.db"


def mlflow_uri(folder: Path) -> str:
    """Returns the URI of runs and of the registry in MLflow's folder of a home."""
    return f"sqlite:///{folder / DATABASE}"


@contextlib.contextmanager
def quiet_mlflow() -> Iterator[Any]:
    """Yields MLflow, with its telemetry off and its progress bars and hints out of the log."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    import mlflow

    loggers = [logging.getLogger(name) for name in ("mlflow", "alembic")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            yield mlflow
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
