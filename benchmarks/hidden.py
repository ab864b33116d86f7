"""A federation whose updates are hidden, as far as the benchmarks of hiding need it: its kits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

HOSPITALS = [f"hospital_{number:02d}" for number in range(1, 11)]


def kits_of(sandbox: str, protection: Mapping[str, Any], folder: Path) -> Any:
    """Makes the kits of ten hospitals and their server, and returns where they lie.

    Args:
        sandbox: What the federation is called.
        protection: What hospitals promise of their updates; see `Protection.as_record`.
        folder: For kits and stores.
    """
    from fed_assets.federation.plan import FederationPlan
    from fed_assets.federation.provision import provision

    return provision(
        FederationPlan(
            sandbox=sandbox,
            transport="mtls",
            job_code="preinstalled",
            hospitals=tuple(HOSPITALS),
            stores={name: str(folder / "stores" / name) for name in HOSPITALS},
            folder=str(folder / "federation"),
            outbox=str(folder / "outbox"),
            initial_weights=str(folder / "initial.safetensors"),
            rounds=1,
            seed=0,
            recipe={},
            network={},
            classes=2,
            channels=1,
            quorum=3,
            update_protection=protection,
        )
    )
