"""What is known of a home's models: which versions a sandbox has, and which one serves."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fed_assets.errors import PackageRefused, PromotionRefused, StorageError
from fed_assets.federation.withdrawals import withdrawn
from fed_assets.registry.lineage import Model, models_with
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
from fed_assets.resources.model_records import version_model
from fed_assets.resources.registered_models import (
    CHALLENGER,
    CHAMPION,
    aliases_of,
    tags_of,
    unreachable,
)
from fed_assets.resources.signed_records import open_signed

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
            raise self._unknown(sandbox, version)
        return found

    def require_known(self, sandbox: str, version: int) -> None:
        """Makes sure that there is a version, whatever its record tells.

        Raises:
            PromotionRefused: There is none.
            StorageError: The registry cannot be reached.
        """
        if version not in self.versions(sandbox):
            raise self._unknown(sandbox, version)

    def _unknown(self, sandbox: str, version: int) -> PromotionRefused:
        known = ", ".join(map(str, self.versions(sandbox)))
        return PromotionRefused(
            f"There is no version {version} of {sandbox}",
            seen=f"versions: {known or 'none'}",
            cure=f"Look at `fed-assets models list {sandbox}`",
        )

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
        """Returns why versions may never serve again: by log, by tag, or by who withdrew.

        Raises:
            StorageError: The registry cannot be reached, or the log not be read.
        """
        tags = tags_of(self.home.tracking, sandbox)
        tagged = {version: each[RETIRED] for version, each in tags.items() if RETIRED in each}
        return self.withdrawn(sandbox) | tagged | self.history(sandbox).retired

    def withdrawn(self, sandbox: str) -> dict[int, str]:
        """Returns which versions contain data of a hospital that withdrew, and of which.

        Where none of a version's records tells whose data is in it, it is barred as long as
        anybody is withdrawn.

        Raises:
            StorageError: The list of who withdrew cannot be used.
        """
        gone = withdrawn(self.home.withdrawals)
        models = self._models(sandbox) if gone else ()
        return {
            part.model.version or 0: f"{name} {'is' if part.model.told else 'may be'} in it: {why}"
            for name, why in gone.items()
            for part in models_with(models, name)
        }

    def untrue(self, sandbox: str) -> dict[int, str]:
        """Returns which versions' records are damaged, or not what was signed, and how.

        Whose data is in them cannot be told for sure, whether or not anybody withdrew.
        """
        return {
            model.version or 0: f"its records are not what they were: {model.doubts[0]}"
            for model in self._models(sandbox)
            if model.doubts
        }

    def kept_out(self, sandbox: str) -> dict[int, str]:
        """Returns why versions may not serve: they are retired, or their records are untrue.

        Raises:
            StorageError: As `retired` does.
        """
        return self.untrue(sandbox) | self.retired(sandbox)

    def never_to_serve(self, sandbox: str) -> dict[int, str]:
        """Returns why versions may not serve, whatever the alias says; told without the registry.

        Raises:
            StorageError: The list of who withdrew cannot be used: then none may.
        """
        barred = self.untrue(sandbox) | self.withdrawn(sandbox)
        with suppress(StorageError):
            return barred | self.retired(sandbox)
        return barred

    def fault(self, sandbox: str, version: int) -> str:
        """Returns what is wrong with a version's records, weights or package; empty if nothing is.

        Every file of the package is read; of a version that has none, the others are.

        Raises:
            PromotionRefused: There is no such version.
            StorageError: The registry cannot be reached.
        """
        self.require_known(sandbox, version)
        if untrue := self.untrue(sandbox).get(version):
            return untrue
        try:
            self.weights(sandbox, version)
            if self.is_packaged(sandbox, version):
                open_signed(self.home, sandbox, version)
        except (StorageError, PackageRefused) as error:
            return str(error)
        return ""

    def former(self, sandbox: str) -> tuple[int | None, dict[int, str]]:
        """Returns the last champion before this one that may serve again; None where none may.

        And why those that served after it may not.

        Raises:
            StorageError: The registry cannot be reached, or the log not be read.
        """
        champion, retired = self.champion(sandbox), self.retired(sandbox)
        row = self.history(sandbox).champions()
        passed: dict[int, str] = {}
        for each in reversed(row[:-1] if row and row[-1] == champion else row):
            if each == champion or each in passed:
                continue
            lacks = "" if self.is_packaged(sandbox, each) else "it has no package"
            why = retired.get(each) or self.fault(sandbox, each) or lacks
            if not why:
                return each, passed
            passed[each] = why
        return None, passed

    def _models(self, sandbox: str) -> list[Model]:
        versions = kept_versions(self.home.models(sandbox))
        return [version_model(self.home, sandbox, number) for number in versions]

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
