"""What a hospital has spent of its privacy budget: one charge a round, kept in its own store.

All rounds of the store count against the one budget, whatever run they were for and whichever
dataset was the current one: an image may have been in each of them. A round is charged before its
first step, so the ledger may count one whose update never left, as after a crash, and misses none.
Once a charge is in the ledger, the ledger's digest is noted in the outbox log: where the ledger is
gone or was changed, the log tells, and nothing more is learned. What a charge was it does not tell,
so a lost ledger cannot be made again. What the ledger cannot see is what other sandboxes let out of
the same images, each of which has a store of its own.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path

from fed_assets.errors import BudgetSpent, LedgerBroken, SealBroken, StorageError, system_reason
from fed_assets.hospital.accountant import LeastNoise, Steps, epsilon_of, least_noise_for
from fed_assets.hospital.files import LOCK, Store
from fed_assets.hospital.outbox_log import OutboxLog, read_outbox, text
from fed_assets.hospital.store import LEDGER, writing
from fed_assets.privacy.chain import KEPT, canonical, entries_of, first_fault, sha256
from fed_assets.sandboxes.protection import Protection

NOTED = "privacy ledger"  # as the outbox log calls it


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The steps of a round, and how many rounds alike are to come.

    Attributes:
        round_number: From 1.
        rounds_to_come: This one and those behind it.
        sample_rate: How likely each image comes into a batch.
        steps: Of the round.
    """

    round_number: int
    rounds_to_come: int
    sample_rate: float
    steps: int


@dataclass(frozen=True, kw_only=True)
class Charge:
    """One round, as it stands in the ledger.

    Attributes:
        at: When it was charged, UTC.
        run: The id of the federation's job that it was for.
        round_number: From 1.
        dataset: Digest of the images that were learned from.
        noise_multiplier: Of its steps.
        sample_rate: Of its steps.
        steps: How many.
    """

    at: str
    run: str
    round_number: int
    dataset: str
    noise_multiplier: float
    sample_rate: float
    steps: int


@dataclass(frozen=True, kw_only=True)
class Charged:
    """What a round is to be trained with, and what is spent once it is.

    Attributes:
        noise_multiplier: Of its steps.
        epsilon: Of all rounds so far, this one among them.
        delta: What epsilon holds at.
    """

    noise_multiplier: float
    epsilon: float
    delta: float


@dataclass(frozen=True)
class PrivacyLedger:
    """A hospital's ledger, as one run charges it; several processes may at once.

    Attributes:
        store: The hospital's store.
        outbox: The hospital's outbox log, in which something was noted already.
        run: The id of the federation's job.
    """

    store: Store
    outbox: OutboxLog
    run: str

    def charge(self, protection: Protection, schedule: Schedule, *, dataset: str) -> Charged:
        """Charges a round, before its first step.

        The first round of a run finds the least noise with which all that are to come stay within
        what is left of the budget, and the later ones keep it. Too much of it is refused.

        Args:
            protection: The budget: the hospital's own, from its site's record.
            schedule: The round's steps.
            dataset: Digest of the images to be learned from.

        Raises:
            BudgetSpent: The round would pass the budget; nothing was charged.
            LedgerBroken: The ledger is not what the outbox log says of it, or was sealed.
            StorageError: It could not be written.
            SealBroken: The log is not what the hospital sealed.
            KeyRefused: The hospital's key cannot be used.
        """
        epsilon, delta = protection.epsilon or 0.0, protection.delta or 0.0
        with self._alone():
            charges = read_charges(self.store)
            noise = self._noise_multiplier(charges, schedule, epsilon, delta)
            charge = Charge(
                at=datetime.now(UTC).isoformat(timespec="seconds"),
                run=self.run,
                round_number=schedule.round_number,
                dataset=dataset,
                noise_multiplier=noise or 0.0,
                sample_rate=schedule.sample_rate,
                steps=schedule.steps,
            )
            spent = spent_by([*charges, charge], delta) if noise else 0.0
            if not noise or spent > epsilon:
                raise BudgetSpent(
                    "The hospital's privacy budget does not allow this round",
                    where="control `update_protection`",
                    seen=f"round {schedule.round_number} with {schedule.rounds_to_come - 1} to "
                    f"come, and epsilon {spent_by(charges, delta):.2f} of {epsilon:g} is spent",
                )
            self._keep([*charges, charge])
        return Charged(noise_multiplier=charge.noise_multiplier, epsilon=spent, delta=delta)

    def _noise_multiplier(
        self, charges: Sequence[Charge], schedule: Schedule, epsilon: float, delta: float
    ) -> float | None:
        alike = (self.run, schedule.sample_rate, schedule.steps)
        for charge in charges:
            if (charge.run, charge.sample_rate, charge.steps) == alike:
                return charge.noise_multiplier
        return least_noise(charges, schedule, epsilon, delta).useful

    def _keep(self, charges: Sequence[Charge]) -> None:
        content = _written(charges)
        with writing(self.store):
            self.store.write(self.store.folder / LEDGER, content)
        self.outbox.kept(text(NOTED, content))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with writing(self.store):
            lock = os.open(self.store.folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)


