"""The tasks of secure aggregation as they come in and go out, and how an update is masked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fed_assets.errors import RunConfigError
from fed_assets.hospital.dataset import open_dataset
from fed_assets.hospital.outbox_log import OutboxLog, text
from fed_assets.hospital.peers import read_peers
from fed_assets.hospital.secure_aggregation import SecureAggregation
from fed_assets.hospital.site import Site
from fed_assets.hospital.suppression import disclosed_round
from fed_assets.privacy.chain import canonical
from fed_assets.privacy.fixed_point import Arrays, Words
from fed_assets.privacy.masking import Turn
from fed_assets.privacy.masking_terms import KEYS_TASK, REVEAL_TASK, SAID, SHARES_TASK

# What leaves the hospital as the answer to each task, for its outbox log.
LEAVES = {
    KEYS_TASK: "keys of secure aggregation",
    SHARES_TASK: "sealed shares of its secrets",
    REVEAL_TASK: "shares of secrets of its peers",
}
# As `protected_round.Hide`, of words.
Mask = Callable[[Arrays, Arrays, int], Words]


class MaskedTasks:
    """Answers the tasks of one job; what it raises, see `SecureAggregation`."""

    def __init__(self) -> None:
        self._own = SecureAggregation()

    def answer(
        self,
        task: str,
        said: Mapping[str, Any],
        site: Site,
        outbox: OutboxLog,
        workspace: Path,
        run: str,
    ) -> dict[str, Any]:
        """Returns the answer to one of the tasks that `LEAVES` names, after noting it.

        Args:
            task: Its name.
            said: What the server says in it.
            site: The hospital's.
            outbox: Its log, which what was asked and what leaves is noted in.
            workspace: The folder of the site, which holds its certificate.
            run: The id of the job.

        Raises:
            RunConfigError: The task is incomplete, or the site was not provisioned for it.
            DisclosureRefused: The number of images to learn from is small, and must not be hinted
                at, or the task asks for what would lay a hospital bare.
            StorageError, SealBroken, KeyRefused: It could not be noted, and must not leave.
        """
        number = number_of(said)
        outbox.asked(text(task, canonical(said), number))
        answer = self._answer(task, said, site, workspace, _turn(run, said))
        outbox.left(text(LEAVES[task], canonical(answer), number))
        return answer

    def _answer(
        self, task: str, said: Mapping[str, Any], site: Site, workspace: Path, turn: Turn
    ) -> dict[str, Any]:
        if task == KEYS_TASK:
            return dict(self._own.keys(read_peers(workspace, site.hospital), turn))
        if task == REVEAL_TASK:
            return dict(self._own.reveal(turn, said.get("survivors")))
        examples = self._examples(site)
        disclosed_round({}, [], examples=examples, below=site.suppress_below)
        return dict(self._own.shares(turn, _mapping(said, "keys"), examples))

    def _examples(self, site: Site) -> int:
        return len(open_dataset(site.store).split("train"))

    def mask(self, said: Mapping[str, Any], site: Site, run: str) -> Mask:
        """Returns what masks the update that a training task asks for.

        Args:
            said: What the server says in the task.
            site: The hospital's.
            run: The id of the job.

        Raises:
            RunConfigError: The task says nothing of secure aggregation, so its update stays here.
        """
        told, turn = _mapping(said, SAID), _turn(run, said)
        sealed, bounds = _mapping(told, "shares"), site.protection.bounds

        def mask(received: Arrays, local: Arrays, examples: int) -> Words:
            return self._own.masked(
                turn,
                sealed,
                received=received,
                local=local,
                examples=examples,
                bounds=bounds,
            )

        return mask


def number_of(said: Mapping[str, Any]) -> int | None:
    """Returns the number of the round that a task is of, if it says one."""
    number = said.get("round_number")
    return number if isinstance(number, int) else None


def _turn(run: str, said: Mapping[str, Any]) -> Turn:
    number = number_of(said)
    if number is None:
        raise _incomplete("round_number")
    return Turn(run, number)


def _mapping(said: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = said.get(name)
    if not isinstance(found, Mapping):
        raise _incomplete(name)
    return found


def _incomplete(name: str) -> RunConfigError:
    return RunConfigError(
        "A task of secure aggregation is incomplete",
        seen=f"no {name}",
        cure="Use the same version of fed_assets on both sides, and the same sandbox.",
    )
