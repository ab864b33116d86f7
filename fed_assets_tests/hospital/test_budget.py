"""What is left of a privacy budget, asked before images are read and before a federation starts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fed_assets.errors import (
    BudgetSpent,
    LedgerBroken,
    SourceMissing,
)
from fed_assets.hospital.accountant import MOST_TIMES
from fed_assets.hospital.budget import check_budget, require_budget
from fed_assets.hospital.files import Store
from fed_assets.hospital.images import prepare_images
from fed_assets.hospital.outbox_log import OutboxLog, text
from fed_assets.hospital.privacy_ledger import PrivacyLedger, spent_by
from fed_assets.hospital.private_training import schedule_of
from fed_assets.hospital.recipe import PrivateRecipe
from fed_assets.hospital.store import LEDGER, open_store
from fed_assets.sandboxes.protection import Protection
from fed_assets_tests.hospital.test_privacy_ledger import BUDGET, charge

RECIPE = {"sample_rate": 1 / 3, "local_epochs": 1}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store whose outbox log was begun, as whoever asks a hospital's process begins it."""
    made = open_store(Store(tmp_path / "north", "north"))
    OutboxLog(made, "test").asked(text("images", b""))
    return made


def use_up(store: Store, *, budget: Protection = BUDGET, rounds: int = 3, of: int = 3) -> None:
    for number in range(1, rounds + 1):
        charge(store, number, rounds=of, budget=budget)


def check(
    store: Store, *, rounds: int = 2, start_round: int = 1, budget: Protection = BUDGET
) -> dict[str, Any]:
    asked = {"update_protection": budget.as_record(), "recipe": RECIPE, "rounds": rounds}
    return check_budget(asked | {"start_round": start_round}, store)


def test_a_new_store_has_its_budget_and_one_without_a_protection_needs_none(store: Store) -> None:
    require_budget(BUDGET, store)
    use_up(store)
    require_budget(Protection(), store)


def test_after_a_whole_run_the_budget_is_used_up_until_it_is_raised(store: Store) -> None:
    use_up(store)
    with pytest.raises(BudgetSpent, match=r"epsilon 8\.00 of 8 is spent") as refused:
        require_budget(BUDGET, store)
    assert "raise the sandbox's `epsilon`" in str(refused.value)
    assert "fed-assets budget" in str(refused.value)
    require_budget(replace(BUDGET, epsilon=8.1), store)


def test_of_a_run_that_was_cut_short_something_is_left(store: Store) -> None:
    use_up(store, rounds=14, of=15)
    require_budget(BUDGET, store)


def test_images_are_not_even_looked_for_once_the_budget_is_used_up(store: Store) -> None:
    asked = {
        "source": {"kind": "medmnist", "path": str(store.folder / "none.npz")},
        "image_size": 28,
        "update_protection": BUDGET.as_record(),
    }
    with pytest.raises(SourceMissing):
        prepare_images(asked, store)
    use_up(store)
    with pytest.raises(BudgetSpent, match="its images are not read"):
        prepare_images(asked, store)


def test_nor_where_it_cannot_be_told_what_was_spent(store: Store) -> None:
    use_up(store, rounds=1)
    (store.folder / LEDGER).unlink()
    with pytest.raises(LedgerBroken):
        require_budget(BUDGET, store)
    with pytest.raises(LedgerBroken):
        prepare_images({"image_size": 28, "update_protection": BUDGET.as_record()}, store)


@pytest.mark.parametrize(
    ("spent_before", "rounds", "enough"),
    [
        (0.0, 2, True),
        (6.0, 2, True),
        (7.2, 2, True),
        (8 * (1 - 1e-5), 1, False),  # noise would do, and drown what is learned
        (8 * (1 - 1e-5), 200, False),
        (8 * (1 - 1e-8), 1, False),
    ],
)
def test_it_is_said_before_what_the_ledger_says_in_the_first_round(
    store: Store, spent_before: float, rounds: int, enough: bool
) -> None:
    if spent_before:
        charge(store, 1, rounds=1, budget=replace(BUDGET, epsilon=spent_before))
    before = (store.folder / LEDGER).read_bytes() if spent_before else b""
    said = check(store, rounds=rounds)
    assert said["enough"] is enough
    needed, untouched = said["noise_multiplier"], said["untouched_noise_multiplier"]
    assert enough == (needed is not None and needed <= MOST_TIMES * untouched)
    assert said["epsilon"] == pytest.approx(spent_before, rel=1e-6)
    assert ((store.folder / LEDGER).read_bytes() if spent_before else b"") == before
    ledger = PrivacyLedger(store, OutboxLog(store, "test"), "the run")
    schedule = schedule_of(PrivateRecipe.of(RECIPE), round_number=1, rounds=rounds)
    if enough:
        assert ledger.charge(BUDGET, schedule, dataset="d").epsilon <= 8
    else:
        with pytest.raises(BudgetSpent):
            ledger.charge(BUDGET, schedule, dataset="d")


def test_what_is_left_of_a_run_takes_the_noise_that_all_of_it_took(store: Store) -> None:
    assert check(store, rounds=15)["noise_multiplier"] == pytest.approx(
        check(store, rounds=15)["untouched_noise_multiplier"]
    )
    use_up(store, rounds=14, of=15)
    last = check(store, rounds=15, start_round=15)
    assert last["enough"]
    assert last["noise_multiplier"] < 2 * last["untouched_noise_multiplier"]


def test_nothing_spent_is_nothing() -> None:
    assert spent_by([], 1e-5) == 0.0