def read_charges(store: Store) -> tuple[Charge, ...]:
    """Returns every charge of a hospital's ledger, oldest first.

    Raises:
        LedgerBroken: The ledger is gone, or is not as it was sealed, or as the outbox log says.
        StorageError: Ledger or log cannot be read.
        SealBroken: The log is not what the hospital sealed.
        KeyRefused: The hospital's key cannot be used.
    """
    path = store.folder / LEDGER
    try:
        charges = _parsed(store.read(path), path)
    except FileNotFoundError:
        charges = ()
    except SealBroken as error:
        raise _broken(path, "not as the hospital sealed it", error.seen) from error
    except OSError as error:
        raise StorageError(
            "The privacy ledger cannot be read", where=str(path), seen=system_reason(error)
        ) from error
    noted = _last_noted(store)
    # The charge of a round that was cut off before it was noted counts too.
    kept = (sha256(_written(charges[:count])) for count in range(len(charges), 0, -1))
    if noted is not None and noted not in kept:
        seen = f"{len(charges)} charges, and none is the last one that the outbox log tells of"
        raise _broken(path, "gone, or is not as it was written", seen)
    return charges


def spent_by(charges: Sequence[Charge], delta: float) -> float:
    """Returns the epsilon that charges come to at a delta."""
    return epsilon_of(map(_steps, charges), delta) if charges else 0.0


def least_noise(
    charges: Sequence[Charge], schedule: Schedule, epsilon: float, delta: float
) -> LeastNoise:
    """Returns the least noise with which all rounds to come stay in the budget."""
    return least_noise_for(
        map(_steps, charges),
        sample_rate=schedule.sample_rate,
        count=schedule.steps * schedule.rounds_to_come,
        of=schedule.steps * (schedule.round_number - 1 + schedule.rounds_to_come),
        epsilon=epsilon,
        delta=delta,
    )


def _steps(charge: Charge) -> Steps:
    return Steps(
        noise_multiplier=charge.noise_multiplier, sample_rate=charge.sample_rate, count=charge.steps
    )


def _written(charges: Sequence[Charge]) -> bytes:
    return b"".join(canonical(asdict(charge)) + b"\n" for charge in charges)


def _parsed(content: bytes, path: Path) -> tuple[Charge, ...]:
    with suppress(ValueError, TypeError):
        charges = tuple(Charge(**json.loads(line)) for line in content.splitlines())
        if _written(charges) == content and all(map(_is_plausible, charges)):
            return charges
    raise _broken(path, "not as it was written")


def _broken(path: Path, how: str, seen: str = "") -> LedgerBroken:
    said = f"The privacy ledger is {how}, so nothing is learned"
    return LedgerBroken(said, where=str(path), seen=seen)


def _is_plausible(charge: Charge) -> bool:
    numbers = (charge.noise_multiplier, charge.sample_rate, charge.steps)
    return all(isinstance(each, int | float) and each > 0 for each in numbers) and all(
        isinstance(getattr(charge, field.name), str) for field in fields(charge)[:2]
    )


def _last_noted(store: Store) -> str | None:
    """Returns the digest that the outbox log last tells of; None where it tells of none."""
    content = read_outbox(store)
    if fault := first_fault(content, hospital=store.hospital):
        raise LedgerBroken(
            "The outbox log, which tells of the privacy ledger, is not as it was written",
            where=str(store.folder),
            seen=fault.said,
        )
    noted = [each.digest for each in entries_of(content) if (each.kind, each.what) == (KEPT, NOTED)]
    return noted[-1] if noted else None
