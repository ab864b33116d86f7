"""What the service says to whoever asks, who need not know where things lie on its machine."""

from __future__ import annotations

import re
from http import HTTPStatus
from pathlib import PurePosixPath

_PATH = re.compile(r"(?<![\w/.])/[^\s,;:'\"]*[^\s,;:.'\"]")
REASONS = {
    HTTPStatus.NOT_FOUND: "There is nothing at this address: ask /predict, /version, /health/live "
    "or /health/ready.",
    HTTPStatus.METHOD_NOT_ALLOWED: "This address is asked in another way: POST for /predict, GET "
    "for the others.",
}


def without_paths(text: str) -> str:
    """Returns a text in which each absolute path is its last name alone.

    >>> without_paths("It is not there. Where: /srv/models/v3/package. Seen: nothing")
    'It is not there. Where: package. Seen: nothing'
    """
    return _PATH.sub(lambda found: PurePosixPath(found[0]).name, text)


def reason_of(status: int) -> str:
    """Returns why a request came to a status that no route of ours gave it."""
    return REASONS.get(HTTPStatus(status), f"{HTTPStatus(status).phrase}.")
