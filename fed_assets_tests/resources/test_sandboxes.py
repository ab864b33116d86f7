from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from fed_assets.errors import SandboxError, UnenforcedControl
from fed_assets.resources.sandboxes import Sandboxes
from fed_assets.sandboxes.enforcement import ENFORCED
from fed_assets.sandboxes.presets import EYES_OFF, EYES_ON, MINIMAL


def test_an_enforced_sandbox_comes_out_as_it_is() -> None:
    assert Sandboxes().enforced("minimal") is MINIMAL
    assert Sandboxes().enforced("eyes_off") is EYES_OFF


def test_a_sandbox_that_is_not_enforced_does_not_come_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENFORCED, "update_protection", frozenset({"none"}))
    assert Sandboxes().enforced("minimal") is MINIMAL
    with pytest.raises(UnenforcedControl, match="Sandbox eyes_off is refused: it declares update_"):
        Sandboxes().enforced("eyes_off")


def test_the_configurable_sandbox_comes_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(EYES_ON.controls()))
    sandbox = Sandboxes(configurable=str(path)).enforced("configurable")
    assert sandbox.controls() == EYES_ON.controls()
    path.unlink()
    with pytest.raises(SandboxError, match="FED_ASSETS_SANDBOX"):
        Sandboxes(configurable=str(path)).enforced("configurable")


def test_an_unknown_sandbox_is_refused() -> None:
    with pytest.raises(SandboxError, match="no sandbox named none"):
        Sandboxes().enforced("none")
