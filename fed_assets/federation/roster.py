"""One roster: the hospitals, their data, the recipe and the limits of a federation."""

from __future__ import annotations

import keyword
from collections import Counter
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from fed_assets.errors import RosterError
from fed_assets.federation.automation import Automation, Drift
from fed_assets.federation.averaging import Averaging
from fed_assets.federation.azure_ml import AzureML, require_own_images, require_own_places
from fed_assets.federation.data_sources import DATA_FOLDER, Entry, Seed, Source
from fed_assets.federation.learning import (
    Learning,
    PrivateLearning,
    PrivateRecipe,
    Recipe,
    learning_under,
)
from fed_assets.federation.promotion import Promotion
from fed_assets.federation.roster_complaints import explained
from fed_assets.sandboxes.protection import Protection
from fed_assets.sandboxes.yaml_file import read_entries

HOSPITAL_ID = r"^[a-z][a-z0-9_]*$"
# These names mean something else in the store, in NVFlare, in the asset graph or in Dagster.
RESERVED_IDS = frozenset(
    {"coordinator", "server", "localhost", "admin", "common", "federation", "sandboxes"}
    | {"context", "conf", "config", "meta", "arg_dict", "dict", "input_arg_dict"}
    | {"output_arg_dict", "int", "str", "float", "bool", "input", "output", "type"}
    | set(keyword.kwlist)
)


class Share(Entry):
    """How hospitals without images of their own share out the roster's public set."""

    how: Literal["dirichlet", "quantity", "iid"] = "dirichlet"
    alpha: float = Field(default=0.5, gt=0)
    seed: Seed = 0


class Data(Entry):
    """The public set, how it is shared out, and what every hospital's images are turned into."""

    source: Source
    share: Share = Share()
    image_size: int = Field(default=28, ge=8, le=1024)
    classes: tuple[str, ...] | None = None
    split_fractions: dict[Literal["train", "validation", "test"], float] = Field(
        default={"train": 0.85, "validation": 0.05, "test": 0.10}
    )
    expectations: dict[str, float] = Field(default={})
    common_test: bool = True

    @model_validator(mode="after")
    def _fractions_add_up(self) -> Data:
        fractions = self.split_fractions
        if set(fractions) != {"train", "validation", "test"} or min(fractions.values()) < 0:
            raise ValueError("split_fractions needs train, validation and test, none below 0")
        if abs(sum(fractions.values()) - 1) > 1e-6 or fractions["train"] == 0:
            raise ValueError("split_fractions must add up to 1, with some of it train")
        return self

    @model_validator(mode="after")
    def _classes_are_distinct(self) -> Data:
        if self.classes is not None and not len(set(self.classes)) == len(self.classes) >= 2:
            raise ValueError("classes needs two or more names, each once")
        return self


class Hospital(Entry):
    """One participant. Its NVFlare site bears its id.

    With `azure_ml` its tasks and its rounds are jobs there, and not on this machine. `remote`
    says that it is on a host of its own, where `images` of its own lie, or where it takes its
    `share` of the public set; where on that host, the host alone knows.
    """

    id: str = Field(pattern=HOSPITAL_ID, max_length=40)
    name: str
    region: str = ""
    owner: str = Field(default="", pattern=r"^(team:[a-z0-9_.-]+|[^@\s]+@[^@\s]+)?$")
    source: Source | None = None
    azure_ml: AzureML | None = None
    remote: Literal["images", "share"] | None = None

    @model_validator(mode="after")
    def _host_knows_where_images_are(self) -> Hospital:
        if self.remote and self.source is not None:
            raise ValueError("a remote hospital's own host says where its images are: no source")
        if self.remote and self.azure_ml is not None:
            raise ValueError("a hospital has one machine: either a remote host, or one in Azure ML")
        return self

    @model_validator(mode="after")
    def _id_is_free(self) -> Hospital:
        if self.id in RESERVED_IDS:
            raise ValueError(f"the id {self.id} is reserved")
        if self.azure_ml is not None:
            require_own_images(self.azure_ml, self.source)
        return self


class Limits(Entry):
    """Ports and hard time limits of the federation's processes.

    `door` is the address at which hospitals on hosts of their own call, `host:port`.
    """

    door: str = Field(default="", pattern=r"^([^\s:]+:[0-9]{1,5}|\[[0-9a-fA-F:]+\]:[0-9]{1,5})?$")
    port: int = Field(default=0, ge=0, le=65535)
    start_timeout_seconds: float = Field(default=120, gt=0)
    round_timeout_seconds: float = Field(default=600, gt=0)
    total_timeout_seconds: float = Field(default=7200, gt=0)
    task_timeout_seconds: float = Field(default=1800, gt=0)

    @field_validator("door")
    @classmethod
    def _door_has_a_port(cls, door: str) -> str:
        if door and not 1 <= int(door.rpartition(":")[2]) <= 65535:
            raise ValueError("its port has to be one of 1 to 65535")
        return door


