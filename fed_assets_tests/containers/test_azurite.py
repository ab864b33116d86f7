from __future__ import annotations

import json
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "azurite"


def test_azurite_is_pinned_with_all_that_it_needs_and_no_place_to_get_it_from() -> None:
    wanted = json.loads((FOLDER / "package.json").read_text())["dependencies"]
    packages = json.loads((FOLDER / "package-lock.json").read_text())["packages"]
    assert packages[""]["dependencies"] == wanted == {"azurite": "3.37.0"}
    installed = [each for name, each in packages.items() if name]
    assert len(installed) > 100
    assert all(each["integrity"].startswith("sha512-") for each in installed)
    assert not [each for each in installed if "resolved" in each]
