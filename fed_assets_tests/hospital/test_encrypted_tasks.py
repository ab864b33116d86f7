"""The tasks of homomorphic encryption through NVFlare's door, over hospitals that learn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nvflare.apis.fl_constant import FLMetaKey, ReturnCode
from nvflare.apis.shareable import Shareable
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from fed_assets.errors import RunConfigError
from fed_assets.federation.aggregation import Update, fedavg
from fed_assets.hospital.encrypted_tasks import EncryptedTasks
from fed_assets.hospital.executor import ERROR_HEADER
from fed_assets.hospital.files import Store
from fed_assets.hospital.site import Site
from fed_assets.privacy.digests import weights_digest
from fed_assets.privacy.encrypted_sums import ROOM, added
from fed_assets.privacy.encryption_terms import (
    AGREE_TASK,
    DECRYPT_TASK,
    MOST_IMAGES,
    SAID,
    ciphertext_name,
)
from fed_assets.privacy.fixed_point import by_name, in_words, mean_of
from fed_assets.sandboxes.controls import UpdateProtection
from fed_assets.sandboxes.protection import Protection
from fed_assets_tests.hospital.encrypting_sites import write_site
from fed_assets_tests.hospital.test_evaluation import a_validated_store
from fed_assets_tests.hospital.test_executor import global_weights, noted, serialisable_arrays
from fed_assets_tests.hospital.test_masked_tasks import (
    BOUNDS,
    NAMES,
    Hospital,
    plain_update,
    refusal,
)
from fed_assets_tests.privacy.ckks_contexts import servers_context

__all__ = ["serialisable_arrays"]


class EncryptingHospital(Hospital):
    def __init__(self, folder: Path, name: str, store: Store, below: int = 0) -> None:
        super().__init__(folder, name, store, "homomorphic_encryption", below)
        self.workspace = write_site(folder / "site", name, NAMES)

    def ask(self, task: str, **said: Any) -> Shareable:
        return self._executed(task, Shareable({SAID: {"round_number": 2, **said}}))

    def decrypt(self, **said: Any) -> Shareable:
        return self.ask(DECRYPT_TASK, **{"hospitals": NAMES, **said})


@pytest.fixture
def hospitals(tmp_path: Path) -> dict[str, EncryptingHospital]:
    found = {}
    for name in NAMES:
        (tmp_path / name).mkdir()
        store = a_validated_store(tmp_path / name)
        found[name] = EncryptingHospital(tmp_path / name, name, Store(store.folder, name))
    return found


def ciphertexts_of(reply: Shareable) -> list[bytes]:
    assert reply.get_return_code() == ReturnCode.OK, reply.get_header(ERROR_HEADER)
    update = FLModelUtils.from_shareable(reply)
    assert update.params.keys() == set(map(ciphertext_name, range(len(update.params))))
    assert update.meta["update_digest"] == weights_digest(update.params)
    assert not {"examples", FLMetaKey.NUM_STEPS_CURRENT_ROUND} & update.meta.keys()
    return [update.params[name].tobytes() for name in sorted(update.params)]


def total_of(sent: list[list[bytes]]) -> list[bytes]:
    return [added(servers_context(), each) for each in zip(*sent, strict=True)]


def words_of(hospitals: dict[str, EncryptingHospital]) -> dict[str, bytes]:
    return {
        name: each.ask(AGREE_TASK, hospitals=NAMES)[SAID]["word"]
        for name, each in hospitals.items()
    }


def test_three_hospitals_that_learn_give_the_mean_of_what_they_learned(
    hospitals: dict[str, EncryptingHospital], tmp_path: Path
) -> None:
    sent = [ciphertexts_of(each.train()) for each in hospitals.values()]
    received, total = global_weights(), total_of(sent)
    words = words_of(hospitals)
    sums = {
        each.decrypt(ciphertexts=total, words=words)[SAID]["sum"] for each in hospitals.values()
    }
    assert len(sums) == 1, "bit by bit the same, at every hospital"
    row = by_name(np.frombuffer(sums.pop(), "<i8"), in_words(received))
    mean = mean_of(row, received, BOUNDS, ROOM)
    plain = [
        Update(hospital=name, examples=update.meta["examples"], weights=update.params, report={})
        for name in NAMES
        for update in [plain_update(tmp_path, name)]
    ]
    for name, array in fedavg(plain).items():
        assert np.abs(mean[name] - array).max() < 1e-5
    assert any(np.abs(mean[name] - received[name]).max() > 1e-4 for name in received)

    store = Store(tmp_path / "hospital_01" / "store", "hospital_01")
    told = [(entry.kind, entry.what, entry.round_number) for entry in noted(store)][:7]
    assert told == [
        ("asked", "update", 2),
        ("left", "encrypted update", 2),
        ("left", "figures of the update", 2),
        ("asked", "ckks_agree", 2),
        ("left", "its word for whose updates are added up", 2),
        ("asked", "ckks_decrypt", 2),
        ("left", "the sum of updates, decrypted", 2),
    ]


def test_a_hospital_decrypts_one_sum_of_a_round_that_it_is_in(
    hospitals: dict[str, EncryptingHospital],
) -> None:
    first, second, third = hospitals.values()
    for early in (first.ask(AGREE_TASK, hospitals=NAMES), first.decrypt(ciphertexts=[], words={})):
        assert "DisclosureRefused: A sum was asked for of a round in which" in refusal(early)
    sent = {name: ciphertexts_of(each.train()) for name, each in hospitals.items()}
    other_round = first.ask(AGREE_TASK, round_number=3, hospitals=NAMES)
    assert "A sum was asked for of a round in which" in refusal(other_round)
    words, total = words_of(hospitals), total_of([*sent.values()])
    again = first.ask(AGREE_TASK, hospitals=NAMES[:2])
    assert "or for a second time" in refusal(again)
    alone = second.decrypt(ciphertexts=sent["hospital_03"], words=words)
    assert "is not the sum of these hospitals' updates" in refusal(alone)
    unsaid = first.decrypt(ciphertexts=total, words={})
    assert "Fewer hospitals than 2 gave their word" in refusal(unsaid)
    good = third.decrypt(ciphertexts=total, words=words)
    assert good.get_return_code() == ReturnCode.OK
    for hospital in (first, second, third):
        again = hospital.decrypt(ciphertexts=total, words=words)
        assert "or for a second time" in refusal(again)
    assert "A round was asked for that is over" in refusal(third.train())


def test_an_incomplete_task_is_refused(hospitals: dict[str, EncryptingHospital]) -> None:
    first = hospitals["hospital_01"]
    assert "no ciphertexts" in refusal(first.decrypt())
    assert "no ciphertexts" in refusal(first.decrypt(ciphertexts=[1]))
    assert "no round_number" in refusal(first.decrypt(round_number=None, ciphertexts=[]))
    first.train()
    assert "no words" in refusal(first.decrypt(ciphertexts=[]))


def test_no_update_leaves_without_the_key_of_this_federation(
    hospitals: dict[str, EncryptingHospital],
) -> None:
    first = hospitals["hospital_01"]
    write_site(first.workspace, first.name, NAMES, key="another", key_digest="0" * 64)
    assert "another federation's key" in refusal(first.train())


def test_a_hospital_of_another_sandbox_knows_no_such_task(tmp_path: Path) -> None:
    other = Hospital(tmp_path, "hospital_01", a_validated_store(tmp_path), "none")
    reply = other._executed(DECRYPT_TASK, Shareable({SAID: {"round_number": 2}}))
    assert reply.get_return_code() == ReturnCode.TASK_UNKNOWN


def test_a_hospital_with_few_images_takes_no_part(tmp_path: Path) -> None:
    store = a_validated_store(tmp_path)  # 48 training images
    small = EncryptingHospital(tmp_path, "hospital_01", store, below=49)
    assert "DisclosureRefused: The hospital has too few training images" in refusal(small.train())


def test_more_images_than_all_hospitals_may_have_are_refused(tmp_path: Path) -> None:
    protection = Protection(kind=UpdateProtection.HOMOMORPHIC_ENCRYPTION, **BOUNDS)
    site = Site("hospital_01", Store(tmp_path, "hospital_01"), 0, False, protection)
    workspace = write_site(tmp_path, "hospital_01", NAMES)
    encrypt = EncryptedTasks().encrypt({"round_number": 1}, site, workspace, "run")
    weights = {"w": np.zeros(3, np.float32)}
    assert encrypt(weights, weights, MOST_IMAGES)
    with pytest.raises(RunConfigError, match="more images than 1,048,576"):
        encrypt(weights, weights, MOST_IMAGES + 1)
