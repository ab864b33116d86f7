"""How hospitals trained, in words that a reader of a card needs no code for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NAMES = {"augment": "augmentation", "proximal_mu": "proximal term (FedProx)"}
# What each setting does, to follow its value. A switch that is off did nothing.
DOES = {
    "learning_rate": "at the start",
    "local_epochs": "in each round",
    "batch_size": "images in each step",
    "augment": "an image is turned, shifted, scaled and brightened a little each time it is seen",
    "prior_correction": "each hospital allows for how often it has each class",
    "sample_rate": "is how likely each image comes into a step",
}
SCHEDULES = {
    "cosine": "the learning rate falls to zero over all rounds, by a cosine",
    "constant": "the learning rate stays as it is",
}


def recipe_in_words(recipe: Mapping[str, Any]) -> dict[str, str]:
    """Returns each setting of a recipe by a name that is read, with what it does.

    A setting that this version does not know is told with its value alone.

    >>> recipe_in_words({"local_epochs": 2, "augment": False})
    {'local epochs': '2 in each round', 'augmentation': 'no'}
    """
    return {setting_name(name): _told(name, value) for name, value in recipe.items()}


def setting_name(name: str) -> str:
    """Returns what a setting is called."""
    return NAMES.get(name, name.replace("_", " "))


def setting_value(value: Any) -> str:
    """Returns a setting's value, for short.

    >>> setting_value(True), setting_value(0.002), setting_value("cosine")
    ('yes', '0.002', 'cosine')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _told(name: str, value: Any) -> str:
    said = setting_value(value)
    if name == "schedule" and value in SCHEDULES:
        return f"{said} ({SCHEDULES[value]})"
    if name not in DOES or value is False:
        return said
    return f"{said} ({DOES[name]})" if value is True else f"{said} {DOES[name]}"
