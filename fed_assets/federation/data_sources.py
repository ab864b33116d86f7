"""Where images come from, as a roster says it: a public set, a folder, DICOM files, or phantoms."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

# A path may begin with this; it stands for the folder that the environment variable names.
DATA_FOLDER = "${FED_ASSETS_DATA}"
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class Entry(BaseModel):
    """Unknown keys are refused: a typo must not turn into a default."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class MedMnistSource(Entry):
    """A MedMNIST npz file: by `dataset`, which `fed-assets data fetch` knows, or by `path`."""

    kind: Literal["medmnist"]
    dataset: str | None = None
    path: Path | None = None
    otherwise: Literal["phantom"] | None = None

    @model_validator(mode="after")
    def _is_found_one_way(self) -> MedMnistSource:
        if (self.dataset is None) == (self.path is None):
            raise ValueError("give either `dataset` or `path`")
        return self


class FolderSource(Entry):
    """A folder `split/class/file` of JPEG or PNG images."""

    kind: Literal["folder"]
    path: Path
    patient_pattern: str | None = None
    patient_scope: Literal["dataset", "split"] = "dataset"
    channels: Literal[1, 3] | None = None

    @model_validator(mode="after")
    def _pattern_names_the_patient(self) -> FolderSource:
        if self.patient_pattern is not None:
            try:
                groups = re.compile(self.patient_pattern).groupindex
            except re.error as error:
                raise ValueError(f"patient_pattern is no regular expression: {error}") from None
            if "patient" not in groups:
                raise ValueError("patient_pattern needs a group named patient, (?P<patient>…)")
        return self


class DicomSource(Entry):
    """A folder `split/class/file` of DICOM images."""

    kind: Literal["dicom"]
    path: Path


class PhantomSource(Entry):
    """Synthetic chest X-rays, made where they are needed."""

    kind: Literal["phantom"]
    images: int = Field(default=5232, ge=1)
    test_images: int = Field(default=624, ge=0)
    size: int = Field(default=28, ge=8, le=1024)
    channels: Literal[1, 3] = 1
    classes: int = Field(default=2, ge=2, le=100)
    seed: Seed = 0


Source = Annotated[
    MedMnistSource | FolderSource | DicomSource | PhantomSource, Field(discriminator="kind")
]
