"""Which certificates of each hospital count: one at a time, and what is to take its place.

    <folder>/issued.json    of each hospital: `kit`, `current` and `next`, serial numbers in hex

A certificate that the machine asked for takes the other's place when it is first used, not when it
is issued: an answer that was lost on its way locks nobody out. From then on the older one is
refused, and so is a copy of it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from pathlib import Path

from fed_assets.errors import StorageError
from fed_assets.federation.kept_list import alone
from fed_assets.federation.outbox import written

LIST = "The list of issued certificates"
FILE = "issued.json"
USED = "the kit was used, or another machine has taken this hospital's place"
NO_KIT = "this hospital was given no kit"


class Issued:
    """The list of a folder; several processes may change it.

    Args:
        folder: Where it lies.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE
        self._lock = threading.Lock()

    def give_kit(self, hospital: str, serial: int) -> None:
        """Notes a new kit: the one before cannot be used any more, the machine that serves can.

        Raises:
            StorageError: The list cannot be used or written.
        """
        self._change(hospital, kit=f"{serial:x}")

    def renewed(self, hospital: str, serial: int) -> None:
        """Notes a certificate that is to take the other's place. Raises what `give_kit` does."""
        self._change(hospital, next=f"{serial:x}")

    def refusal(self, hospital: str, serial: int, *, enrolling: bool) -> str:
        """Returns why a certificate does not count; empty where it does, and is in use from now on.

        Args:
            hospital: Whose it is.
            serial: Its serial number.
            enrolling: Whether it is shown to get another for it, which a kit's is for alone.

        Raises:
            StorageError: The list cannot be used or written.
        """
        known = self._read().get(hospital)
        if known is None:
            return NO_KIT
        shown = f"{serial:x}"
        if shown == known["current"] or (enrolling and shown in (known["kit"], known["next"])):
            return ""
        if shown == known["next"]:
            self._change(hospital, current=shown, next="", kit="")
            return ""
        return USED

    def hospitals(self) -> dict[str, str]:
        """Returns of each hospital whether it has `joined`, or has a `kit` that waits for it."""
        return {name: "joined" if each["current"] else "kit" for name, each in self._read().items()}

    def _change(self, hospital: str, **serials: str) -> None:
        with self._lock, alone(self._file, LIST):
            entries = self._read()
            known = entries.get(hospital, dict.fromkeys(("kit", "current", "next"), ""))
            entries[hospital] = {**known, **serials}
            with written(LIST, self._file):
                partial = self._file.with_name(f".{self._file.name}.partial")
                partial.touch(mode=0o600)
                partial.write_text(json.dumps(entries, indent=1))
                partial.replace(self._file)

    def _read(self) -> dict[str, Mapping[str, str]]:
        try:
            entries = json.loads(self._file.read_text())
            if isinstance(entries, dict) and all(
                each.keys() == {"kit", "current", "next"} for each in entries.values()
            ):
                return entries
            seen = "no such list"
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, AttributeError) as error:
            seen = type(error).__name__
        raise StorageError(
            f"{LIST} cannot be used, so that no hospital may come in",
            where=str(self._file),
            seen=seen,
            cure="Put it back from a backup; or remove it, and give every hospital on a host of "
            "its own a new kit",
        )
