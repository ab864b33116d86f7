from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from fed_assets.errors import BudgetSpent, LedgerBroken, SealBroken
from fed_assets.hospital.budget import show_budget
from fed_assets.hospital.files import Store
from fed_assets.hospital.outbox_log import OutboxLog, text
from fed_assets.hospital.privacy_ledger import (
    NOTED,
    Charged,
    PrivacyLedger,
    Schedule,
    read_charges,
)
from fed_assets.hospital.store import LEDGER, open_store, rotate_key
from fed_assets.privacy.chain import KEPT, OUTBOX_LOG, entries_of
from fed_assets.sandboxes.controls import UpdateProtection
from fed_assets.sandboxes.protection import Protection
from fed_assets_tests.hospital.keys import a_sealed_store

BUDGET = Protection(
    kind=UpdateProtection.DIFFERENTIAL_PRIVACY, epsilon=8.0, delta=1e-5, max_grad_norm=1.0
)
ROUNDS = 3
DIGEST = "d" * 64


@pytest.fixture(params=["plain", "sealed"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """The store of north."""
    if request.param == "sealed":
        return a_sealed_store(tmp_path)
    return open_store(Store(tmp_path / "north", "north"))


@pytest.fixture
def plain(tmp_path: Path) -> Store:
    return open_store(Store(tmp_path / "north", "north"))


def charge(
    store: Store,
    round_number: int,
    *,
    run: str = "first",
    rounds: int = ROUNDS,
    budget: Protection = BUDGET,
    dataset: str = DIGEST,
    **changes: float,
) -> Charged:
    outbox = OutboxLog(store, f"job {run}")
    outbox.asked(text("update", b"weights", round_number))
    steps = {"sample_rate": 0.2, "steps": 5, **changes}
    schedule = Schedule(
        round_number=round_number, rounds_to_come=rounds - round_number + 1, **steps
    )
    return PrivacyLedger(store, outbox, run).charge(budget, schedule, dataset=dataset)


def test_a_run_spends_its_budget_in_equal_rounds_and_no_more(store: Store) -> None:
    charged = [charge(store, number) for number in range(1, ROUNDS + 1)]
    assert len({each.noise_multiplier for each in charged}) == 1
    spent = [each.epsilon for each in charged]
    assert spent == sorted(spent)
    assert 0.99 * 8 < spent[-1] <= 8
    assert [each.round_number for each in read_charges(store)] == [1, 2, 3]
    with pytest.raises(BudgetSpent):
        charge(store, 3)  # asked again: the noise would be fresh, and the images the same
    assert len(read_charges(store)) == 3


def test_another_run_on_the_same_images_finds_the_budget_spent(plain: Store) -> None:
    for number in range(1, ROUNDS + 1):
        charge(plain, number)
    with pytest.raises(BudgetSpent) as refused:
        charge(plain, 1, run="second")
    assert "of 8 is spent" in str(refused.value)
    with pytest.raises(BudgetSpent):
        charge(plain, 1, run="second", dataset="e" * 64)  # it may hold the same images
    raised = charge(plain, 1, run="second", budget=replace(BUDGET, epsilon=12.0))
    assert 8 < raised.epsilon < 12


def test_a_resumed_run_gets_no_more_than_was_left(plain: Store) -> None:
    first = charge(plain, 1)
    rest = [charge(plain, number, run="resumed") for number in (2, 3)]
    assert rest[-1].epsilon <= 8
    # As much noise as before: what the rounds that were not run would have cost is left.
    assert rest[0].noise_multiplier == pytest.approx(first.noise_multiplier, rel=0.01)
    assert rest[0].noise_multiplier == rest[1].noise_multiplier


def test_a_job_that_asks_for_other_steps_stays_within_the_budget(plain: Store) -> None:
    first = charge(plain, 1)
    other = charge(plain, 2, steps=50)
    assert other.noise_multiplier > first.noise_multiplier
    assert other.epsilon <= 8


def test_a_round_that_would_pass_the_budget_is_neither_charged_nor_noted(plain: Store) -> None:
    charge(plain, 1, rounds=1)
    before = (plain.folder / LEDGER).read_bytes()
    noted = (plain.folder / OUTBOX_LOG).read_bytes().count(NOTED.encode())
    with pytest.raises(BudgetSpent) as refused:
        charge(plain, 2, rounds=2)
    assert (plain.folder / LEDGER).read_bytes() == before
    assert (plain.folder / OUTBOX_LOG).read_bytes().count(NOTED.encode()) == noted == 1
    assert "fed-assets budget" in str(refused.value)


def test_a_crash_between_ledger_and_log_counts_the_round(
    plain: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    charge(plain, 1)

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(OutboxLog, "kept", crash)
        with pytest.raises(KeyboardInterrupt):
            charge(plain, 2)
    assert len(read_charges(plain)) == 2
    assert charge(plain, 2).epsilon > 0
    with pytest.raises(BudgetSpent):
        charge(plain, 3)


@pytest.mark.parametrize("how", ["deleted", "rolled back", "emptied", "less noise", "one step"])
def test_a_ledger_that_is_gone_or_changed_is_refused(plain: Store, how: str) -> None:
    ledger = plain.folder / LEDGER
    charge(plain, 1)
    after_one = ledger.read_bytes()
    charge(plain, 2)
    if how == "deleted":
        ledger.unlink()
    elif how == "emptied":
        ledger.write_bytes(b"")
    elif how == "rolled back":
        ledger.write_bytes(after_one)
    else:
        lines = [json.loads(line) for line in ledger.read_bytes().splitlines()]
        lines[0] |= {"noise_multiplier": 50.0} if how == "less noise" else {"steps": 1}
        written = (json.dumps(each, sort_keys=True, separators=(",", ":")) for each in lines)
        ledger.write_text("".join(f"{each}\n" for each in written))
    with pytest.raises(LedgerBroken) as refused:
        charge(plain, 3)
    assert "data officer" in str(refused.value)
    ledger.write_bytes(b"nothing of ours")
    with pytest.raises(LedgerBroken):
        charge(plain, 3)


def test_a_log_that_was_cut_in_its_middle_is_refused(plain: Store) -> None:
    charge(plain, 1)
    charge(plain, 2)
    log = plain.folder / OUTBOX_LOG
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(line for line in lines if NOTED.encode() not in line))
    (plain.folder / LEDGER).unlink()
    with pytest.raises(LedgerBroken, match="outbox log"):
        read_charges(plain)


def test_a_sealed_ledger_shows_nothing_and_bears_no_change(tmp_path: Path) -> None:
    sealed = a_sealed_store(tmp_path)
    charge(sealed, 1)
    rotate_key(sealed)
    assert len(read_charges(sealed)) == 1
    ledger = sealed.folder / LEDGER
    content = bytearray(ledger.read_bytes())
    assert b"noise_multiplier" not in content
    content[-20] ^= 1
    ledger.write_bytes(content)
    with pytest.raises(
        LedgerBroken, match="not as the hospital sealed it, so nothing is"
    ) as refused:
        charge(sealed, 2)
    with pytest.raises(LedgerBroken):
        show_budget({"delta": 1e-5}, sealed)
    said = str(refused.value)
    assert "privacy.jsonl back from the hospital's backup" in said
    assert "would be forgotten without it, so training is refused" in said
    assert "made anew" not in said


def test_a_seal_that_is_gone_altogether_does_not_read_as_leave_to_begin_anew(
    tmp_path: Path,
) -> None:
    sealed = a_sealed_store(tmp_path)
    charge(sealed, 1)
    (sealed.folder / LEDGER).write_bytes(b"nothing of ours")
    with pytest.raises(SealBroken, match="A file of a sealed store is plain") as refused:
        open_store(sealed)
    assert "Where: privacy.jsonl" in str(refused.value)
    assert "what was spent would be forgotten, so training is refused" in str(refused.value)


def test_a_store_of_the_other_storage_is_not_to_be_moved_aside_with_its_ledger(
    tmp_path: Path,
) -> None:
    sealed = a_sealed_store(tmp_path)
    OutboxLog(sealed, "test").asked(text("images", b""))
    with pytest.raises(SealBroken, match="or move the folder aside"):
        open_store(replace(sealed, keys=None))
    charge(sealed, 1)
    with pytest.raises(SealBroken, match=r"written sealed.*what was spent would") as refused:
        open_store(replace(sealed, keys=None))
    assert "move the folder aside" not in str(refused.value)


def test_the_log_tells_of_each_charge(plain: Store) -> None:
    for number in (1, 2):
        charge(plain, number)
    entries = entries_of((plain.folder / OUTBOX_LOG).read_bytes())
    assert [(entry.kind, entry.what) for entry in entries] == 2 * [
        ("asked", "update"),
        (KEPT, NOTED),
    ]


def test_of_two_jobs_at_once_none_is_forgotten(plain: Store) -> None:
    def both(run: str) -> list[Charged]:
        return [charge(plain, number, run=run, budget=ample) for number in (1, 2, 3)]

    # What is left after both had found their noise is not enough for either, but for this much.
    ample = replace(BUDGET, epsilon=50.0)
    for run in ("one", "other"):
        charge(plain, 1, run=run, rounds=30, budget=ample)
    with ThreadPoolExecutor(2) as pool:
        assert [len(each) for each in pool.map(both, ["one", "other"])] == [3, 3]
    assert sorted(each.run for each in read_charges(plain)) == ["one"] * 4 + ["other"] * 4


def test_a_data_officer_sees_each_round_and_the_sum(plain: Store) -> None:
    charged = [charge(plain, number) for number in (1, 2)]
    shown = show_budget({"delta": 1e-5}, plain)
    assert shown["epsilon"] == charged[-1].epsilon
    assert [each["epsilon"] for each in shown["rounds"]] == [each.epsilon for each in charged]
    assert json.loads(json.dumps(shown)) == shown
