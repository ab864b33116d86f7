"""Hospitals are asked for their budgets before a federation starts, all of them at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fed_assets.assets.budgets import require_budgets
from fed_assets.errors import BudgetSpent
from fed_assets.federation.plan import FederationPlan
from fed_assets.hospital.files import Store
from fed_assets.hospital.outbox_log import OutboxLog, text
from fed_assets.hospital.privacy_ledger import PrivacyLedger, Schedule
from fed_assets.hospital.store import LEDGER, open_store
from fed_assets.resources.hospital_runner import COORDINATOR, LocalHospitalRunner
from fed_assets.sandboxes.controls import UpdateProtection
from fed_assets.sandboxes.presets import EYES_ON
from fed_assets_tests.networks import SMALL_RESNET

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]  # each hospital imports Opacus

NAMES = ("north", "east", "south")
PRIVATE = EYES_ON.model_copy(
    update={"update_protection": UpdateProtection.DIFFERENTIAL_PRIVACY, "previews": False}
)


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[LocalHospitalRunner]:
    """Three hospitals, of which none has spent anything."""
    network = str(SMALL_RESNET["_target_"])
    made = LocalHospitalRunner(home_folder=str(tmp_path), hospitals=list(NAMES), network=network)
    with closing(made):
        first = {"network": SMALL_RESNET, "channels": 1, "classes": 2, "seed": 0}
        # As a run does, from the thread that goes on: a template ends with the one that opened it.
        made.ask(PRIVATE, COORDINATOR, "initial_weights", {**first, "path": str(tmp_path / "w")})
        yield made


def spend(runner: LocalHospitalRunner, hospital: str) -> None:
    store = open_store(Store(runner.store(hospital, PRIVATE), hospital))
    outbox = OutboxLog(store, "job earlier")
    outbox.asked(text("update", b""))
    schedule = Schedule(round_number=1, rounds_to_come=1, sample_rate=0.3, steps=3)
    PrivacyLedger(store, outbox, "earlier").charge(PRIVATE.protection, schedule, dataset="d" * 64)


def a_plan(runner: LocalHospitalRunner, folder: Path, *, quorum: int = 3) -> FederationPlan:
    return FederationPlan(
        sandbox=PRIVATE.name,
        transport="mtls",
        job_code="submitted",
        hospitals=NAMES,
        **runner.kept_by_all(PRIVATE, NAMES),
        folder=str(folder / "federation"),
        outbox=str(folder / "outbox"),
        initial_weights=str(folder / "initial.safetensors"),
        rounds=3,
        start_round=2,
        seed=0,
        recipe={"sample_rate": 0.3, "local_epochs": 1},
        network=SMALL_RESNET,
        classes=2,
        channels=1,
        quorum=quorum,
    )


def test_hospitals_whose_budget_is_spent_are_named_all_at_once(
    runner: LocalHospitalRunner, tmp_path: Path
) -> None:
    assert require_budgets(PRIVATE, a_plan(runner, tmp_path), runner) == {}
    for name in ("north", "south"):
        spend(runner, name)
    with pytest.raises(BudgetSpent) as refused:
        require_budgets(PRIVATE, a_plan(runner, tmp_path), runner)
    said = str(refused.value)
    for name in ("north", "south"):
        assert f"{name}: epsilon 8.00 of 8 is spent, and 2 rounds are asked" in said
    assert "east" not in said
    assert "raise the sandbox's `epsilon`" in said
    assert not (tmp_path / "federation").exists()

    # Where the quorum holds without them, the run goes on; their ledgers refuse each round.
    told = require_budgets(PRIVATE, a_plan(runner, tmp_path, quorum=1), runner)
    assert sorted(told) == ["north", "south"]

    # What cannot be told counts as spent, and says what mends it.
    (runner.store("east", PRIVATE) / LEDGER).write_bytes(b"not ours")
    with pytest.raises(BudgetSpent, match="east: The privacy ledger is not as it was") as broken:
        require_budgets(PRIVATE, a_plan(runner, tmp_path, quorum=1), runner)
    assert "from the hospital's backup" in str(broken.value)


def test_a_sandbox_without_a_budget_asks_nobody(
    runner: LocalHospitalRunner, tmp_path: Path
) -> None:
    for name in NAMES:
        spend(runner, name)
    assert require_budgets(EYES_ON, a_plan(runner, tmp_path), runner) == {}
