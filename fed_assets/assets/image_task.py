"""What a hospital is asked to make of its images, from the roster and this machine's data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fed_assets.federation.roster import Hospital, Roster
from fed_assets.resources.source_location import locate_source, source_elsewhere


def image_arguments(
    roster: Roster, hospital: Hospital, *, data: Path | None, cache: Path
) -> dict[str, Any]:
    """Returns the arguments of a hospital's task `prepare_images`.

    Raises:
        DataError: the named public set is not on this machine, or is not the official file.
    """
    sharing = roster.sharing()
    share = None
    if hospital.source is None:
        share = roster.data.share.model_dump() | {
            "index": sharing.index(hospital.id),
            "of": len(sharing),
        }
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
    return {
        "source": specification,
        "classes": list(roster.data.classes or classes or ()) or None,
        "image_size": roster.data.image_size,
        "split_fractions": dict(roster.data.split_fractions),
        "seed": roster.data.share.seed,
    }
