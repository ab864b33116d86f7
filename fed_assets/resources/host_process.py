"""The process that serves for one hospital; its one argument is what `place_of` returns."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path

from fed_assets.errors import FedAssetsError, KitRefused
from fed_assets.federation.child import end_after
from fed_assets.hosts.identity import read_identity
from fed_assets.resources.home import Home
from fed_assets.resources.hospital_host import HospitalHost
from fed_assets.resources.host_settings import read_host_settings
from fed_assets.resources.kept_process import GIVES_UP
from fed_assets.resources.settings import Settings


def place_of(chosen: Settings, settings: Path, *, one_federation: bool = False) -> str:
    """Returns in one line where the process finds all that it needs, and how long it stays."""
    data = str(chosen.data) if chosen.data else ""
    places = {"data": data, "configurable": str(chosen.configurable), "settings": str(settings)}
    return json.dumps({"home": str(chosen.home.root), "one_federation": one_federation, **places})


def _read(place: str) -> tuple[Settings, Path, bool]:
    said = json.loads(place)
    data = Path(said["data"]) if said["data"] else None
    chosen = Settings(Home(Path(said["home"])), data=data, configurable=Path(said["configurable"]))
    return chosen, Path(said["settings"]), bool(said["one_federation"])


def main() -> int:
    """Serves until SIGTERM; returns 0, or `GIVES_UP` where it is refused."""
    os.umask(0o077)
    parent = os.getppid()
    threading.Thread(target=end_after, args=(parent,), daemon=True).start()

    def say(line: str) -> None:
        print(line, flush=True)

    try:
        chosen, settings, once = _read(sys.argv[1])
        identity = read_identity(chosen.home.host)
        if identity is None:
            raise KitRefused("This machine has not joined yet", where=str(chosen.home.host))
        allowed = read_host_settings(settings)
        host = HospitalHost(chosen, identity, allowed, say, one_federation=once)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: host.stop())
        host.run()
    except FedAssetsError as error:
        print(f"Error: {error}", file=sys.stderr, flush=True)
        return GIVES_UP
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # a thread that waits for an answer does not keep it
