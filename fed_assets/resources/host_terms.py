"""What a hospital on a host of its own is told of the data that are wanted of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fed_assets.errors import FedAssetsError
from fed_assets.federation.roster import read_roster
from fed_assets.resources.image_task import image_arguments
from fed_assets.resources.settings import Settings


def terms_for(chosen: Settings) -> Callable[[str], Mapping[str, Any]]:
    """Returns what reads the terms of a hospital's data from the roster, as it is at the time.

    They are `images`, the arguments of `prepare_images`, and `expectations`; nothing for one that
    is not in the roster, or not on a host of its own, or where the roster cannot be read just now.
    """

    def terms(name: str) -> Mapping[str, Any]:
        try:
            roster = read_roster(chosen.roster)
        except FedAssetsError:
            return {}
        for hospital in roster.hospitals:
            if hospital.id == name and hospital.remote:
                asked = image_arguments(roster, hospital, data=chosen.data, cache=chosen.home.cache)
                return {"images": asked, "expectations": dict(roster.data.expectations)}
        return {}

    return terms
