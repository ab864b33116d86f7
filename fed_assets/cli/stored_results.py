"""What is stored for a comparison, as its plan sees it: what can be used, and what cannot."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from fed_assets.cli.step import Step
from fed_assets.comparison.stored import (
    AUDIT_CURE,
    CURE,
    MEMBERSHIP_CURE,
    OTHER_DATA,
    REFERENCES_CURE,
    of_one_data,
    require_audited,
    require_measured,
    require_membership,
    require_one_data,
    require_references,
)
from fed_assets.errors import ContainerRefused, IncompatibleControls, StorageError
from fed_assets.federation.asked import asked, otherwise
from fed_assets.federation.roster import Roster
from fed_assets.posture.posture import judged_again
from fed_assets.resources.home import Home
from fed_assets.resources.jobs import AUDIT, COMPARISON, LIFECYCLE, REFERENCES
from fed_assets.resources.whole_files import read_whole
from fed_assets.sandboxes.presets import SANDBOX_NAMES
from fed_assets.sandboxes.sandbox import Sandbox

Value = TypeVar("Value")


@dataclass(frozen=True)
class Stored:
    """What runs, audits and references came to, as far as it is there.

    Attributes:
        records: Measurements by run, with `otherwise` of those whose sandbox can run as it is asked
            for.
        audits: What the last audit showed, by sandbox.
        references: The value of `reference_models`; None where there is none.
        damaged: Why something cannot be read, with the job that makes it anew; None of a file that
            no job writes under this name.
    """

    records: Mapping[Step, dict[str, Any]]
    audits: Mapping[str, dict[str, Any]]
    references: dict[str, Any] | None
    damaged: Sequence[tuple[Step | None, StorageError]]

    def damage_of(self, step: Step) -> StorageError | None:
        """Returns why what a job came to cannot be read; None where it can, or is not there."""
        return next((error for made_by, error in self.damaged if made_by == step), None)


def stored_results(
    home: Home, roster: Roster, sandboxes: Sequence[Sandbox], data: str | None
) -> Stored:
    """Returns what is stored of all sandboxes and seeds.

    Of what is of other data than the newest run as it is asked for, `otherwise` says so.

    Args:
        home: Where.
        roster: What runs are asked to be now.
        sandboxes: Those that can run.
        data: Of `asked_data`.

    Raises:
        ContainerRefused: The container that holds it cannot be used.
    """
    damaged: list[tuple[Step | None, StorageError]] = []

    def whole(step: Step | None, read: Callable[..., Value | None], *of: Any) -> Value | None:
        try:
            return read(*of)
        except ContainerRefused:
            raise
        except StorageError as error:
            damaged.append((step, error))
            return None

    audits = {name: whole(Step(AUDIT, name), _audit, home, name) for name in SANDBOX_NAMES}
    references = whole(Step(REFERENCES), _references, home)
    found = {step: whole(step, _measured, path) for step, path in _runs(home)}
    whole(Step(COMPARISON), _attacks, home)
    records = {step: of for step, of in found.items() if step is not None and of is not None}
    _compare_with_asked(records.values(), roster, sandboxes, data)
    known = {name: posture for name, posture in audits.items() if posture is not None}
    return Stored(records, known, references, damaged)


def _compare_with_asked(
    records: Iterable[dict[str, Any]],
    roster: Roster,
    sandboxes: Sequence[Sandbox],
    data: str | None,
) -> None:
    """Adds `otherwise` to the measurements of sandboxes that can run."""
    wanted = {}
    for sandbox in sandboxes:
        with suppress(IncompatibleControls):  # nothing would come of a run either
            wanted[sandbox.name] = asked(roster, sandbox, data)
    for record in records:
        if record["sandbox"] in wanted:
            record["otherwise"] = otherwise(record, wanted[record["sandbox"]])
    for other in of_one_data(records)[1]:
        if OTHER_DATA not in other.get("otherwise", (OTHER_DATA,)):
            other["otherwise"].append(OTHER_DATA)


def _runs(home: Home) -> Iterator[tuple[Step | None, Path]]:
    """Yields the measured runs and their files; None for one that no run writes."""
    for sandbox in SANDBOX_NAMES:
        for path in sorted((home.measurements / sandbox).glob("seed_*.json")):
            seed = path.stem.removeprefix("seed_")
            run = Step(LIFECYCLE, sandbox, int(seed)) if seed.isdecimal() else None
            yield run if run and path == home.measurement(sandbox, int(seed)) else None, path


def _measured(path: Path) -> dict[str, Any] | None:
    found = read_whole(path, what="What was measured", cure=CURE.format(path=path))
    return None if found is None else require_measured(found, path)


def _audit(home: Home, sandbox: str) -> dict[str, Any] | None:
    path, cure = home.posture_record(sandbox), AUDIT_CURE.format(sandbox=sandbox)
    found = read_whole(path, what="What an audit showed", cure=cure)
    return None if found is None else require_audited(found, path, sandbox, judged_again)


def _references(home: Home) -> dict[str, Any] | None:
    from fed_assets.resources.artifact_store import read_value

    found = read_value(home, "reference_models", cure=REFERENCES_CURE)
    path = home.artifacts / "reference_models.json"
    return None if found is None else require_references(found, path)


def _attacks(home: Home) -> dict[str, Any] | None:
    from fed_assets.resources.artifact_store import read_value

    found = read_value(home, "membership_inference", cure=MEMBERSHIP_CURE)
    path = home.artifacts / "membership_inference.json"
    return None if found is None else require_membership(found, path)


def require_comparable(stored: Stored, home: Home) -> None:
    """Refuses what is stored where it cannot be compared as it stands.

    Raises:
        StorageError: Files are damaged; all are named.
        MeasurementError: Runs are of different data.
    """
    refuse_damaged(
        [damage for _, damage in stored.damaged],
        cure="Run `fed-assets compare` without `--stored`, which makes anew what is damaged; or "
        "remove {files}, to compare the rest",
    )
    require_one_data(list(stored.records.values()), home.measurements)


def require_made_anew(stored: Stored, steps: Iterable[Step]) -> None:
    """Refuses damaged files that would be compared though no job makes them anew.

    Args:
        stored: What is there.
        steps: The jobs that are to be run.

    Raises:
        StorageError: There are such; all are named.
    """
    made: set[Step | None] = set(steps)
    refuse_damaged(
        [damage for step, damage in stored.damaged if step not in made],
        cure="Remove {files}: no job of this comparison makes that anew",
    )


def refuse_damaged(damaged: Iterable[StorageError], *, cure: str) -> None:
    """Refuses damaged files, all of them at once.

    Args:
        damaged: Why each cannot be read.
        cure: What mends it, with `{files}` for their names.

    Raises:
        StorageError: There are such.
    """
    known = list(damaged)
    if not known:
        return
    files = ", ".join(each.where for each in known)
    if len(known) == 1:
        (only,) = known
        raise StorageError(only.what, where=files, seen=only.seen, cure=cure.format(files=files))
    raise StorageError(
        f"{len(known)} stored results are damaged",
        seen="; ".join(f"{each.where}: {each.seen}" for each in known),
        cure=cure.format(files=files),
    )
