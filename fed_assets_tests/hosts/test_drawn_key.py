"""A key that one hospital draws for all, on its own host."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fed_assets.errors import KitRefused
from fed_assets.federation.site_key import KEY_FILE, make_site_key
from fed_assets.hosts.drawn_key import draw_key, opened_key
from fed_assets.privacy.encrypted_sums import (
    added,
    adding_context,
    decrypted,
    encrypted,
    fault_of,
    read_context,
)

NAMES = ("north", "east")


@pytest.fixture
def public_keys(tmp_path: Path) -> dict[str, str]:
    """Returns what each of two hospitals' sites told of its key; the key lies in its folder."""
    for name in NAMES:
        (tmp_path / name).mkdir()
    return {name: make_site_key(tmp_path / name) for name in NAMES}


def test_each_hospital_opens_the_same_key_and_a_server_without_it_adds_up(
    tmp_path: Path, public_keys: dict[str, str]
) -> None:
    sealed = draw_key("run1", public_keys)
    north, east = (
        opened_key(sealed[name], "run1", name, tmp_path / name / KEY_FILE) for name in NAMES
    )
    assert north == east
    assert all(north not in each for each in sealed.values())
    numbers = np.arange(5000, dtype=np.int64)
    parts = [encrypted(read_context(key, secret=True), numbers) for key in (north, east)]
    server = read_context(adding_context(), secret=False)
    assert [fault_of(server, each) for each in parts[0]] == [None, None]
    sums = [added(server, pair) for pair in zip(*parts, strict=True)]
    total = decrypted(read_context(east, secret=True), sums, 5000)
    assert (total == 2 * numbers).all()
    with pytest.raises(ValueError, match="no sum"):
        another = opened_key(
            draw_key("run1", public_keys)["east"], "run1", "east", tmp_path / "east" / KEY_FILE
        )
        decrypted(read_context(another, secret=True), sums, 5000)


def test_what_was_sealed_for_another_hospital_or_run_or_changed_is_refused(
    tmp_path: Path, public_keys: dict[str, str]
) -> None:
    sealed = draw_key("run1", public_keys)
    own = tmp_path / "east" / KEY_FILE
    changed = sealed["east"][:-1] + bytes([sealed["east"][-1] ^ 1])
    for content, run, name in (
        (sealed["north"], "run1", "east"),
        (sealed["east"], "run2", "east"),
        (sealed["east"], "run1", "north"),
        (changed, "run1", "east"),
        (b"", "run1", "east"),
        (sealed["east"][:300], "run1", "east"),
    ):
        with pytest.raises(KitRefused, match="was not sealed for this one"):
            opened_key(content, run, name, own)
    with pytest.raises(KitRefused, match="sent no key"):
        draw_key("run1", {"north": "no key"})
