from __future__ import annotations

from typing import Any

import pytest

from fed_assets_tests.networks import SMALL_RESNET


@pytest.fixture
def entries() -> dict[str, Any]:
    """Returns the roster of three hospitals that share out 240 phantoms."""
    return {
        "title": "Three small hospitals",
        "data": {
            "source": {"kind": "phantom", "images": 240, "test_images": 40, "size": 28},
            "share": {"how": "iid"},
        },
        "hospitals": [{"id": name, "name": name} for name in ("north", "east", "south")],
        "network": SMALL_RESNET,
        "rounds": 2,
    }
