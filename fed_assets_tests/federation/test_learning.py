from __future__ import annotations

from typing import Any

import pytest

from fed_assets.errors import RunConfigError
from fed_assets.federation.learning import (
    Learning,
    PrivateLearning,
    PrivateRecipe,
    Recipe,
    learning_under,
)
from fed_assets.hospital import recipe as carried_out
from fed_assets.sandboxes.controls import UpdateProtection
from fed_assets.sandboxes.protection import Protection

PRIVATE = Protection(
    kind=UpdateProtection.DIFFERENTIAL_PRIVACY, epsilon=8.0, delta=1e-5, max_grad_norm=1.0
)
NETWORK: dict[str, Any] = {"_target_": "monai.networks.nets.ResNet", "layers": [1, 1, 1, 1]}


def network_under(protection: Protection, network: dict[str, Any]) -> Any:
    return learning_under(protection, Learning(network, Recipe()), PrivateLearning()).network


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


def test_private_training_has_a_network_and_a_recipe_of_its_own() -> None:
    small = {"_target_": "monai.networks.nets.Classifier", "norm": "batch"}
    usual = Learning({**NETWORK, "norm": "batch"}, Recipe(batch_size=8))
    own = PrivateLearning(network=small, recipe=PrivateRecipe(sample_rate=0.1))
    assert learning_under(Protection(), usual, own) == usual
    private = learning_under(PRIVATE, usual, own)
    assert private.network == {**small, "norm": ["group", {"num_groups": 8}]}
    assert private.recipe == PrivateRecipe(sample_rate=0.1)
    assert (usual.entry, private.entry) == ("network", "differential_privacy.network")
    assert learning_under(PRIVATE, usual, PrivateLearning()).entry == "network"


def test_what_a_run_changes_is_checked_by_the_recipe_that_it_changes() -> None:
    learning = Learning(NETWORK, Recipe()).changed({"local_epochs": 3})
    assert learning.recipe == Recipe(local_epochs=3)
    assert Learning(NETWORK, PrivateRecipe()).changed({"learning_rate": 3.0})
    with pytest.raises(RunConfigError, match=r"learning_rate.*Seen: 3"):
        Learning(NETWORK, Recipe()).changed({"learning_rate": 3.0})
    with pytest.raises(RunConfigError, match="local_epochs"):
        Learning(NETWORK, Recipe()).changed({"local_epochs": 101})


@pytest.mark.parametrize(
    ("said", "read"),
    [(Recipe, carried_out.Recipe), (PrivateRecipe, carried_out.PrivateRecipe)],
)
def test_hospitals_read_a_roster_s_recipe_with_the_same_defaults(said: Any, read: Any) -> None:
    assert read.of(said().model_dump()) == read()
