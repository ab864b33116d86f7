"""What the environment says, read once and handed on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fed_assets.errors import RunConfigError
from fed_assets.resources.home import Home, StoredOn
from fed_assets.resources.instance_settings import INSTANCE_SETTINGS
from fed_assets.resources.prices import SHIPPED_PRICES
from fed_assets.sandboxes.presets import SHIPPED_CONFIGURABLE

SHIPPED_ROSTER = Path(__file__).parent.parent / "roster.yaml"


@dataclass(frozen=True)
class Settings:
    """Where the home, the roster, the public data, the configurable sandbox and the prices are.

    The home knows whether containers of Azure's storage back it.
    """

    home: Home
    roster: Path = SHIPPED_ROSTER
    data: Path | None = None
    configurable: Path = SHIPPED_CONFIGURABLE
    prices: Path = SHIPPED_PRICES


def settings_from(environment: Mapping[str, str], *, working_directory: Path) -> Settings:
    """Returns the settings of FED_ASSETS_HOME, _STORAGE, _INSTANCE, _ROSTER, _DATA and the rest.

    An empty variable counts as unset. Relative paths start from the working directory.

    Raises:
        RunConfigError: _STORAGE is neither `disk` nor `blob`.
    """

    def path(name: str, default: Path) -> Path:
        value = environment.get(name)
        return working_directory / value if value else default

    data = environment.get("FED_ASSETS_DATA")
    return Settings(
        home=Home(
            path("FED_ASSETS_HOME", working_directory / ".fed_assets"),
            _stored_on(environment.get("FED_ASSETS_STORAGE") or StoredOn.DISK),
            path("FED_ASSETS_INSTANCE", INSTANCE_SETTINGS),
        ),
        roster=path("FED_ASSETS_ROSTER", SHIPPED_ROSTER),
        data=working_directory / data if data else None,
        configurable=path("FED_ASSETS_SANDBOX", SHIPPED_CONFIGURABLE),
        prices=path("FED_ASSETS_PRICES", SHIPPED_PRICES),
    )


def _stored_on(value: str) -> StoredOn:
    if value not in set(StoredOn):
        raise RunConfigError(
            "There is no such place to keep what lasts",
            where="FED_ASSETS_STORAGE",
            seen=value,
            cure=f"Say {' or '.join(StoredOn)}",
        )
    return StoredOn(value)
