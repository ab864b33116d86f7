"""What the door has for hospitals' machines: the terms of their data, and kits for single runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from fed_assets.errors import FedAssetsError, KitRefused
from fed_assets.federation.code_version import code_version
from fed_assets.federation.roster import read_roster
from fed_assets.hosts.authority import open_authority
from fed_assets.hosts.issued import Issued
from fed_assets.hosts.kit import make_kit
from fed_assets.resources.image_task import image_arguments
from fed_assets.resources.settings import Settings

# Beyond the time that a machine may wait for its compute: its image is loaded, and it starts.
START_MARGIN = timedelta(hours=1)


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


def kits_for(chosen: Settings) -> Callable[[str], str]:
    """Returns what makes the kit by which a hospital's machine in Azure ML joins one federation.

    It raises KitRefused where the roster has no such hospital, RosterError where that cannot be
    read, and StorageError where the authority or its list cannot be used.
    """

    def kit(name: str) -> str:
        roster, folder = read_roster(chosen.roster), chosen.home.hosts
        machines = {hospital.id: hospital.azure_ml for hospital in roster.hospitals}
        machine = machines.get(name)
        if machine is None:
            raise KitRefused(
                f"The roster has no machine of {name} in Azure ML", where=str(chosen.roster)
            )
        content, certificate = make_kit(
            open_authority(folder),
            name,
            roster.federation.door,
            version=code_version(),
            lifetime=timedelta(seconds=machine.start_timeout_seconds) + START_MARGIN,
        )
        Issued(folder).give_kit(name, certificate.serial_number)
        return content.decode()

    return kit
