"""The two ways in which the server learns the sum of updates alone, by what the site promised."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fed_assets.hospital import encrypted_tasks, masked_tasks
from fed_assets.hospital.encrypted_tasks import EncryptedTasks
from fed_assets.hospital.masked_tasks import MaskedTasks
from fed_assets.hospital.outbox_log import OutboxLog
from fed_assets.hospital.protected_round import Hide
from fed_assets.hospital.site import Site
from fed_assets.privacy import encryption_terms, masking_terms
from fed_assets.sandboxes.controls import UpdateProtection

# Which tasks there are beside the training, and where in a message what is said stands.
_TASKS = {
    UpdateProtection.SECURE_AGGREGATION: (masked_tasks.LEAVES, masking_terms.SAID),
    UpdateProtection.HOMOMORPHIC_ENCRYPTION: (encrypted_tasks.LEAVES, encryption_terms.SAID),
}


class HiddenTasks:
    """Takes part in the rounds of one job, each in the way of the hospital's own site."""

    def __init__(self) -> None:
        self._masked = MaskedTasks()
        self._encrypted = EncryptedTasks()

    def place_of(self, task: str, site: Site) -> str | None:
        """Returns where in a task's message what is said stands; None where it is no such task."""
        tasks, place = _TASKS.get(site.protection.kind, ({}, ""))
        return place if task in tasks else None

    def answer(
        self,
        task: str,
        said: Mapping[str, Any],
        site: Site,
        outbox: OutboxLog,
        workspace: Path,
        run: str,
    ) -> dict[str, Any]:
        """Returns the answer to a task; see `MaskedTasks.answer` and `EncryptedTasks.answer`."""
        if site.protection.kind is UpdateProtection.HOMOMORPHIC_ENCRYPTION:
            return self._encrypted.answer(task, said, outbox, run)
        return self._masked.answer(task, said, site, outbox, workspace, run)

    def hide(self, said: Mapping[str, Any], site: Site, workspace: Path, run: str) -> Hide | None:
        """Returns what hides the update that a training task asks for, where one is to be hidden.

        Raises:
            RunConfigError: The task or the site lacks what it takes, so the update stays here.
            DisclosureRefused: The round is over.
        """
        match site.protection.kind:
            case UpdateProtection.SECURE_AGGREGATION:
                return self._masked.mask(said, site, run)
            case UpdateProtection.HOMOMORPHIC_ENCRYPTION:
                return self._encrypted.encrypt(said, site, workspace, run)
            case _:
                return None
