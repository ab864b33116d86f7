"""An executor without images that hides its updates in a sum as hospitals do."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from nvflare.apis.fl_constant import FLContextKey, ReturnCode
from nvflare.apis.shareable import Shareable, make_reply
from nvflare.app_common.abstract.fl_model import FLModel
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from fed_assets.errors import FedAssetsError
from fed_assets.hospital.hidden_tasks import HiddenTasks
from fed_assets.hospital.masked_tasks import MaskedTasks
from fed_assets.hospital.outbox_log import OutboxLog
from fed_assets.hospital.site import Site, read_site
from fed_assets.privacy.digests import weights_digest
from fed_assets.privacy.encryption_terms import ciphertext_name
from fed_assets_tests.federation.tiny_executor import TinyExecutor, _behaviour
from fed_assets_tests.privacy.ckks_contexts import ciphertext_of_another_key

FIRST = ciphertext_name(0)


def examples_of(hospital: str) -> int:
    """Returns 10 for the first hospital, 20 for the second, and so on."""
    return 10 * int(hospital[-2:])


class TinyTasks(MaskedTasks):
    def _examples(self, site: Site) -> int:
        return examples_of(site.hospital)


class TinyHiddenTasks(HiddenTasks):
    def __init__(self) -> None:
        super().__init__()
        self._masked = TinyTasks()


class MaskingExecutor(TinyExecutor):
    """As `TinyExecutor`, and a behaviour such as `die at secagg_shares` is for one phase."""

    def __init__(self) -> None:
        super().__init__()
        self._hidden = TinyHiddenTasks()

    def execute(
        self, task_name: str, shareable: Shareable, fl_ctx: Any, abort_signal: Any
    ) -> Shareable:
        workspace = Path(fl_ctx.get_prop(FLContextKey.WORKSPACE_OBJECT).get_root_dir())
        hospital = json.loads((workspace / "local" / "hospital.json").read_text())["hospital"]
        site = read_site(workspace / "local", hospital)
        run = fl_ctx.get_job_id()
        try:
            if place := self._hidden.place_of(task_name, site):
                said = dict(shareable[place])
                behaviour = _behaviour(site.store.folder, said["round_number"])
                act(behaviour, task_name)
                outbox = OutboxLog(site.store, "a test")
                answer = self._hidden.answer(task_name, said, site, outbox, workspace, run)
                if behaviour == f"lie at {task_name}":
                    answer["sum"] = bytes(len(answer["sum"]))
                reply = make_reply(ReturnCode.OK)
                reply[place] = answer
                return reply
            task = FLModelUtils.from_shareable(shareable)
            received = {name: array.copy() for name, array in task.params.items()}
            hide = self._hidden.hide(task.meta, site, workspace, run)
            reply = super().execute(task_name, shareable, fl_ctx, abort_signal)
            if reply is None or reply.get_return_code() != ReturnCode.OK:
                return reply
            behaviour = _behaviour(site.store.folder, task.meta["round_number"])
            if behaviour == "unmasked":
                return reply
            update = FLModelUtils.from_shareable(reply)
            hidden = spoilt(hide(received, update.params, examples_of(hospital)), behaviour)
            meta = {**update.meta, "update_digest": weights_digest(hidden)}
            del meta["examples"]
            model = FLModel(params=hidden, metrics=update.metrics, meta=meta)
            return FLModelUtils.to_shareable(model)
        except FedAssetsError as error:
            headers = {"fed_assets_error": error.as_record()}
            return make_reply(ReturnCode.EXECUTION_EXCEPTION, headers)


def spoilt(hidden: dict[str, Any], behaviour: str) -> dict[str, Any]:
    """Returns what a hostile hospital sends in place of its ciphertexts."""
    if behaviour == "garbage":
        return {**hidden, FIRST: np.frombuffer(os.urandom(131_217), np.uint8)}
    if behaviour == "cut off":
        return {**hidden, FIRST: hidden[FIRST][:-1000]}
    if behaviour == "too many":
        return {**hidden, "more": hidden[FIRST]}
    if behaviour == "another key":
        return {**hidden, FIRST: np.frombuffer(ciphertext_of_another_key(), np.uint8)}
    return hidden


def act(behaviour: str, task_name: str) -> None:
    what, _, when = behaviour.partition(" at ")
    if when != task_name:
        return
    if what == "die":
        os._exit(3)
    if what == "late":
        time.sleep(8)
    if what == "raise":
        raise ValueError("a bug in the executor")
