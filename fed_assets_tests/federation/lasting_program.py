"""A program that ends when it is killed."""

from __future__ import annotations

import signal


def main() -> None:
    while True:
        signal.pause()
