"""Every model that this home knows of: what its run recorded, and what became of it.

Read from plain files alone, which stay when Dagster's or MLflow's database is lost. Neither Dagster
nor MLflow is imported, so that the answer is there at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fed_assets.errors import StorageError
from fed_assets.registry.lineage import Model
from fed_assets.registry.promotions import History, read_history
from fed_assets.resources.home import Home
from fed_assets.resources.known_models import RETIRED
from fed_assets.resources.model_folders import PACKAGE, folder_of
from fed_assets.resources.registered_models import CHALLENGER, CHAMPION, aliases_of
from fed_assets.resources.whole_files import read_whole

LINEAGE = "The lineage of a run"
VERSION = "The record of a registered version"
DEPLOYED, FORMER = "deployed", "former champion"
BY_LOG = "by the promotion log"  # MLflow's registry, whose alias is the truth, cannot be read
LINEAGE_NAMES = {"run_id", "sandbox", "created", "hospitals", "rounds"}
VERSION_NAMES = {"run_id", "sandbox", "version", "participants"}
CURE = "Put it back from a backup: what a model was made of cannot be told without it"


def read_ledger(home: Home) -> tuple[Model, ...]:
    """Returns every model, by sandbox and the time when it was made.

    A version whose run left no lineage is there too, with what its own record tells.

    Raises:
        StorageError: A record is damaged; nothing is told then, as it might leave out a model.
    """
    lineages = {
        record["run_id"]: record
        for record in _records(home.lineage, "*.json", LINEAGE, LINEAGE_NAMES)
    }
    models = []
    standings: dict[str, _Standing] = {}
    for record in _records(home.root / "models", "*/v*/version.json", VERSION, VERSION_NAMES):
        sandbox = record["sandbox"]
        if sandbox not in standings:
            standings[sandbox] = _standing(home, sandbox)
        models.append(
            Model(
                sandbox=sandbox,
                run_id=record["run_id"],
                version=record["version"],
                lineage=lineages.get(record["run_id"]),
                participants=tuple(record["participants"]),
                states=standings[sandbox].states_of(record["version"]),
            )
        )
    registered = {model.run_id for model in models}
    models += [
        Model(sandbox=record["sandbox"], run_id=run, lineage=record)
        for run, record in lineages.items()
        if run not in registered
    ]
    return tuple(sorted(models, key=lambda each: (each.sandbox, each.created, each.version or 0)))


@dataclass(frozen=True)
class _Standing:
    """What the versions of a sandbox are now.

    Attributes:
        folder: Their folder.
        history: What became of them.
        aliases: MLflow's; None where its registry cannot be read.
    """

    folder: Path
    history: History
    aliases: Mapping[str, int] | None

    def states_of(self, version: int) -> tuple[str, ...]:
        """Returns what a version is; nothing where it is none of all that."""
        served = self.history.champions()
        champion = served[-1] if served else None
        if self.aliases is not None:
            champion = self.aliases.get(CHAMPION)
        packaged = (folder_of(self.folder, version) / PACKAGE).is_file()
        promoted = {event.version for event in self.history.events if event.event == "promoted"}
        states = {
            CHAMPION: version == champion,
            DEPLOYED: version == champion and packaged,
            CHALLENGER: version == (self.aliases or {}).get(CHALLENGER),
            FORMER: version in promoted and version != champion,
            RETIRED: version in self.history.retired,
        }
        found = [state for state, holds in states.items() if holds]
        return tuple([*found, BY_LOG] if found and self.aliases is None else found)


def _standing(home: Home, sandbox: str) -> _Standing:
    folder = home.models(sandbox)
    try:
        aliases = aliases_of(home.tracking, sandbox)
    except StorageError:
        aliases = None  # the log tells how it was left
    return _Standing(folder, read_history(folder), aliases)


def _records(folder: Path, pattern: str, what: str, names: Set[str]) -> list[dict[str, Any]]:
    found = (
        read_whole(path, what=what, cure=CURE, needs=names) for path in sorted(folder.glob(pattern))
    )
    return [record for record in found if record is not None]
