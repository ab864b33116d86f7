"""The tasks of secure aggregation through NVFlare's door, over hospitals that learn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nvflare.apis.fl_constant import FLMetaKey, ReturnCode
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from fed_assets.federation.aggregation import Update, fedavg
from fed_assets.hospital.executor import ERROR_HEADER, HospitalExecutor
from fed_assets.hospital.files import Store
from fed_assets.privacy.digests import weights_digest
from fed_assets.privacy.fixed_point import WEIGHT, decoded, in_words
from fed_assets.privacy.masking import Turn
from fed_assets.privacy.masking_terms import KEYS_TASK, REVEAL_TASK, SAID, SHARES_TASK
from fed_assets.privacy.unmasking import Sharing
from fed_assets_tests.hospital.masking_peers import write_site
from fed_assets_tests.hospital.test_evaluation import a_validated_store
from fed_assets_tests.hospital.test_executor import (
    a_site,
    a_task,
    global_weights,
    noted,
    serialisable_arrays,
)

__all__ = ["serialisable_arrays"]

NAMES = ["hospital_01", "hospital_02", "hospital_03"]
BOUNDS = {"max_norm": 50.0, "max_statistics_norm": 50.0}


class Hospital:
    """A hospital's executor, and the context of its site."""

    def __init__(self, folder: Path, name: str, store: Store, kind: str, below: int = 0) -> None:
        self.name, self.executor = name, HospitalExecutor()
        protection = {"kind": kind} | ({**BOUNDS} if kind != "none" else {})
        told = {"store": str(store.folder), "storage": "plain", "key_custody": "none"}
        told |= {"hospital": name, "update_protection": protection, "suppress_below": below}
        self.context = a_site(folder, store, name=name, told=told)
        write_site(folder / "site", name, NAMES)

    def ask(self, task: str, **said: Any) -> Shareable:
        message = Shareable({SAID: {"round_number": 2, **said}})
        sent = Shareable.from_bytes(message.to_bytes())
        return self._executed(task, sent)

    def train(self, **meta: Any) -> Shareable:
        return self._executed("train", a_task(**meta))

    def _executed(self, task: str, message: Shareable) -> Shareable:
        reply = self.executor.execute(task, message, self.context, Signal())
        return Shareable.from_bytes(reply.to_bytes())


@pytest.fixture
def hospitals(tmp_path: Path) -> dict[str, Hospital]:
    found = {}
    for name in NAMES:
        (tmp_path / name).mkdir()
        store = a_validated_store(tmp_path / name)
        found[name] = Hospital(
            tmp_path / name, name, Store(store.folder, name), "secure_aggregation"
        )
    return found


def plain_update(folder: Path, name: str) -> Any:
    """Returns what the same hospital sends without masks: its seed is that of its name."""
    other = Hospital(folder / name, name, Store(folder / name / "store", name), "none")
    reply = other.train()
    assert reply.get_return_code() == ReturnCode.OK, reply.get_header(ERROR_HEADER)
    return FLModelUtils.from_shareable(reply)


