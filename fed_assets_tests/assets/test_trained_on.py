"""What ends a training that a hospital must not be in."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fed_assets.assets.trained_on import withdrawal_said_first
from fed_assets.errors import HospitalRevoked, HospitalWithdrawn
from fed_assets.federation.revocations import require_none_revoked, revoke
from fed_assets.federation.withdrawals import withdraw


def test_of_who_withdrew_that_is_said_and_no_way_round_it(tmp_path: Path) -> None:
    revoked, withdrawn = tmp_path / "revoked.json", tmp_path / "withdrawn.json"
    asked = {"revocations": str(revoked), "sandbox": "minimal", "hospitals": ("north", "south")}
    plan: Any = SimpleNamespace(**asked)  # what a plan says of who is to take part
    with withdrawal_said_first(withdrawn, plan.hospitals):
        require_none_revoked(plan)
    revoke(revoked, "south")
    with (
        pytest.raises(HospitalRevoked, match="reinstate"),
        withdrawal_said_first(withdrawn, plan.hospitals),
    ):
        require_none_revoked(plan)
    withdraw(withdrawn, "south", by="Ada", because="its board said so")
    with (
        pytest.raises(HospitalWithdrawn) as ended,
        withdrawal_said_first(withdrawn, plan.hospitals),
    ):
        require_none_revoked(plan)
    assert "south. Seen: it withdrew on " in str(ended.value)
    assert "reinstate" not in str(ended.value)
