"""What a hospital lets its own machine do: a YAML file that only this machine reads.

accepts: [eyes_off, confidential_vm]            # sandboxes; whatever else is asked for is refused
source: {kind: dicom, path: /data/st_mary}      # as in a roster; left out where the hospital
# takes its share of the public set
fingerprint: 3f0c…      # of the authority whose kits it takes, as its keeper told it by another way
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, TypeAdapter, ValidationError, field_validator

from fed_assets.errors import HostRefused, RunConfigError
from fed_assets.federation.data_sources import Entry, Source
from fed_assets.resources.settings import Settings
from fed_assets.resources.source_location import locate_source, source_paths
from fed_assets.sandboxes.presets import SANDBOX_NAMES, find_sandbox
from fed_assets.sandboxes.sandbox import Sandbox
from fed_assets.sandboxes.yaml_file import read_entries

# What the orchestrator may ask for: none of them takes a path of its own, or writes outside the
# store. Keys, approvals and the outbox log are for commands on this machine alone.
TASKS = frozenset(
    {
        *("prepare_images", "validate_images", "look_at_source", "compare_images"),
        *("contact_sheet", "evaluate", "compare_models", "choose_threshold"),
        *("check_budget", "show_budget", "clear_away"),
    }
)
WITH_SOURCE = frozenset({"prepare_images", "look_at_source"})
# What asks the hospital's privacy budget first: by how this machine knows that it is protected.
WITH_BUDGET = frozenset({"prepare_images", "check_budget"})
# Arguments that name a file: only this machine puts them in.
PATHS = ("weights", "other_weights", "path", "folder", "stores", "initial")


class HostSettings(Entry):
    """What the file says."""

    accepts: tuple[str, ...] = Field(min_length=1)
    source: Source | None = None
    fingerprint: str = ""

    @field_validator("accepts")
    @classmethod
    def _are_sandboxes(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in SANDBOX_NAMES:
                raise ValueError(f"{name} is no sandbox; there are {', '.join(SANDBOX_NAMES)}")
        return names


def read_host_settings(path: Path) -> HostSettings:
    """Returns the settings of a file; relative paths in it start from its folder.

    Raises:
        RunConfigError: It is missing, is not YAML, or an entry is unknown, missing or wrong.
    """
    entries = read_entries(
        path, what="The hospital's settings", variable="--settings", error_class=RunConfigError
    )
    try:
        settings = HostSettings.model_validate(entries)
    except ValidationError as error:
        first = error.errors()[0]
        raise RunConfigError(
            "The hospital's settings cannot be used",
            where=f"{path}: {'.'.join(map(str, first['loc'])) or 'its entries'}",
            seen=first["msg"],
            cure="Write `accepts: [SANDBOX, ...]`, and a `source` as in a roster where the images "
            "are the hospital's own",
        ) from None
    source = settings.source
    where = getattr(source, "path", None)
    if source is not None and where is not None and not where.parts[0].startswith("$"):
        source = source.model_copy(update={"path": path.resolve().parent / where})
    return settings.model_copy(update={"source": source})


def require_accepted(
    settings: HostSettings, asked: Mapping[str, Any], configurable: Path
) -> Sandbox:
    """Returns the sandbox that something is asked in, as this machine knows it.

    Args:
        settings: What the hospital accepts.
        asked: The sandbox as whoever asks knows it.
        configurable: This machine's own file of the configurable one.

    Raises:
        HostRefused: The hospital does not accept it, or both know it differently.
    """
    name = str(asked.get("name"))
    if name not in settings.accepts:
        raise HostRefused(
            f"This hospital does not accept the sandbox {name}",
            seen=f"it accepts {', '.join(settings.accepts)}",
        )
    own = find_sandbox(name, configurable=configurable)
    here = own.model_dump(mode="json")
    if differ := sorted(key for key in {*here, *asked} if here.get(key) != asked.get(key)):
        raise HostRefused(
            f"The sandbox {name} is another one here",
            seen="; ".join(
                f"{key}: {here.get(key)} here, {asked.get(key)} asked" for key in differ
            ),
            cure="Agree on one file with whoever runs the federation, and set "
            "FED_ASSETS_SANDBOX to it on both sides",
        )
    return own


def own_arguments(
    settings: HostSettings,
    task: str,
    arguments: Mapping[str, Any],
    chosen: Settings,
    sandbox: Sandbox | None = None,
) -> dict[str, Any]:
    """Returns a task's arguments with where this machine's images are, and with no path besides.

    Args:
        settings: What the hospital lets happen.
        task: What is asked.
        arguments: As they came.
        chosen: Where this machine's home and data are.
        sandbox: In which it is asked, as this machine knows it; None where the hospital itself
            looks at its images, and asks no budget.

    Raises:
        HostRefused: The task is none that may be asked for from elsewhere, names a file, or asks
            for images that are not here.
        DataError: The public set is not on this machine, or is not the official file.
    """
    if task not in TASKS:
        raise HostRefused("Whoever runs the federation may not ask for that here", seen=task[:40])
    if named := [name for name in PATHS if name in arguments]:
        raise HostRefused("A path of this machine was named from elsewhere", seen=", ".join(named))
    if sandbox is not None and task in WITH_BUDGET:
        arguments = {**arguments, "update_protection": sandbox.protection.as_record()}
    if task not in WITH_SOURCE:
        return dict(arguments)
    source = settings.source or _public(arguments.get("source"))
    located, classes = locate_source(source, data=chosen.data, cache=chosen.home.cache)
    wanted = arguments.get("classes") or list(classes or ()) or None
    share = arguments.get("share") if settings.source is None else None
    return {**arguments, "source": located, "classes": wanted, "share": share}


def own_paths(settings: HostSettings, chosen: Settings) -> list[str]:
    """Returns what a process of the hospital has to read: where its images are."""
    if settings.source is None:
        return [str(folder) for folder in (chosen.data, chosen.home.cache) if folder is not None]
    return source_paths(settings.source, data=chosen.data, cache=chosen.home.cache)


def _public(said: Any) -> Source:
    try:
        source: Source = TypeAdapter(Source).validate_python(said)
    except ValidationError:
        source = None  # type: ignore[assignment]
    if source is None or getattr(source, "path", None) is not None:
        raise HostRefused(
            "This machine was not told where the hospital's images are",
            cure="Name them by `source` in the hospital's settings, or have the roster share out a "
            "public set by its name",
        )
    return source