def test_three_hospitals_that_learn_give_the_mean_of_what_they_learned(
    hospitals: dict[str, Hospital], tmp_path: Path
) -> None:
    keys = {name: each.ask(KEYS_TASK)[SAID] for name, each in hospitals.items()}
    sealed = {name: each.ask(SHARES_TASK, keys=keys)[SAID] for name, each in hospitals.items()}
    received = global_weights()
    total = {name: np.array(form) for name, form in in_words(received).items()}
    for name, each in hospitals.items():
        shares = {by: told[name] for by, told in sealed.items() if by != name}
        reply = each.train(**{SAID: {"shares": shares}})
        assert reply.get_return_code() == ReturnCode.OK, reply.get_header(ERROR_HEADER)
        update = FLModelUtils.from_shareable(reply)
        assert update.params.keys() == {*received, WEIGHT}
        assert {array.dtype for array in update.params.values()} == {np.dtype(np.uint32)}
        assert update.meta["update_digest"] == weights_digest(update.params)
        assert not {"examples", FLMetaKey.NUM_STEPS_CURRENT_ROUND} & update.meta.keys()
        for at, words in update.params.items():
            total[at] += words
    revealed = {
        name: {
            kind: {of: bytes.fromhex(share) for of, share in shares.items()}
            for kind, shares in each.ask(REVEAL_TASK, survivors=NAMES)[SAID].items()
        }
        for name, each in hospitals.items()
    }
    turn = Turn("job-1", 2)
    sharing = Sharing(turn=turn, threshold=2, keys=keys, took_part=NAMES, survivors=NAMES)
    sharing.unmask(total, revealed)
    mean = decoded(total, received, BOUNDS)

    plain = [
        Update(hospital=name, examples=update.meta["examples"], weights=update.params, report={})
        for name in NAMES
        for update in [plain_update(tmp_path, name)]
    ]
    for name, array in fedavg(plain).items():
        assert np.abs(mean[name] - array).max() < 1e-5
    assert any(np.abs(mean[name] - received[name]).max() > 1e-4 for name in received)

    store = Store(tmp_path / "hospital_01" / "store", "hospital_01")
    told = [(entry.kind, entry.what, entry.round_number) for entry in noted(store)][:9]
    assert told == [
        ("asked", "secagg_keys", 2),
        ("left", "keys of secure aggregation", 2),
        ("asked", "secagg_shares", 2),
        ("left", "sealed shares of its secrets", 2),
        ("asked", "update", 2),
        ("left", "masked update", 2),
        ("left", "figures of the update", 2),
        ("asked", "secagg_unmask", 2),
        ("left", "shares of secrets of its peers", 2),
    ]


def refusal(reply: Shareable) -> str:
    assert reply.get_return_code() == ReturnCode.EXECUTION_EXCEPTION
    error = reply.get_header(ERROR_HEADER)
    return f"{error['kind']}: {error['what']} {error['seen']}"


def test_no_update_leaves_unmasked_whatever_the_server_leaves_out(
    hospitals: dict[str, Hospital],
) -> None:
    first = hospitals["hospital_01"]
    assert "RunConfigError: A task of secure aggregation is incomplete" in refusal(first.train())
    alone = first.train(**{SAID: {"shares": {}}})
    assert "DisclosureRefused: A step of secure aggregation was asked for" in refusal(alone)
    keys = {name: each.ask(KEYS_TASK)[SAID] for name, each in hospitals.items()}
    first.ask(SHARES_TASK, keys=keys)
    alone = first.train(**{SAID: {"shares": {}}})
    assert "DisclosureRefused: Fewer hospitals than the 2" in refusal(alone)


def test_an_incomplete_task_is_refused(hospitals: dict[str, Hospital]) -> None:
    first = hospitals["hospital_01"]
    assert "no round_number" in refusal(first.ask(KEYS_TASK, round_number=None))
    first.ask(KEYS_TASK)
    assert "no keys" in refusal(first.ask(SHARES_TASK))


def test_a_hospital_of_another_sandbox_knows_no_such_task(tmp_path: Path) -> None:
    store = a_validated_store(tmp_path)
    other = Hospital(tmp_path, "hospital_01", store, "none")
    assert other.ask(KEYS_TASK).get_return_code() == ReturnCode.TASK_UNKNOWN


def test_a_hospital_with_few_images_takes_no_part(tmp_path: Path) -> None:
    store = a_validated_store(tmp_path)  # 48 training images
    small = Hospital(tmp_path, "hospital_01", store, "secure_aggregation", below=49)
    keys = small.ask(KEYS_TASK)[SAID]
    reply = small.ask(SHARES_TASK, keys={"hospital_01": keys})
    assert "DisclosureRefused: The hospital has too few training images" in refusal(reply)
