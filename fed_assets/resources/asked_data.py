"""Which images a run learns from, as the roster asks and this machine has them, without reading."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from fed_assets.errors import FedAssetsError
from fed_assets.federation.data_sources import Source
from fed_assets.federation.roster import Roster
from fed_assets.resources.source_location import locate_source


def asked_data(roster: Roster, *, data: Path | None, cache: Path) -> str | None:
    """Returns a digest of whose images are to be made into what, and how they are shared out.

    Another source, share, size, split or hospital gives another one; so does a public set that is
    here by now where images had to be made up. That a file's content has changed it does not show.

    Args:
        roster: the roster.
        data: the folder that FED_ASSETS_DATA names.
        cache: the folder of fetched data sets.

    Returns:
        It; None where a source is not on this machine, which a run will say.
    """

    def located(source: Source) -> dict[str, Any]:
        found, classes = locate_source(source, data=data, cache=cache)
        if "md5" in found:  # which is what it is, wherever it lies
            found = {name: value for name, value in found.items() if name != "path"}
        return found | {"classes": classes}

    try:
        asked = {
            **roster.data.model_dump(mode="json"),
            "source": located(roster.data.source),
            # In their order, by which the public set is shared out.
            "hospitals": [
                [each.id, None if each.source is None else located(each.source)]
                for each in roster.hospitals
            ],
        }
    except FedAssetsError:
        return None
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
