"""Which data made a model, and which models contain a hospital's data: questions on records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

RUN_DIGITS = 8  # as runs are named elsewhere
DIGEST_DIGITS = 12
GAVE_NOTHING: Mapping[str, Any] = {"data_digests": [], "rounds": [], "chose_threshold": False}
MEND = (
    "Put the file that was changed back from a backup; until then the version serves nowhere. "
    "Without a backup, train anew: nothing else tells whose data a model contains"
)
UNKNOWN = {**GAVE_NOTHING, "rounds": None}


@dataclass(frozen=True, kw_only=True)
class Model:
    """One model that a run came to, and what became of it.

    Attributes:
        sandbox: The sandbox it was trained in.
        run_id: Dagster's id of its run.
        version: Its number in the registry; None where it was not registered.
        lineage: See `lineage_record`; None where the run left none.
        participants: Who took part by the version's own record.
        tested: Who tested it by that record.
        signed: Who is in it, with the digests of that data, by its signed package.
        states: What it is: `champion`, `challenger`, `retired`, `deployed`, `refused`.
        damage: What is wrong with its records, a sentence each; what they told is wanting above.
    """

    sandbox: str
    run_id: str
    version: int | None = None
    lineage: Mapping[str, Any] | None = None
    participants: tuple[str, ...] = ()
    tested: tuple[str, ...] = ()
    signed: Mapping[str, Sequence[str]] = field(default_factory=dict)
    states: tuple[str, ...] = ()
    damage: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Returns what a person calls it by, and `find_model` finds."""
        return (
            self.run_id[:RUN_DIGITS] if self.version is None else f"{self.sandbox}@{self.version}"
        )

    @property
    def hospitals(self) -> Mapping[str, Mapping[str, Any]]:
        """Returns what each hospital gave to it: see `lineage_record`.

        Whoever any of its records names counts: the signed package, the lineage's hospitals and
        rounds, and the version's own record. Whoever takes a name out of one of them hides nothing
        by it.
        """
        found: dict[str, Mapping[str, Any]] = dict(self._let_in)
        for name in (*self.signed, *self._in_rounds, *self.participants, *self._only_tested):
            if not _how(found.get(name, GAVE_NOTHING)):
                found[name] = UNKNOWN
        for name, digests in self.signed.items():
            known = dict.fromkeys([*found[name]["data_digests"], *digests])
            found[name] = {**found[name], "data_digests": [*known]}
        return found

    @property
    def told(self) -> bool:
        """Returns whether any record tells who took part; else it may contain anybody's data."""
        return bool(self.hospitals)

    @property
    def doubts(self) -> tuple[str, ...]:
        """Returns what is wrong with its records, be it in one of them or between them."""
        return (*self.damage, *self.differences)

    @property
    def differences(self) -> tuple[str, ...]:
        """Returns where its records differ on who took part, which none of them ever should."""
        if self.lineage is None:
            return ()
        which = f"lineage/{self.run_id}.json"
        trained = {name for name, gave in self.lineage["hospitals"].items() if gave["rounds"]}
        records = {
            f"the hospitals in {which}": trained,
            f"the rounds in {which}": {*self._in_rounds},
        }
        if self.version is not None:
            told = f"models/{self.sandbox}/v{self.version}/version.json"
            records[told] = {*self.participants}
        everybody = dict.fromkeys(name for names in records.values() for name in sorted(names))
        unsaid = [
            f"{name} took part, which {' and '.join(silent)} "
            f"{'do' if silent[1:] else 'does'} not tell"
            for name in everybody
            if (silent := [what for what, names in records.items() if name not in names])
        ]
        unsaid += [f"{name} tested it, which {which} does not tell" for name in self._only_tested]
        return tuple(f"{each}. {MEND}" for each in unsaid)

    @property
    def _let_in(self) -> Mapping[str, Mapping[str, Any]]:
        return self.lineage["hospitals"] if self.lineage else {}

    @property
    def _only_tested(self) -> tuple[str, ...]:
        """Returns who tested it though nothing else tells that it was let in, unless it is signed.

        Who is let in and takes part in no round tests it too, and is not in it.
        """
        known = {*self._let_in, *self.participants}
        return () if self.signed else tuple(name for name in self.tested if name not in known)

    @property
    def _in_rounds(self) -> tuple[str, ...]:
        rounds = self.lineage["rounds"] if self.lineage else ()
        return tuple(dict.fromkeys(name for each in rounds for name in each["participants"]))

    @property
    def standing(self) -> str:
        """Returns what it is now, in words."""
        return ", ".join(self.states) or (
            "not registered" if self.version is None else "registered"
        )

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
            "damage": [*self.doubts],
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
            "damage": [*self.model.doubts],
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
            A model of which no digest is known is counted in: it may contain that version. So is
            one of which no record tells who took part.
    """
    return tuple(
        part
        for model in models
        for part in (data_of(model) if model.told else (_untold(model, hospital),))
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


def _untold(model: Model, hospital: str) -> Part:
    how = "may have taken part: no record tells who did"
    return Part(model=model, hospital=hospital, data_digests=(), how=how)


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
