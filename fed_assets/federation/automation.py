"""What of a federation goes on by itself, and what counts as a shift of a hospital's images."""

from __future__ import annotations

from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from fed_assets.sandboxes.presets import SANDBOX_NAMES


def _known_sandbox(name: str) -> str:
    if name not in SANDBOX_NAMES:
        raise ValueError(f"{name} is no sandbox; they are {', '.join(SANDBOX_NAMES)}")
    return name


def _known_timezone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(
            f"{name} is no time zone; write one such as UTC or Europe/Berlin"
        ) from None
    return name


SandboxName = Annotated[str, AfterValidator(_known_sandbox)]


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Automation(_Entry):
    """In which sandboxes new images are taken up, and when models are trained anew.

    Nothing of it runs before it is switched on in Dagster's pages.

    Attributes:
        sandboxes: Those for which hospitals' sources are looked at.
        schedule: When which sandbox trains anew, as cron does it.
        timezone: By whose clock.
        look_every_seconds: How often a hospital's source is looked at; each look is two entries in
            its outbox log.
        settle_seconds: For how long a file has to be as it is, to be held for whole.
        try_again_after_seconds: How long after the end of a run that nobody had started by hand and
            that failed of what may pass it is asked for again; see `automation.failures`.
        fresh_within_days: After how many days without a new model Dagster says that it is stale.
    """

    sandboxes: tuple[SandboxName, ...] = ("minimal",)
    schedule: dict[SandboxName, str] = {}
    timezone: Annotated[str, AfterValidator(_known_timezone)] = "UTC"
    look_every_seconds: int = Field(default=60, ge=5, le=86_400)
    settle_seconds: float = Field(default=5.0, ge=0, le=3600)
    try_again_after_seconds: float = Field(default=900.0, ge=0, le=604_800)
    fresh_within_days: float | None = Field(default=None, gt=0, le=3650)

    @model_validator(mode="after")
    def _sandboxes_are_distinct(self) -> Automation:
        if len(set(self.sandboxes)) != len(self.sandboxes):
            raise ValueError("sandboxes names one of them twice")
        return self


class Drift(_Entry):
    """From where on a hospital's images count as shifted, see `hospital.drift`.

    Attributes:
        p_value: Below it, a difference is no chance.
        intensity: From this Kolmogorov-Smirnov statistic on, one of grey levels is large.
        labels: From this population stability index on, one of classes is large.
        least_images: With fewer images nothing is compared.
    """

    p_value: float = Field(default=0.01, gt=0, lt=1)
    intensity: float = Field(default=0.2, gt=0, le=1)
    labels: float = Field(default=0.1, gt=0)
    least_images: int = Field(default=20, ge=2)
