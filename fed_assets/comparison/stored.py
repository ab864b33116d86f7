"""Which of the stored measurements can be compared: whole ones, and of one and the same data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from fed_assets.comparison.forms import require_form
from fed_assets.comparison.measurements import Record, require_readable
from fed_assets.comparison.references import ALONE, METRICS, POOLED
from fed_assets.comparison.stored_forms import (
    ATTACKED,
    ATTACKS,
    AUDIT,
    FIGURE,
    LADDERS,
    MEASUREMENT,
    REFERENCES,
)
from fed_assets.errors import MeasurementError, StorageError
from fed_assets.sandboxes.presets import SANDBOX_NAMES

CURE = "Remove {path}; `fed-assets compare` measures again what is asked for."
AUDIT_CURE = "Run `fed-assets posture {sandbox}` again."
REFERENCES_CURE = "Materialize reference_models again."
MEMBERSHIP_CURE = "Materialize membership_inference again: it attacks anew what is damaged."
MEMBERSHIP = "The value of the asset membership_inference"
# What follows from an audit's controls and probes.
FOLLOWS = ("promised", "withstood", *LADDERS, "shortfalls", "keeps_its_word")
OTHER_DATA = {"part": "data"}


def require_measured(record: dict[str, Any], path: Path) -> dict[str, Any]:
    """Returns a stored measurement, once all that stands in it can be what it stands for.

    Args:
        record: it.
        path: its file, `<sandbox>/seed_<number>.json`.

    Raises:
        StorageError: it is damaged; the file is named.
    """
    with damage_of("What was measured", path, CURE.format(path=path)):
        require_form(record, MEASUREMENT)
        require_readable(record)
        if (record["sandbox"], f"seed_{record['seed']}") != (path.parent.name, path.stem):
            whose = f"{record['sandbox']}, seed {record['seed']}"
            raise MeasurementError("It is another run's", where=whose)
    return record


def require_audited(
    posture: dict[str, Any],
    path: Path,
    sandbox: str,
    judged_again: Callable[[Mapping[str, Any]], Mapping[str, Any]],
) -> dict[str, Any]:
    """Returns what an audit showed, once it says of itself no more than its probes show.

    Args:
        posture: it.
        path: its file.
        sandbox: whose it is.
        judged_again: returns the record that its controls and probes come to.

    Raises:
        StorageError: it is damaged; the file is named.
    """
    with damage_of("What an audit showed", path, AUDIT_CURE.format(sandbox=sandbox)):
        require_form(posture, AUDIT)
        if posture["sandbox"] != sandbox:
            raise MeasurementError("It is another sandbox's", where=posture["sandbox"])
        again = judged_again(posture)
        if wrong := [name for name in FOLLOWS if posture[name] != again[name]]:
            raise MeasurementError(
                "It is not what its controls and probes come to", where=", ".join(wrong)
            )
    return posture


def require_references(value: dict[str, Any], path: Path) -> dict[str, Any]:
    """Returns stored references, once what each reached can be what it stands for.

    Args:
        value: of `reference_models`.
        path: its file.

    Raises:
        StorageError: they are damaged; the file is named.
    """
    with damage_of("The value of the asset reference_models", path, REFERENCES_CURE):
        require_form(value, REFERENCES)
        for seed, of_seed in value["seeds"].items():
            if not seed.isdecimal():
                raise MeasurementError("A seed is a whole number", where="seeds", seen=repr(seed))
            for name, model in {POOLED: of_seed[POOLED], **of_seed[ALONE]}.items():
                tested = {metric: model["test"][metric] for metric in METRICS}
                require_readable({"sandbox": name, "seed": int(seed), "quality": tested})
    return value


def require_membership(value: dict[str, Any], path: Path) -> dict[str, Any]:
    """Returns stored attacks on models, once what each showed can be what it stands for.

    Args:
        value: of `membership_inference`.
        path: its file.

    Raises:
        StorageError: they are damaged; the file is named.
    """
    with damage_of(MEMBERSHIP, path, MEMBERSHIP_CURE):
        require_form(value, ATTACKS)
        for model in value["models"]:
            _require_attack(model)
    return value


def whole_attacks(value: Mapping[str, Any]) -> dict[str, Any] | None:
    """Returns stored attacks but for the models of which they are damaged; None where all are.

    Args:
        value: of `membership_inference`.
    """
    models = []
    try:
        require_form(value, ATTACKS)
    except MeasurementError:
        return None
    for model in value["models"]:
        with suppress(MeasurementError):
            _require_attack(model)
            models.append(model)
    return {**value, "models": models}


def _require_attack(model: Mapping[str, Any]) -> None:
    require_form(model, ATTACKED)
    figures = {name: {FIGURE: of} for name, of in model["hospitals"].items()}
    told = {"security": {FIGURE: model["pooled"]}, "hospitals": figures}
    require_readable({"sandbox": model["sandbox"], "seed": model["seed"], **told})


@contextmanager
def damage_of(what: str, path: Path, cure: str) -> Iterator[None]:
    """Has a MeasurementError be a StorageError, which names the file and what mends it."""
    try:
        yield
    except MeasurementError as error:
        seen = ": ".join(filter(None, [error.what, error.where, error.seen]))
        raise StorageError(f"{what} is damaged", where=str(path), seen=seen, cure=cure) from None


def of_one_data(
    records: Iterable[dict[str, Any]],
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Returns the measurements of one and the same data, and the others.

    That is the data of the newest whole run as the roster asks for it; where no run is, of the
    newest whole one. One whose roster was another, but which came to the same images, is of the
    same data.

    Args:
        records: with `otherwise`, as far as it is known.
    """
    known = list(records)
    if not known:
        return [], []
    data = data_of(max(known, key=_standing))
    return (
        [each for each in known if data_of(each) == data],
        [each for each in known if data_of(each) != data],
    )


def data_of(record: Record) -> tuple[Any, ...]:
    """Returns what has to be alike for two runs to be of the same data."""
    data = record.get("data") or {}
    return tuple(data.get(name) for name in ("name", "synthetic", "digest", "test_digest"))


def _standing(record: Record) -> tuple[bool, bool, str]:
    as_asked = "otherwise" in record and OTHER_DATA not in record["otherwise"]
    return as_asked, not record.get("degraded"), str(record.get("created") or "")


def require_one_data(records: Sequence[dict[str, Any]], folder: Path) -> None:
    """Refuses stored measurements that are of different data.

    Args:
        records: them, with `otherwise`.
        folder: of their files.

    Raises:
        MeasurementError: they are.
    """
    same, others = of_one_data(records)
    if others:
        files = ", ".join(f"{each['sandbox']}/seed_{each['seed']}.json" for each in others)
        raise MeasurementError(
            "Sandboxes were measured on different data, which tell nothing of each other",
            where=str(folder),
            seen=f"{_named(others)} not on the data of {_named(same)}",
            cure="Run `fed-assets compare` without `--stored`, which measures these sandboxes "
            f"anew; or remove {files} there, to compare the rest",
        )


def _named(records: Iterable[Mapping[str, Any]]) -> str:
    seeds: dict[str, list[int]] = {name: [] for name in SANDBOX_NAMES}
    for each in records:
        seeds.setdefault(each["sandbox"], []).append(each["seed"])
    return "; ".join(
        f"{name} (seed {', '.join(map(str, sorted(of)))})" for name, of in seeds.items() if of
    )
