"""Which versions a machine runs: both sides have to run the same."""

from __future__ import annotations

import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from fed_assets.federation.code_version import code_version

# What both sides run a part of: messages, weights and networks go from one to the other.
PACKAGES = ("nvflare", "torch", "monai")


@cache
def versions() -> dict[str, str]:
    """Returns the versions of Python and of what both sides run a part of."""
    found = {"python": ".".join(platform.python_version_tuple()[:2])}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found | {"fed_assets": code_version()}


def differences(own: dict[str, str], other: dict[str, str]) -> list[str]:
    """Returns what differs, each as `name: here, there`."""
    return [
        f"{name}: {own[name]} here, {other.get(name, 'unknown')} there"
        for name in own
        if own[name] != other.get(name)
    ]
