from __future__ import annotations

from typing import Any

import pytest

from fed_assets.errors import RunConfigError
from fed_assets.hospital.recipe import PrivateRecipe, Recipe


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"learning_rates": 1e-3}, "learning_rates"),
        ({"learning_rate": 0}, "learning_rate"),
        ({"learning_rate": "fast"}, "learning_rate"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"local_epochs": 0}, "local_epochs"),
        ({"local_epochs": 1.5}, "local_epochs"),
        ({"batch_size": True}, "batch_size"),
        ({"weight_decay": -1}, "weight_decay"),
        ({"augment": 1}, "augment"),
        ({"schedule": "linear"}, "schedule"),
    ],
)
def test_a_recipe_that_cannot_be_used_names_its_key(config: dict[str, Any], named: str) -> None:
    with pytest.raises(RunConfigError, match=rf"recipe\.{named}"):
        Recipe.of(config)


def test_the_cosine_falls_over_all_rounds_and_the_constant_schedule_does_not() -> None:
    recipe = Recipe.of({"learning_rate": 1e-3})
    assert recipe.learning_rate_at(0) == pytest.approx(1e-3)
    assert recipe.learning_rate_at(0.5) == pytest.approx(5e-4)
    assert recipe.learning_rate_at(1) == pytest.approx(0)
    assert Recipe.of({"schedule": "constant"}).learning_rate_at(1) == 2e-3


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"batch_size": 32}, "batch_size"),
        ({"learning_rate": 101}, "learning_rate"),
        ({"sample_rate": 0.0}, "sample_rate"),
        ({"sample_rate": 1.5}, "sample_rate"),
        ({"momentum": 1.0}, "momentum"),
        ({"prior_correction": True}, "prior_correction"),
    ],
)
def test_a_private_recipe_that_cannot_be_used_names_its_key(
    config: dict[str, Any], named: str
) -> None:
    with pytest.raises(RunConfigError, match=rf"recipe\.{named}"):
        PrivateRecipe.of(config)


def test_a_recipe_leaves_out_what_it_need_not_say() -> None:
    assert PrivateRecipe.of({"learning_rate": 5}).momentum == 0.9
    assert Recipe.of({}).batch_size == 32
