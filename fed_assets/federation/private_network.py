"""The roster's network, as it can be trained with differential privacy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from fed_assets.sandboxes.controls import UpdateProtection
from fed_assets.sandboxes.protection import Protection

# Fewer than Opacus takes in place of batch normalisation (Wu and He 2018, arXiv:1803.08494, took 32
# for layers of 64 channels and more), and fewer still where a width that is named needs it.
MOST_GROUPS = 8
WIDTHS = ("block_inplanes", "channels", "features", "init_filters", "feature_size")


def network_under(protection: Protection, network: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a network's config as a sandbox trains it.

    Batch normalisation makes of one image what the others of its batch are, so no image's share in
    a gradient could be bounded: under differential privacy a `norm: batch` becomes group
    normalisation, with as many groups as divide every width that the config names, 8 at most. A
    network that is not told its `norm` comes back as it is; where it has batch
    normalisation of its own, hospitals refuse it.
    """
    norm = network.get("norm")
    kind = norm[0] if isinstance(norm, list | tuple) and norm else norm
    private = protection.kind is UpdateProtection.DIFFERENTIAL_PRIVACY
    if private and str(kind).lower() == "batch":
        return {**network, "norm": ["group", {"num_groups": _groups(network)}]}
    return dict(network)


def _groups(network: Mapping[str, Any]) -> int:
    named = [network.get(name) for name in WIDTHS]
    each = [width for one in named for width in (one if isinstance(one, list | tuple) else [one])]
    return math.gcd(MOST_GROUPS, *(width for width in each if isinstance(width, int)))
