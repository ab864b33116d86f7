"""A worker that answers what no worker may."""

from __future__ import annotations

import sys
import time


def main() -> None:
    sys.stdin.readline()
    sys.stdin.readline()
    print("[1, 2]", flush=True)
    time.sleep(60)


if __name__ == "__main__":
    main()
