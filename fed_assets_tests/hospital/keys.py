"""Stores that tests keep sealed, and the keys to them."""

from __future__ import annotations

from pathlib import Path

from fed_assets.hospital.custody import HospitalKey
from fed_assets.hospital.files import Store
from fed_assets.hospital.store import open_store


def a_key(folder: Path, hospital: str = "north") -> HospitalKey:
    """A hospital's key, in a file of its own."""
    key = HospitalKey(folder / "keys" / f"{hospital}.json", hospital)
    key.provide()
    return key


def a_sealed_store(folder: Path, hospital: str = "north") -> Store:
    """An empty sealed store, and its key beside it."""
    key = HospitalKey(folder / "keys" / f"{hospital}.json", hospital)
    return open_store(Store(folder / hospital, hospital, key))
