"""What a comparison is reckoned with, beside what was measured."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fed_assets.comparison.draws import CONCENTRATION
from fed_assets.errors import ConfigurationError

DRAWS = 2000
FEWEST_DRAWS = 100  # of fewer, whole percents say nothing


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a comparison was reckoned with.

    Attributes:
        seed: of all draws.
        draws: how many weights and measurements are drawn.
        concentration: of the drawn weights about a profile's (`draws.CONCENTRATION`).
        allow_unaudited: whether a sandbox of which no audit was made may win.

    Raises:
        ConfigurationError: a number cannot be used.
    """

    seed: int = 0
    draws: int = DRAWS
    concentration: float = CONCENTRATION
    allow_unaudited: bool = False

    def __post_init__(self) -> None:
        """Refuses what could not be drawn."""
        if self.seed < 0:
            raise ConfigurationError("The seed of a comparison is from 0 on", seen=str(self.seed))
        if self.draws < FEWEST_DRAWS:
            raise ConfigurationError(
                f"A comparison takes {FEWEST_DRAWS} draws or more", seen=str(self.draws)
            )
        if not (math.isfinite(self.concentration) and self.concentration > 0):
            raise ConfigurationError(
                "The concentration of drawn weights is a number above 0",
                seen=str(self.concentration),
                cure=f"Write how near they stay to the profile, such as {CONCENTRATION:g}.",
            )
