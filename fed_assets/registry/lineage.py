"""Which data made a model, and which models contain a hospital's data: questions on records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fed_assets.errors import RunConfigError
from fed_assets.sandboxes.presets import SANDBOX_NAMES

RUN_DIGITS = 8  # as runs are named elsewhere
DIGEST_DIGITS = 12
LEAST_DIGITS = 4  # fewer of an id or a digest name too many by chance


@dataclass(frozen=True, kw_only=True)
class Model:
    """One model that a run came to, and what became of it.

    Attributes:
        sandbox: The sandbox it was trained in.
        run_id: Dagster's id of its run.
        version: Its number in the registry; None where it was not registered.
        lineage: See `lineage_record`; None where the run left none.
        participants: Who took part by the version's own record, for want of a lineage.
        states: What it is: `champion`, `challenger`, `retired`, `deployed`, `refused`.
    """

    sandbox: str
    run_id: str
    version: int | None = None
    lineage: Mapping[str, Any] | None = None
    participants: tuple[str, ...] = ()
    states: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Returns what a person calls it by, and `find_model` finds."""
        return (
            self.run_id[:RUN_DIGITS] if self.version is None else f"{self.sandbox}@{self.version}"
        )

    @property
    def hospitals(self) -> Mapping[str, Mapping[str, Any]]:
        """Returns what each hospital gave to it: see `lineage_record`."""
        if self.lineage is not None:
            found: Mapping[str, Mapping[str, Any]] = self.lineage["hospitals"]
            return found
        unknown: dict[str, Any] = {"data_digests": [], "rounds": None, "chose_threshold": False}
        return dict.fromkeys(self.participants, unknown)

    @property
    def created(self) -> str:
        """Returns when its report was made; nothing where no lineage says it."""
        return self.lineage["created"] if self.lineage else ""

    def as_record(self) -> dict[str, Any]:
        """Returns what it is now, and all that its run recorded, as JSON-ready values."""
        return {
            "model": self.name,
            "sandbox": self.sandbox,
            "version": self.version,
            "run_id": self.run_id,
            "states": list(self.states),
            "participants": [*self.hospitals],
            "lineage": self.lineage,
        }


@dataclass(frozen=True, kw_only=True)
class Part:
    """What one hospital is to one model.

    Attributes:
        model: The model.
        hospital: The hospital's id.
        data_digests: Digests of the images that it trained on; none where no lineage says it.
        how: What came into the model, as a phrase.
    """

    model: Model
    hospital: str
    data_digests: tuple[str, ...]
    how: str

    def as_record(self) -> dict[str, Any]:
        """Returns it, and what the model is now, as JSON-ready values."""
        return {
            "hospital": self.hospital,
            "data_digests": list(self.data_digests),
            "how": self.how,
            "model": self.model.name,
            "sandbox": self.model.sandbox,
            "version": self.model.version,
            "run_id": self.model.run_id,
            "created": self.model.created,
            "states": list(self.model.states),
        }


def data_of(model: Model) -> tuple[Part, ...]:
    """Returns each hospital whose data the model contains, and how."""
    return tuple(
        Part(model=model, hospital=name, data_digests=tuple(gave["data_digests"]), how=how)
        for name, gave in model.hospitals.items()
        if (how := _how(gave))
    )


def models_with(
    models: Iterable[Model], hospital: str, data_digest: str | None = None
) -> tuple[Part, ...]:
    """Returns every model that contains a hospital's data, in the order of the models.

    Args:
        models: The models to look through.
        hospital: The hospital's id.
        data_digest: The first characters of the digest of one version of its data; any if None.
            A model of which no digest is known is counted in: it may contain that version.
    """
    return tuple(
        part
        for model in models
        for part in data_of(model)
        if part.hospital == hospital and _is_of(part.data_digests, data_digest)
    )


def hospital_versions(models: Iterable[Model]) -> dict[str, dict[str, tuple[str, ...]]]:
    """Returns, by hospital and version of its data (its digest), the names of models with it."""
    found: dict[str, dict[str, tuple[str, ...]]] = {}
    for model in models:
        for part in data_of(model):
            versions = found.setdefault(part.hospital, {})
            for digest in part.data_digests:
                versions[digest] = (*versions.get(digest, ()), model.name)
    return found


def find_model(models: Sequence[Model], name: str) -> Model:
    """Returns the model of a name: `SANDBOX@VERSION`, or the first characters of its run's id.

    Raises:
        RunConfigError: There is none, or there are several.
    """
    sandbox, at, version = name.partition("@")
    if at:
        found = [each for each in models if each.name in (name, f"{sandbox}@{version.lstrip('v')}")]
    else:
        long = len(name) >= LEAST_DIGITS
        found = [each for each in models if long and each.run_id.startswith(name)]
    if len(found) == 1:
        return found[0]
    alike = [each for each in models if each.sandbox == sandbox] if at else []
    names = [each.name for each in found or alike or models]
    raise RunConfigError(
        f"{len(found)} models are named {name}" if found else f"There is no model {name}",
        seen=f"{len(models)} models" if names else "no run has left a lineage in this home yet",
        cure=f"Choose one of {', '.join(names)}"
        if names
        else f"Run `fed-assets run {sandbox if sandbox in SANDBOX_NAMES else 'minimal'}` first",
    )


def find_hospital(models: Iterable[Model], name: str) -> tuple[str, str | None]:
    """Returns the hospital, and the whole digest of a version of its data, that a name means.

    Args:
        models: The models to look through.
        name: `HOSPITAL`, or `HOSPITAL@DIGEST` with the first characters of the digest.

    Raises:
        RunConfigError: No model contains data of such a hospital, or of such a version.
    """
    hospital, at, digest = name.partition("@")
    known = hospital_versions(models)
    if hospital not in known:
        raise RunConfigError(
            f"No model contains data of a hospital {hospital}",
            cure=f"Choose one of {', '.join(sorted(known))}"
            if known
            else "Run `fed-assets run minimal` first: no run has left a lineage in this home yet",
        )
    if not at:
        return hospital, None
    versions = [each for each in known[hospital] if each.startswith(digest)]
    if len(digest) < LEAST_DIGITS or len(versions) != 1:
        named = ", ".join(f"{hospital}@{each[:DIGEST_DIGITS]}" for each in known[hospital])
        raise RunConfigError(
            f"No model contains one version {digest or 'without a digest'} of {hospital}'s data",
            seen=f"{len(versions)} versions begin so" if digest else "",
            cure=f"Choose one of {named}" if named else f"Ask for {hospital} alone",
        )
    return hospital, versions[0]


def _how(gave: Mapping[str, Any]) -> str:
    """Returns what came of a hospital into a model; nothing where it gave nothing."""
    if gave["rounds"] is None:
        return "took part; its rounds are not known"
    numbers = gave["rounds"]
    if numbers:
        said = f"{numbers[0]}-{numbers[-1]}" if len(numbers) > 1 else str(numbers[0])
        if len(numbers) not in (1, numbers[-1] - numbers[0] + 1):
            said = ", ".join(map(str, numbers))
        return f"trained in round{'s' if len(numbers) > 1 else ''} {said}"
    if gave["chose_threshold"]:
        return "trained in no round; its validation images may have helped to choose the threshold"
    return ""


def _is_of(digests: Sequence[str], wanted: str | None) -> bool:
    return wanted is None or not digests or any(each.startswith(wanted) for each in digests)
