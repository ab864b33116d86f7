"""A site on another machine, as the session sees it: by files."""

from __future__ import annotations

from pathlib import Path

import pytest

from fed_assets.errors import ProcessNotStarted
from fed_assets.federation.elsewhere import UNWANTED, WANTED, Elsewhere, write_site_ended
from fed_assets.federation.origin import stop


def test_it_is_wanted_until_it_is_stopped_which_waits_for_nobody(tmp_path: Path) -> None:
    site = Elsewhere(tmp_path)
    assert (tmp_path / WANTED).exists()
    assert site.ended() is None
    stop([site], grace_seconds=60)
    assert (tmp_path / UNWANTED).exists()
    with pytest.raises(ProcessNotStarted):
        site.pid(1)


def test_how_it_ended_is_told_by_whoever_heard_of_it(tmp_path: Path) -> None:
    site = Elsewhere(tmp_path)
    write_site_ended(tmp_path, -9)
    assert site.ended() == -9
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
