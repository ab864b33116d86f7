"""Keys of hospitals that tests seal files with."""

from __future__ import annotations

from pathlib import Path

from fed_assets.hospital.custody import HospitalKey


def a_key(folder: Path, hospital: str = "north") -> HospitalKey:
    """A hospital's key, in a file of its own."""
    key = HospitalKey(folder / "keys" / f"{hospital}.json", hospital)
    key.provide()
    return key
