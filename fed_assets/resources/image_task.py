"""What a hospital is asked to make of its images, from the roster and this machine's data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fed_assets.federation.data_sources import Source
from fed_assets.federation.roster import Hospital, Roster
from fed_assets.resources.source_location import locate_source, source_elsewhere


def image_arguments(
    roster: Roster, hospital: Hospital, *, data: Path | None, cache: Path
) -> dict[str, Any]:
    """Returns the arguments of a hospital's task `prepare_images`.

    Where its images are, a hospital on a host of its own knows alone: it gets no path.

    Raises:
        DataError: the named public set is not on this machine, or is not the official file.
    """
    sharing = roster.sharing()
    share = None
    if hospital.id in sharing:
        share = roster.data.share.model_dump() | {
            "index": sharing.index(hospital.id),
            "of": len(sharing),
        }
    if hospital.remote:
        return _terms(roster, _sent(roster.data.source), roster.data.classes) | {"share": share}
    if hospital.azure_ml is not None and hospital.source is not None:
        located = source_elsewhere(hospital.source)
    else:
        source = hospital.source or roster.data.source
        located = locate_source(source, data=data, cache=cache)
    return _arguments(roster, located) | {"share": share}


def common_test_arguments(roster: Roster, *, data: Path | None, cache: Path) -> dict[str, Any]:
    """Returns the arguments with which the coordinator prepares the common test set.

    Raises:
        DataError: as for `image_arguments`.
    """
    arguments = _arguments(roster, locate_source(roster.data.source, data=data, cache=cache))
    return arguments | {"share": None, "only_split": "test"}


def _arguments(
    roster: Roster, located: tuple[dict[str, Any], tuple[str, ...] | None]
) -> dict[str, Any]:
    specification, classes = located
    return _terms(roster, specification, roster.data.classes or classes)


def _sent(source: Source) -> dict[str, Any] | None:
    """Returns the public set as another machine can find it: by its name, not by a path here."""
    said = source.model_dump(mode="json")
    return None if said.get("path") else said


def _terms(
    roster: Roster, source: dict[str, Any] | None, classes: Sequence[str] | None
) -> dict[str, Any]:
    return {
        "source": source,
        "classes": list(classes or ()) or None,
        "image_size": roster.data.image_size,
        "split_fractions": dict(roster.data.split_fractions),
        "seed": roster.data.share.seed,
    }
