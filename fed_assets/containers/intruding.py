"""Attempts on a container by whoever holds a credential: to read in it, to list it, to write to it.

An attempt fails only where Azure refuses it. Where Azure cannot be reached, nothing is shown, and
the attempt breaks off.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace

from fed_assets.containers.container import Container
from fed_assets.containers.place import Place
from fed_assets.errors import AccessRefused

INTRUDER = "intruder-"  # what the names of files begin with that an attempt wrote


def intrude(by: Place, url: str, name: str) -> dict[str, bool]:
    """Returns whether a credential lets anybody `read`, `list` and `write` in a container.

    Args:
        by: The credential; where it is for does not count.
        url: The container's.
        name: Of a file that is there.

    Raises:
        ContainerRefused: Azure cannot be reached, or has no such container.
    """
    with closing(Container(replace(by, url=url))) as container:
        return {
            "read": _let(lambda: container.read(name)),
            "list": _let(lambda: container.found("")),
            "write": _let(lambda: _write(container)),
        }


def clear_intruders(own: Place) -> None:
    """Removes what attempts wrote that could not remove it themselves.

    Raises:
        ContainerRefused: The container cannot be used.
    """
    with closing(Container(own)) as container:
        for name, found in container.found(INTRUDER).items():
            container.remove(name, found.etag)


def _write(container: Container) -> None:
    name = f"{INTRUDER}{secrets.token_hex(8)}"
    etag = container.write(name, b"intruder").etag
    with suppress(AccessRefused):  # who may write need not be let remove
        container.remove(name, etag)


def _let(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except AccessRefused:
        return False
    return True
