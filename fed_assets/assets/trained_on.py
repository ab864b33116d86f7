"""Which images no model may have learned from: others than were let in, or of who withdrew."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fed_assets.errors import HospitalRevoked, JobFailed
from fed_assets.federation.admission import Admission
from fed_assets.federation.withdrawals import require_none_withdrawn


def require_allowed_images(
    rounds: Sequence[Mapping[str, Any]], admission: Admission, withdrawals: Path
) -> None:
    """Refuses a model that learned from other images than may be learned from.

    Args:
        rounds: The records of all its rounds, those of earlier runs included.
        admission: Who was let in, with which images.
        withdrawals: The list of hospitals that withdrew.

    Raises:
        JobFailed: A hospital trained on other images than were validated.
        HospitalWithdrawn: One that took part withdrew meanwhile.
        StorageError: The list of those that did cannot be used.
    """
    for record in rounds:
        for hospital, sent in record["participants"].items():
            if sent["dataset_digest"] != admission.digests[hospital]:
                raise JobFailed(
                    f"{hospital} trained on other images than were validated",
                    where=f"round {record['round_number']}",
                    seen=f"digest {str(sent['dataset_digest'])[:16]}",
                    cure=f"Materialize {hospital}/validated_images, then train again.",
                )
    took_part = [hospital for record in rounds for hospital in record["participants"]]
    require_none_withdrawn(withdrawals, took_part, what="No model is made")


@contextmanager
def withdrawal_said_first(withdrawals: Path, hospitals: Iterable[str]) -> Iterator[None]:
    """Has a training that a revoked hospital ends say that it withdrew, where it did.

    Who withdraws is revoked too, and is not to be reinstated in place of what it decided.

    Raises:
        HospitalWithdrawn: One of the hospitals did, and was revoked for it.
    """
    try:
        yield
    except HospitalRevoked:
        require_none_withdrawn(withdrawals, hospitals, what="Nothing is trained")
        raise