class Roster(Entry):
    """Who takes part, on which images, with which recipe and which limits.

    `quorum` is the least number of hospitals that a round needs; without one, all are needed.
    """

    title: str
    data: Data
    hospitals: tuple[Hospital, ...] = Field(min_length=1)
    network: dict[str, Any]
    recipe: Recipe = Recipe()
    differential_privacy: PrivateLearning = PrivateLearning()
    aggregation: Averaging | None = None
    rounds: int = Field(default=15, ge=1, le=10_000)
    quorum: int | None = Field(default=None, ge=1)
    seeds: tuple[Seed, ...] = Field(default=(0,), min_length=1)
    threshold: float = Field(default=0.5, gt=0, lt=1)
    promotion: Promotion = Promotion()
    federation: Limits = Limits()
    automation: Automation = Automation()
    drift: Drift = Drift()

    @model_validator(mode="after")
    def _hospitals_are_distinct(self) -> Roster:
        twice = [name for name, n in Counter(h.id for h in self.hospitals).items() if n > 1]
        if twice:
            raise ValueError(f"the hospital {twice[0]} stands in the roster twice")
        if self.quorum is not None and self.quorum > len(self.hospitals):
            raise ValueError(
                f"quorum is {self.quorum}, and there are {len(self.hospitals)} hospitals"
            )
        if self.remote_ids and not self.federation.door:
            raise ValueError(
                f"{self.remote_ids[0]} is remote, and `federation` has no `door` to call at"
            )
        require_own_places({each.id: each.azure_ml for each in self.hospitals if each.azure_ml})
        if "_target_" not in self.network:
            raise ValueError("network needs a `_target_`, such as monai.networks.nets.ResNet")
        return self

    def learning(self, protection: Protection) -> Learning:
        """Returns by what hospitals learn where their updates are protected so."""
        return learning_under(
            protection, Learning(self.network, self.recipe), self.differential_privacy
        )

    @property
    def hospital_ids(self) -> tuple[str, ...]:
        """Returns the hospitals' ids in the roster's order."""
        return tuple(hospital.id for hospital in self.hospitals)

    def here(self) -> tuple[str, ...]:
        """Returns the ids of the hospitals whose machine is the orchestrator's."""
        return tuple(name for name in self.hospital_ids if name not in self.elsewhere_ids)

    @property
    def elsewhere_ids(self) -> tuple[str, ...]:
        """Returns the ids of the hospitals whose machine is another than the orchestrator's."""
        return (*self.remote_ids, *self.azure_ids)

    @property
    def azure_ids(self) -> tuple[str, ...]:
        """Returns the ids of the hospitals whose machine is a compute of Azure ML."""
        return tuple(hospital.id for hospital in self.hospitals if hospital.azure_ml)

    @property
    def remote_ids(self) -> tuple[str, ...]:
        """Returns the ids of the hospitals on hosts of their own."""
        return tuple(hospital.id for hospital in self.hospitals if hospital.remote)

    def sharing(self) -> tuple[str, ...]:
        """Returns the ids of the hospitals that share out the public set."""
        return tuple(
            hospital.id
            for hospital in self.hospitals
            if hospital.source is None and hospital.remote != "images"
        )


def read_roster(path: Path) -> Roster:
    """Returns the roster of a YAML file.

    Relative paths in it start from the file's folder; those that begin with `${FED_ASSETS_DATA}`
    are left as they are.

    Raises:
        RosterError: the file is missing or is not YAML, or an entry is unknown, there twice,
            missing or wrong; the message names the entry, what stands there, and a close known
            name.
    """
    entries = read_entries(
        path, what="The roster", variable="FED_ASSETS_ROSTER", error_class=RosterError
    )
    try:
        roster = Roster.model_validate(entries)
    except ValidationError as error:
        raise explained(error.errors()[0], path, known=_known_keys()) from None
    return _with_absolute_paths(roster, path.resolve().parent)


def _with_absolute_paths(roster: Roster, folder: Path) -> Roster:
    def absolute(source: Any) -> Any:
        path = getattr(source, "path", None)
        if path is None or path.parts[:1] == (DATA_FOLDER,):
            return source
        return source.model_copy(update={"path": folder / path})

    hospitals = tuple(
        hospital.model_copy(update={"source": absolute(hospital.source)})
        for hospital in roster.hospitals
    )
    data = roster.data.model_copy(update={"source": absolute(roster.data.source)})
    return roster.model_copy(update={"hospitals": hospitals, "data": data})


def _known_keys() -> list[str]:
    elsewhere = (Automation, Averaging, Drift, Recipe, PrivateLearning, PrivateRecipe, Promotion)
    entries: list[type[BaseModel]] = [*Entry.__subclasses__(), *elsewhere]
    return sorted({key for entry in entries for key in entry.model_fields})
