"""One hospital's part in adding up encrypted updates: it encrypts its own, and decrypts the sum.

In a round it encrypts once, gives its word once for whose updates are added up, its own among them,
and decrypts one sum at most. See `privacy.encrypted_sums` and `privacy.sum_tags`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fed_assets.errors import DisclosureRefused, RunConfigError
from fed_assets.hospital.outbox_log import OutboxLog, text
from fed_assets.hospital.shared_key import SharedKey, read_shared_key
from fed_assets.hospital.site import Site
from fed_assets.privacy.chain import canonical
from fed_assets.privacy.encrypted_sums import ROOM
from fed_assets.privacy.encryption_terms import (
    AGREE_TASK,
    DECRYPT_TASK,
    MOST_IMAGES,
    ciphertext_name,
)
from fed_assets.privacy.fixed_point import Arrays, changes, in_a_row, in_steps
from fed_assets.privacy.masking import Turn

# What leaves the hospital as the answer to each task, for its outbox log.
LEAVES = {
    AGREE_TASK: "its word for whose updates are added up",
    DECRYPT_TASK: "the sum of updates, decrypted",
}
# Makes ciphertexts of the weights received, those after training, and the number of images.
Encrypt = Callable[[Arrays, Arrays, int], dict[str, np.ndarray[Any, Any]]]


@dataclass
class _Sent:
    """An update that was encrypted: in which round, with what key, how many numbers it is.

    And which tasks came then.
    """

    turn: Turn
    key: SharedKey
    numbers: int
    tasks: set[str] = field(default_factory=set)


class EncryptedTasks:
    """Answers the tasks of one job."""

    def __init__(self) -> None:
        self._begun: Turn | None = None
        self._sent: _Sent | None = None

    def encrypt(self, said: Mapping[str, Any], site: Site, workspace: Path, run: str) -> Encrypt:
        """Returns what encrypts the update that a training task asks for.

        Args:
            said: What the server says in the task.
            site: The hospital's.
            workspace: The folder of the site, which holds its key.
            run: The id of the job.

        Raises:
            RunConfigError: The task is incomplete, or the site has no key.
            DisclosureRefused: The round is over, or was trained before.
        """
        turn, before = _turn(run, said), self._begun
        if before and (turn.run != before.run or turn.round_number <= before.round_number):
            raise _refused("A round was asked for that is over", f"round {turn.round_number}")
        self._begun, self._sent = turn, None
        key, bounds = read_shared_key(workspace, site.hospital), site.protection.bounds

        def encrypt(
            received: Arrays, local: Arrays, examples: int
        ) -> dict[str, np.ndarray[Any, Any]]:
            if examples > MOST_IMAGES:
                raise RunConfigError(
                    "An update cannot be hidden in a sum",
                    seen=f"more images than {MOST_IMAGES:,}, which no hospitals together may have",
                    cure="Use `update_protection: secure_aggregation`, which has no such limit.",
                )
            share = examples / MOST_IMAGES
            numbers = in_a_row(
                in_steps(changes(local, received, bounds), share, local, bounds, ROOM)
            )
            ciphertexts = key.encrypt(turn, numbers)
            self._sent = _Sent(turn, key, numbers.size)
            return {
                ciphertext_name(index): np.frombuffer(content, np.uint8)
                for index, content in enumerate(ciphertexts)
            }

        return encrypt

    def answer(
        self,
        task: str,
        said: Mapping[str, Any],
        outbox: OutboxLog,
        run: str,
    ) -> dict[str, Any]:
        """Returns the answer to one of the tasks that `LEAVES` names, after noting it.

        Args:
            task: Its name.
            said: What the server says in it: `round_number` and `hospitals`; of a sum that it asks
                to be decrypted `ciphertexts` too, and the hospitals' `words`.
            outbox: The hospital's log, which what was asked and what leaves is noted in.
            run: The id of the job.

        Raises:
            RunConfigError: The task is incomplete.
            DisclosureRefused: It was asked before in this round, in which the hospital may have
                sent nothing, or would tell more than one sum of enough hospitals.
            StorageError, SealBroken, KeyRefused: It could not be noted, and must not leave.
        """
        ciphertexts = _ciphertexts(said) if task == DECRYPT_TASK else []
        number, names = said.get("round_number"), said.get("hospitals")
        outbox.asked(text(task, canonical([number, names]) + b"".join(ciphertexts), number))
        turn, sent = _turn(run, said), self._sent
        if sent is None or sent.turn != turn or task in sent.tasks:
            raise _refused(
                "A sum was asked for of a round in which this hospital sent nothing, or for a "
                "second time",
                f"{task} of round {turn.round_number}",
            )
        sent.tasks.add(task)
        key = sent.key
        if task == AGREE_TASK:
            answer = {"word": key.word(turn, names)}
        else:
            words = _mapping(said, "words")
            total = key.decrypt_sum(turn, ciphertexts, sent.numbers, hospitals=names, words=words)
            answer = {"sum": total.astype("<i8").tobytes()}
        outbox.left(text(LEAVES[task], b"".join(answer.values()), turn.round_number))
        return answer


def _ciphertexts(said: Mapping[str, Any]) -> list[bytes]:
    found = said.get("ciphertexts")
    if not isinstance(found, list) or not all(isinstance(each, bytes) for each in found):
        raise _incomplete("ciphertexts")
    return found


def _mapping(said: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = said.get(name)
    if not isinstance(found, Mapping):
        raise _incomplete(name)
    return found


def _turn(run: str, said: Mapping[str, Any]) -> Turn:
    number = said.get("round_number")
    if not isinstance(number, int):
        raise _incomplete("round_number")
    return Turn(run, number)


def _incomplete(name: str) -> RunConfigError:
    return RunConfigError(
        "A task of homomorphic encryption is incomplete",
        seen=f"no {name}",
        cure="Use the same version of fed_assets on both sides, and the same sandbox.",
    )


def _refused(what: str, seen: str) -> DisclosureRefused:
    return DisclosureRefused(
        what,
        where="control `update_protection`",
        seen=seen,
        cure="Look who runs the federation's server.",
    )
