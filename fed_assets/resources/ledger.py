"""Every model that this home knows of: what its run recorded, and what became of it.

Read from plain files alone, which stay when Dagster's or MLflow's database is lost. Neither Dagster
nor MLflow is imported, so that the answer is there at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from fed_assets.errors import StorageError
from fed_assets.registry.lineage import Model
from fed_assets.registry.promotions import History, read_history
from fed_assets.resources.home import Home
from fed_assets.resources.known_models import RETIRED
from fed_assets.resources.model_folders import PACKAGE, folder_of, kept_versions
from fed_assets.resources.model_records import run_model, version_model
from fed_assets.resources.registered_models import CHALLENGER, CHAMPION, aliases_of

DEPLOYED, FORMER = "deployed", "former champion"
BY_LOG = "by the promotion log"  # MLflow's registry, whose alias is the truth, cannot be read


def read_ledger(home: Home) -> tuple[Model, ...]:
    """Returns every model, by sandbox and the time when it was made.

    A version whose run left no lineage is there too, with what its own record tells, and one whose
    record is damaged, with what the others tell. A lineage that is damaged, and of no version that
    is known, is a model of which nothing is known but the run.
    """
    models: list[Model] = []
    for folder in sorted(home.all_models.glob("*/")):
        if versions := kept_versions(folder):
            standing = _standing(home, folder.name)
            found = (version_model(home, folder.name, number) for number in versions)
            models += [standing.told(model) for model in found]
    registered = {model.run_id for model in models}
    runs = [path.stem for path in sorted(home.lineage.glob("*.json"))]
    models += [run_model(home, run) for run in runs if run not in registered]
    return tuple(sorted(models, key=lambda each: (each.sandbox, each.created, each.version or 0)))


@dataclass(frozen=True)
class _Standing:
    """What the versions of a sandbox are now.

    Attributes:
        folder: Their folder.
        history: What became of them.
        aliases: MLflow's; None where its registry cannot be read.
        damage: What is wrong with the log that tells of them.
    """

    folder: Path
    history: History
    aliases: Mapping[str, int] | None
    damage: tuple[str, ...]

    def told(self, model: Model) -> Model:
        """Returns the model of a version, with what it is now."""
        states = self.states_of(model.version or 0)
        return replace(model, states=states, damage=model.damage + self.damage)

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
    history = History()
    damage: tuple[str, ...] = ()
    try:
        history = read_history(folder)
    except StorageError as error:
        damage = (str(error),)
    return _Standing(folder, history, aliases, damage)
