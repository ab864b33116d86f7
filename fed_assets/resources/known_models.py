"""What is known of a home's models: which versions a sandbox has, and which one serves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fed_assets.errors import PromotionRefused, StorageError
from fed_assets.federation.withdrawals import withdrawn
from fed_assets.registry.promotions import History, read_history
from fed_assets.registry.version import ModelVersion
from fed_assets.resources.home import Home
from fed_assets.resources.model_folders import (
    PACKAGE,
    WEIGHTS,
    file_digest,
    folder_of,
    kept_versions,
    read_version,
)
from fed_assets.resources.registered_models import (
    CHALLENGER,
    CHAMPION,
    aliases_of,
    tags_of,
    unreachable,
)

RETIRED = "retired"  # the tag of a version that may serve no more, with the reason


@dataclass(frozen=True)
class KnownModels:
    """The registered versions of a home's sandboxes; it changes nothing, and asks at once."""

    home: Home

    def champion(self, sandbox: str) -> int | None:
        """Returns the version that serves; None where none does.

        Raises:
            StorageError: The registry cannot be reached.
        """
        return self._aliases(sandbox).get(CHAMPION)

    def challenger(self, sandbox: str) -> int | None:
        """Returns the version that was registered last; None where it is champion, or none is.

        Raises:
            StorageError: The registry cannot be reached.
        """
        return self._aliases(sandbox).get(CHALLENGER)

    def versions(self, sandbox: str) -> list[int]:
        """Returns the numbers of all versions, the oldest first.

        Raises:
            StorageError: The registry cannot be reached.
        """
        self._aliases(sandbox)
        return sorted(tags_of(self.home.tracking, sandbox))

    def version(self, sandbox: str, version: int) -> ModelVersion:
        """Returns what made a version.

        Raises:
            PromotionRefused: There is no such version.
            StorageError: The registry cannot be reached, or the record is damaged.
        """
        found = self.record(sandbox, version)
        if found is None:
            known = ", ".join(map(str, self.versions(sandbox)))
            raise PromotionRefused(
                f"There is no version {version} of {sandbox}",
                seen=f"versions: {known or 'none'}",
                cure=f"Look at `fed-assets models list {sandbox}`",
            )
        return found

    def record(self, sandbox: str, version: int) -> ModelVersion | None:
        """Returns what made a version; None where it is not there, or was registered in part.

        A run that was killed as it registered leaves a version without a record, which the same run
        completes when it is executed again.

        Raises:
            StorageError: The registry cannot be reached, or the record is damaged.
        """
        if version not in self.versions(sandbox):
            return None
        return read_version(self.home.models(sandbox), version)

    def folder(self, sandbox: str, version: int) -> Path:
        """Returns the folder of a version, with `version.json` and `weights.safetensors`."""
        return folder_of(self.home.models(sandbox), version)

    def weights(self, sandbox: str, version: int) -> Path:
        """Returns the file of a version's weights.

        Raises:
            PromotionRefused: There is no such version.
            StorageError: They are not the ones that were registered, or cannot be read.
        """
        record = self.version(sandbox, version)
        path = self.folder(sandbox, version) / WEIGHTS
        if file_digest(path) != record.weights_digest:
            raise StorageError(
                "A version's weights are not the ones that were registered",
                where=str(path),
                cure="Put the file back from a backup, or retire the version",
            )
        return path

    def history(self, sandbox: str) -> History:
        """Returns what became of the versions.

        Raises:
            StorageError: The log is damaged, or cannot be read.
        """
        return read_history(self.home.models(sandbox))

    def retired(self, sandbox: str) -> dict[int, str]:
        """Returns why versions may not serve any more: by log, by tag, or by who withdrew.

        Raises:
            StorageError: The registry cannot be reached, or the log not be read.
        """
        tags = tags_of(self.home.tracking, sandbox)
        tagged = {version: each[RETIRED] for version, each in tags.items() if RETIRED in each}
        return self._with_withdrawn(sandbox) | tagged | self.history(sandbox).retired

    def _with_withdrawn(self, sandbox: str) -> dict[int, str]:
        """Returns which versions contain data of a hospital that withdrew, and of which."""
        gone = withdrawn(self.home.withdrawals)
        models = self.home.models(sandbox)
        found = [read_version(models, number) for number in kept_versions(models) if gone]
        return {
            each.version: f"{name} is in it: {gone[name]}"
            for each in found
            if each is not None
            for name in each.participants
            if name in gone
        }

    def is_packaged(self, sandbox: str, version: int) -> bool:
        """Returns whether a version has what serves it."""
        return (self.folder(sandbox, version) / PACKAGE).is_file()

    def _aliases(self, sandbox: str) -> dict[str, int]:
        """Returns which version each alias names.

        Raises:
            StorageError: The registry cannot be reached, or is gone while its versions are here.
        """
        aliases = aliases_of(self.home.tracking, sandbox)
        if aliases is None and kept_versions(self.home.models(sandbox)):
            raise unreachable(self.home.tracking, "it is not there")
        return aliases or {}
