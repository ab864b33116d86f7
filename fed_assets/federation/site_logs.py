"""What the sites of a warm federation wrote while one run used them: kept in that run's folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fed_assets.federation.site import CONSOLE_FILE, SITES

NVFLARE_LOG = "log.txt"
# Of both, what is written during a run is the run's; a job's own log is in a folder of its own.
_SHARED = (CONSOLE_FILE, NVFLARE_LOG)


@contextmanager
def kept_logs(federation: Path, run: Path) -> Iterator[Callable[[str], None]]:
    """Copies what sites log from here on into a run's folder, if a job came of it.

    Args:
        federation: Folder of the federation that stays up.
        run: Folder of the run.

    Yields:
        A function that is to be told NVFlare's id of the run's job.
    """
    logs = [path for name in _SHARED for path in federation.glob(f"{SITES}/*/{name}")]
    before = {path: path.stat().st_size for path in logs}
    jobs: list[str] = []
    try:
        yield jobs.append
    finally:
        for job in jobs:
            own = federation.glob(f"{SITES}/*/{job}/{NVFLARE_LOG}")
            before |= dict.fromkeys(own, 0)
        # Where the run was refused, a federation of its own comes into its folder.
        for path, start in before.items() if jobs else ():
            with suppress(OSError):  # on a full disk the run has worse to tell
                kept = run / path.relative_to(federation)
                kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                with path.open("rb") as log:
                    log.seek(start)
                    kept.write_bytes(log.read())
