from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fed_assets_tests.serving.packages import Exported, Models, export


@pytest.fixture(scope="session")
def exported() -> tuple[Exported, Exported]:
    """Returns two networks that answer differently."""
    return export(1), export(2)


@pytest.fixture(scope="session")
def real_images(real_data: Path) -> NDArray[np.uint8]:
    """Returns 40 real test images, uint8 [40, 28, 28]."""
    with np.load(real_data / "pneumoniamnist.npz") as archive:
        images: NDArray[np.uint8] = archive["test_images"][:40]
    return images


@pytest.fixture
def models(tmp_path: Path) -> Models:
    """Returns an empty place for versions."""
    return Models(tmp_path / "home")
