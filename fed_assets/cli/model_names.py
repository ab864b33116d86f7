"""How commands name a model that a record tells of, and say what is wrong with such records."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console

from fed_assets.cli.saying import say
from fed_assets.registry.lineage import RUN_DIGITS, Model


def named(model: Model) -> str:
    """Returns the name of a version, or else the sandbox, where it is known, and the run."""
    run = f"run {model.run_id[:RUN_DIGITS]}"
    return model.name if model.version else ", ".join(filter(None, [model.sandbox, run]))


def tell_doubts(models: Iterable[Model], errors: Console) -> bool:
    """Says what is wrong with records of models, and whether there was anything."""
    lines = [f"{named(model)}: {doubt}" for model in models for doubt in model.doubts]
    for line in dict.fromkeys(lines):
        say(line, "red", to=errors)
    return bool(lines)
