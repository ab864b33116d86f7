"""Whose names a hospital's classes bear: its folders' alone, or the roster's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fed_assets.errors import DisclosureRefused
from fed_assets.sandboxes.controls import NAMED_BY_FOLDERS


def require_named_classes(task: object, arguments: Mapping[str, Any], below: int) -> None:
    """Refuses a task that would read images whose classes only the hospital's own folders name.

    A class's name leaves, however few images it has, and a folder may be named after a patient.

    Raises:
        DisclosureRefused: The roster names no classes.
    """
    source = arguments.get("source") if task == "prepare_images" else None
    kind = source.get("kind") if isinstance(source, Mapping) else None
    if below and kind in NAMED_BY_FOLDERS and not arguments.get("classes"):
        raise DisclosureRefused(
            "The names of the hospital's folders would leave it as those of classes",
            where="the roster's `data`",
            seen=f"kind: {kind} without classes",
            cure="Name the classes there, as in `classes: [normal, pneumonia]`; any other folder "
            "then counts as an unknown label",
        )
