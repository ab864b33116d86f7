"""The roster's network, as it can be trained with differential privacy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fed_assets.sandboxes.controls import UpdateProtection
from fed_assets.sandboxes.protection import Protection

# As Opacus replaces it, but for the number of groups (Wu and He 2018, arXiv:1803.08494, took 32 for
# layers of 64 channels and more).
GROUP_NORM = ["group", {"num_groups": 8}]


def network_under(protection: Protection, network: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a network's config as a sandbox trains it.

    Batch normalisation makes of one image what the others of its batch are, so no image's share in
    a gradient could be bounded: under differential privacy a `norm: batch` becomes group
    normalisation. A network that is not told its `norm` comes back as it is; where it has batch
    normalisation of its own, hospitals refuse it.
    """
    norm = network.get("norm")
    kind = norm[0] if isinstance(norm, list | tuple) and norm else norm
    private = protection.kind is UpdateProtection.DIFFERENTIAL_PRIVACY
    if private and str(kind).lower() == "batch":
        return {**network, "norm": GROUP_NORM}
    return dict(network)
