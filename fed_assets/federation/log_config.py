"""What each site of a federation writes into its log."""

from __future__ import annotations

LOG_CONFIG = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "()": "nvflare.fuel.utils.log_utils.BaseFormatter",
            "fmt": "%(asctime)s %(levelname)s %(name)s %(fl_ctx)s %(message)s",
        }
    },
    "handlers": {
        "file": {
            "class": "logging.handlers.RotatingFileHandler",
            "level": "INFO",
            "formatter": "line",
            "filename": "log.txt",
            "mode": "a",
            "maxBytes": 10_000_000,
            "backupCount": 1,
        }
    },
    "loggers": {
        "root": {"level": "WARNING", "handlers": ["file"]},
        "fed_assets": {"level": "INFO", "handlers": ["file"], "propagate": False},
    },
}
