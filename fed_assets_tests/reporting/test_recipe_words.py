from __future__ import annotations

import pytest

from fed_assets.federation.learning import PrivateRecipe, Recipe
from fed_assets.reporting.recipe_words import recipe_in_words


@pytest.mark.parametrize("recipe", [Recipe(), PrivateRecipe()])
def test_every_setting_of_a_roster_is_told_without_a_word_of_code(
    recipe: Recipe | PrivateRecipe,
) -> None:
    said = recipe_in_words(recipe.model_dump())
    assert len(said) == len(recipe.model_dump())
    assert not [name for name in said if "_" in name]
    assert not [told for told in said.values() if "True" in told or "False" in told]
    assert (
        said["schedule"] == "cosine (the learning rate falls to zero over all rounds, by a cosine)"
    )
    constant = recipe_in_words({"schedule": "constant"})["schedule"]
    assert constant == "constant (the learning rate stays as it is)"


def test_what_is_off_is_not_told_as_if_it_had_been_done() -> None:
    said = recipe_in_words({"augment": False, "prior_correction": False})
    assert said == {"augmentation": "no", "prior correction": "no"}
