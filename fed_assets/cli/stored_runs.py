"""What is stored for a comparison, as its plan sees it: what can be used, and what cannot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fed_assets.comparison.stored import (
    AUDIT_CURE,
    AUDIT_NEEDS,
    CURE,
    NEEDS,
    OTHER_DATA,
    of_one_data,
    require_audited,
    require_measured,
    require_one_data,
)
from fed_assets.errors import IncompatibleControls, StorageError
from fed_assets.federation.asked import asked, otherwise
from fed_assets.federation.roster import Roster
from fed_assets.resources.home import Home
from fed_assets.resources.whole_files import read_whole
from fed_assets.sandboxes.presets import SANDBOX_NAMES
from fed_assets.sandboxes.sandbox import Sandbox


@dataclass(frozen=True)
class StoredRuns:
    """What whole runs measured, as far as it is there.

    Attributes:
        records: By file, with `otherwise` of those whose sandbox can run as it is asked for.
        damaged: By file, why it cannot be read.
    """

    records: Mapping[Path, dict[str, Any]]
    damaged: Mapping[Path, StorageError]


def stored_runs(
    home: Home, roster: Roster, sandboxes: Sequence[Sandbox], data: str | None
) -> StoredRuns:
    """Returns what is stored of all sandboxes and seeds.

    Of what is of other data than the newest run as it is asked for, `otherwise` says so.

    Args:
        home: Where.
        roster: What runs are asked to be now.
        sandboxes: Those that can run.
        data: Of `asked_data`.
    """
    wanted = {}
    for sandbox in sandboxes:
        with suppress(IncompatibleControls):  # nothing would come of a run either
            wanted[sandbox.name] = asked(roster, sandbox, data)
    records, damaged = {}, {}
    for path in _files(home):
        try:
            record = _measured(path)
        except StorageError as error:
            damaged[path] = error
            continue
        if record is None:
            continue
        if record["sandbox"] in wanted:
            record["otherwise"] = otherwise(record, wanted[record["sandbox"]])
        records[path] = record
    for other in of_one_data(records.values())[1]:
        if OTHER_DATA not in other.get("otherwise", (OTHER_DATA,)):
            other["otherwise"].append(OTHER_DATA)
    return StoredRuns(records, damaged)


def _files(home: Home) -> Iterator[Path]:
    for sandbox in SANDBOX_NAMES:
        yield from sorted((home.measurements / sandbox).glob("seed_*.json"))


def _measured(path: Path) -> dict[str, Any] | None:
    found = read_whole(path, what="What was measured", cure=CURE.format(path=path), needs=NEEDS)
    return None if found is None else require_measured(found, path)


def read_audit(home: Home, sandbox: str) -> dict[str, Any] | None:
    """Returns what the last audit of a sandbox showed; None where there was none.

    Raises:
        StorageError: It is damaged; the file is named.
    """
    path, cure = home.posture_record(sandbox), AUDIT_CURE.format(sandbox=sandbox)
    found = read_whole(path, what="What an audit showed", cure=cure, needs=AUDIT_NEEDS)
    return None if found is None else require_audited(found, path, sandbox)


def require_comparable(runs: StoredRuns, home: Home) -> None:
    """Refuses what is stored where it cannot be compared as it stands.

    Raises:
        StorageError: A file is damaged.
        MeasurementError: Runs are of different data.
    """
    for damage in runs.damaged.values():
        raise damage
    for sandbox in SANDBOX_NAMES:
        read_audit(home, sandbox)
    require_one_data(list(runs.records.values()), home.measurements)
