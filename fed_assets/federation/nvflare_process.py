"""One process of NVFlare: runs a module of its as `python -m` would, and ends without delay.

`python -m fed_assets.federation.nvflare_process MODULE ARGUMENTS...` works in the current folder,
and in no other site's workspace.
"""

from __future__ import annotations

import importlib
import sys
from functools import cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization

from fed_assets.errors import IdentityRefused

# NVFlare waits 3 s by default before it closes its connections, which a job ends with.
SHUTDOWN_SECONDS = 0.2
# It imports torch as a job ends, 1 s and 200 MB, to clear away tensors half sent; we send arrays.
TENSORS = "nvflare.app_opt.pt.tensor_downloader"


def main() -> int:
    """Runs the module that argv names; returns its exit code.

    Raises:
        IdentityRefused: Its command line names another site's workspace.
    """
    from nvflare.fuel.f3.mpm import MainProcessMonitor

    from fed_assets.federation.incoming import guard_incoming
    from fed_assets.federation.tls import provide_tls

    provide_tls()
    guard_incoming()
    send_no_tensors()
    read_keys_once()
    sys.argv = sys.argv[1:]
    program = importlib.import_module(sys.argv[0])
    options = program.parse_arguments()
    workspace = Path.cwd()
    if Path(options.workspace) != workspace:
        raise IdentityRefused(
            "A process was asked to work in another site's workspace", where=options.workspace
        )
    code = MainProcessMonitor.run(
        main_func=program.main,
        run_dir=str(workspace / getattr(options, "job_id", "")),
        shutdown_grace_time=SHUTDOWN_SECONDS,
        args=options,
    )
    return int(code or 0)


def send_no_tensors() -> None:
    """Has NVFlare find nothing in this process that sends tensors."""
    sys.modules[TENSORS] = None  # type: ignore[assignment]  # how Python hides one from imports


def read_keys_once() -> None:
    """Has this process check a private key when it first reads it, and not again.

    Each check takes 40 ms, and NVFlare reads its site's key up to three times as it starts.
    """
    read = cache(serialization.load_pem_private_key)

    def read_key(
        data: bytes, password: bytes | None = None, backend: object = None, **options: bool
    ) -> Any:
        return read(bytes(data), password, **options)

    serialization.load_pem_private_key = read_key  # type: ignore[assignment]


if __name__ == "__main__":
    sys.exit(main())
