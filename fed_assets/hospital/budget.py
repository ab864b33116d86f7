"""What a hospital's privacy ledger says, for its data officer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from fed_assets.errors import RunConfigError
from fed_assets.hospital.files import Store
from fed_assets.hospital.privacy_ledger import read_charges, spent_by


def show_budget(arguments: Mapping[str, Any], store: Store) -> dict[str, Any]:
    """Returns what was spent of the hospital's privacy budget; the worker's task of the same name.

    Args:
        arguments: `delta`, at which epsilon is reckoned.
        store: the hospital's store.

    Returns:
        `epsilon` of all rounds together, `delta`, and `rounds`: each as it was charged, and the
        `epsilon` that was spent with it.

    Raises:
        LedgerBroken: it cannot be told what was spent.
    """
    delta = arguments.get("delta")
    if not isinstance(delta, float) or not 0 < delta < 1:
        raise RunConfigError("Delta is no probability", seen=str(delta)[:40])
    charges = read_charges(store)
    rounds = [
        {**asdict(charge), "epsilon": spent_by(charges[:count], delta)}
        for count, charge in enumerate(charges, start=1)
    ]
    return {"epsilon": spent_by(charges, delta), "delta": delta, "rounds": rounds}
