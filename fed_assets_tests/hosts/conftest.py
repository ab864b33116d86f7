"""An authority, and kits that it signed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from fed_assets.hosts.authority import Authority, open_authority
from fed_assets.hosts.issued import Issued
from fed_assets.hosts.kit import KIT_LIFETIME, make_kit


@pytest.fixture
def hosts(tmp_path: Path) -> Path:
    """Returns the folder of an authority."""
    return tmp_path / "hosts"


@pytest.fixture
def authority(hosts: Path) -> Authority:
    return open_authority(hosts)


@pytest.fixture
def give(tmp_path: Path, hosts: Path, authority: Authority) -> Callable[..., Path]:
    """Returns what writes a hospital's kit, and notes it as the authority's keeper would."""

    def write(
        hospital: str, address: str = "localhost:1", lifetime: timedelta = KIT_LIFETIME
    ) -> Path:
        content, made = make_kit(authority, hospital, address, version="1", lifetime=lifetime)
        Issued(hosts).give_kit(hospital, made.serial_number)
        path = tmp_path / f"{hospital}.kit"
        path.touch(0o600)
        path.write_bytes(content)
        return path

    return write
