"""What a job's container leaves it, as an image of the double's: a command before the job's own.

`python -m fed_assets_tests.azure_ml.container KIND ARGUMENTS` goes on as `python ARGUMENTS`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from fed_assets.federation.ways import open_ways
from fed_assets_tests.azure_ml.setting import write_command
from fed_assets_tests.confining import ORDINARY_USER
from fed_assets_tests.places import PROJECT
from fed_assets_tests.resources.capped_home import without_landlock

# Root, with what Docker leaves it, and an ordinary user where the kernel has no Landlock.
DOCKERS_ROOT, NOBODY = "dockers_root", "nobody"
# See docker-run(1); what root needs to mount is none of them.
DOCKERS = (
    *("chown", "dac_override", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap"),
    *("net_bind_service", "net_raw", "sys_chroot", "mknod", "audit_write", "setfcap"),
)


def write_container(image: Path, kind: str) -> None:
    """Has an image's `python` start in a container of that kind."""
    start = f"exec {sys.executable} -m fed_assets_tests.azure_ml.container {kind}"
    write_command(image, f'PYTHONPATH={PROJECT} {start} "$@"')


def main() -> None:
    kind, *arguments = sys.argv[1:]
    # An image's Python lies where every user may pass.
    open_ways([Path(sys.base_prefix), *map(Path, filter(None, sys.path))])
    command = [sys.executable, *arguments]
    if kind == DOCKERS_ROOT:
        left = ",".join(["-all", *(f"+{name}" for name in DOCKERS)])
        os.execvp("setpriv", ["setpriv", f"--bounding-set={left}", *command])
    for place in (Path.cwd(), Path(arguments[4])):  # the job's folder, and its home
        for path in (place, *place.rglob("*")):
            os.chown(path, ORDINARY_USER, ORDINARY_USER, follow_symlinks=False)
    without_landlock()
    os.setgroups([])
    os.setresgid(*(ORDINARY_USER,) * 3)
    os.setresuid(*(ORDINARY_USER,) * 3)
    os.execv(sys.executable, command)


if __name__ == "__main__":
    main()
