"""Machines of hospitals that runs start: each serves one run at a time, by a kit made for that."""

from __future__ import annotations

from collections.abc import Callable

from fed_assets.errors import HostAway


class Lending:
    """Who has which hospital's machine. Not for several threads at once.

    Args:
        kits: Makes a hospital's kit; returns it as it is written.
    """

    def __init__(self, kits: Callable[[str], str]) -> None:
        self._kits = kits
        self._lent: dict[str, object] = {}

    def lend(self, hospital: str, borrower: object, *, serving: bool) -> str:
        """Returns a kit for the machine that a run starts; no other run gets one meanwhile.

        Args:
            hospital: Whose machine it is.
            borrower: The run.
            serving: Whether a machine of the hospital's is connected already.

        Raises:
            HostAway: One works for another run, or has not ended yet.
            FedAssetsError: There is no kit for it.
        """
        if serving or self._lent.get(hospital, borrower) is not borrower:
            raise HostAway(
                f"The machine of {hospital} works for another run",
                cure="Wait until that run is over, and run again",
            )
        kit = self._kits(hospital)
        self._lent[hospital] = borrower
        return kit

    def give_back(self, borrower: object, hospital: str | None = None) -> None:
        """Takes back a hospital's machine from a run, or all of them."""
        for name, holder in list(self._lent.items()):
            if holder is borrower and hospital in (None, name):
                del self._lent[name]
