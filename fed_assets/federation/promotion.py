"""When a new model may take the champion's place: the roster's `promotion`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Promotion(BaseModel):
    """How much worse than the champion a model may be, and what else it has to show.

    `margin` is of all images, on the common test set; `hospital_margin` of each hospital's own,
    which are few, so it is the wider one. `least_youden` is the least that sensitivity +
    specificity - 1 (Youden 1950, Cancer 3:32) has to be on the common test set at the threshold
    that is served; 0 is that of a model which calls all images alike. `confidence` is of the
    intervals that are told of both.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    metric: Literal["auroc"] = "auroc"
    margin: float = Field(default=0.01, ge=0, le=0.5)
    hospital_margin: float = Field(default=0.05, ge=0, le=0.5)
    least_youden: float = Field(default=0.1, ge=0, le=1)
    confidence: float = Field(default=0.95, ge=0.5, le=0.999)
    require_posture: bool = True

    @model_validator(mode="after")
    def _few_images_get_more_room(self) -> Promotion:
        if self.hospital_margin < self.margin:
            raise ValueError(
                f"hospital_margin is {self.hospital_margin:g} and margin {self.margin:g}: a "
                "hospital has fewer images than all together, so its figures waver more; give "
                "hospital_margin no less than margin"
            )
        return self
