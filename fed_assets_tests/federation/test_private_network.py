from __future__ import annotations

from typing import Any

import pytest

from fed_assets.federation.private_network import network_under
from fed_assets.sandboxes.controls import UpdateProtection
from fed_assets.sandboxes.protection import Protection

PRIVATE = Protection(
    kind=UpdateProtection.DIFFERENTIAL_PRIVACY, epsilon=8.0, delta=1e-5, max_grad_norm=1.0
)
NETWORK: dict[str, Any] = {"_target_": "monai.networks.nets.ResNet", "layers": [1, 1, 1, 1]}


@pytest.mark.parametrize("norm", ["batch", "BATCH", ["batch", {"affine": False}]])
def test_batch_normalisation_gives_way_where_training_is_private(norm: Any) -> None:
    network = {**NETWORK, "norm": norm}
    grouped = {**NETWORK, "norm": ["group", {"num_groups": 8}]}
    assert network_under(PRIVATE, network) == grouped
    assert network_under(Protection(), network) == network


def test_there_are_no_more_groups_than_divide_every_width() -> None:
    narrow = network_under(PRIVATE, {**NETWORK, "norm": "batch", "block_inplanes": [4, 8, 12, 16]})
    assert narrow["norm"] == ["group", {"num_groups": 4}]


@pytest.mark.parametrize("said", [{}, {"norm": "instance"}, {"norm": ["group", {"num_groups": 4}]}])
def test_every_other_network_stays_as_the_roster_says(said: dict[str, Any]) -> None:
    assert network_under(PRIVATE, {**NETWORK, **said}) == {**NETWORK, **said}
