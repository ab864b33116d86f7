"""A hospital of pictures, as it answers tasks of a round."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nvflare.apis.fl_constant import ReturnCode
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from fed_assets.hospital.canary_hospital import CanaryHospital
from fed_assets.hospital.executor import ERROR_HEADER
from fed_assets.hospital.files import Store
from fed_assets.hospital.privacy_ledger import read_charges
from fed_assets_tests.hospital.test_executor import (
    PRIVATE_RECIPE,
    a_site,
    a_task,
    global_weights,
    serialisable_arrays,
)

__all__ = ["serialisable_arrays"]

PRIVATE = {"kind": "differential_privacy", "epsilon": 8.0, "delta": 1e-5, "max_grad_norm": 1.0}
CLIPPED = {"kind": "clip", "max_norm": 1e-3, "max_statistics_norm": 1e-3}


def pictures(tmp_path: Path, round_number: int, seed: int = 0) -> None:
    noise = np.random.default_rng([seed, round_number])
    arrays: dict[str, Any] = {}
    for split, count in (("train", 6), ("val", 2), ("test", 2)):
        arrays[f"{split}_images"] = noise.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        arrays[f"{split}_labels"] = np.arange(count)[:, None] % 2
    np.savez(tmp_path / f"north-{round_number}.npz", **arrays)


def a_hospital(tmp_path: Path, protection: dict[str, Any]) -> tuple[Store, Any]:
    store = Store(tmp_path / "north", "hospital_01")
    told = {"store": str(store.folder), "storage": "plain", "key_custody": "none"}
    return store, a_site(tmp_path, store, told={**told, "update_protection": protection})


def learned(tmp_path: Path, round_number: int) -> Any:
    return np.load(tmp_path / f"north-{round_number}.npy")


def sent(reply: Shareable) -> Any:
    assert reply.get_return_code() == ReturnCode.OK, reply.get_header(ERROR_HEADER)
    params = FLModelUtils.from_shareable(reply).params
    return np.concatenate([each.ravel() for each in params.values()])


def test_what_it_learns_is_left_beside_and_sent_as_it_is_where_nothing_protects_it(
    tmp_path: Path,
) -> None:
    pictures(tmp_path, 1)
    _, context = a_hospital(tmp_path, {"kind": "none"})
    reply = CanaryHospital().execute("train", a_task(round_number=1), context, Signal())
    np.testing.assert_array_equal(sent(reply), learned(tmp_path, 1))


def test_what_is_left_beside_is_what_it_learned_and_not_what_it_sent(tmp_path: Path) -> None:
    pictures(tmp_path, 1)
    _, context = a_hospital(tmp_path, CLIPPED)
    reply = CanaryHospital().execute("train", a_task(round_number=1), context, Signal())
    begun = np.concatenate([each.ravel() for each in global_weights().values()])
    assert np.linalg.norm(sent(reply) - begun) < 2e-3
    assert np.linalg.norm(learned(tmp_path, 1) - begun) > 0.05


def test_it_has_other_pictures_where_there_are_some_and_a_budget_of_their_own(
    tmp_path: Path,
) -> None:
    for number in (1, 2):
        pictures(tmp_path, number)
    store, context = a_hospital(tmp_path, PRIVATE)
    hospital = CanaryHospital()
    for number in (1, 2):
        task = a_task(round_number=number, rounds=number, recipe=PRIVATE_RECIPE)
        np.testing.assert_array_equal(
            sent(hospital.execute("train", task, context, Signal())), learned(tmp_path, number)
        )
        assert [charge.round_number for charge in read_charges(store)] == [number]
    # The third round has no pictures of its own, and all of the budget is spent.
    task = a_task(round_number=3, rounds=3, recipe=PRIVATE_RECIPE)
    reply = hospital.execute("train", task, context, Signal())
    assert reply.get_return_code() != ReturnCode.OK
    assert "budget" in json.dumps(reply.get_header(ERROR_HEADER))
    assert not (tmp_path / "north-3.npy").exists()


def test_nothing_is_left_beside_where_nothing_was_learned(tmp_path: Path) -> None:
    pictures(tmp_path, 1)
    _, context = a_hospital(tmp_path, {"kind": "none"})
    task = a_task(round_number=1, recipe={"learning_rate": -1.0})
    reply = CanaryHospital().execute("train", task, context, Signal())
    assert reply.get_return_code() != ReturnCode.OK
    assert not list(tmp_path.glob("*.npy"))


@pytest.mark.parametrize("task", ["submit_model", "secagg_keys"])
def test_a_task_that_no_hospital_knows_is_none_of_its_own(tmp_path: Path, task: str) -> None:
    pictures(tmp_path, 1)
    _, context = a_hospital(tmp_path, {"kind": "none"})
    reply = CanaryHospital().execute(task, a_task(round_number=1), context, Signal())
    assert reply.get_return_code() == ReturnCode.TASK_UNKNOWN
