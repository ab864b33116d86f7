"""One NVFlare task per round: the hospital's client hands it in here and gets an update back."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from nvflare.apis.executor import Executor
from nvflare.apis.fl_constant import FLContextKey, FLMetaKey, ReturnCode
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable, make_reply
from nvflare.apis.signal import Signal
from nvflare.app_common.abstract.fl_model import FLModel, ParamsType
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from fed_assets.errors import FedAssetsError, RunConfigError
from fed_assets.hospital.approved import attest
from fed_assets.hospital.backed import fetched, put_away
from fed_assets.hospital.dataset import Dataset, open_dataset
from fed_assets.hospital.evaluation import validation_metrics
from fed_assets.hospital.files import Store
from fed_assets.hospital.hidden_tasks import HiddenTasks
from fed_assets.hospital.masked_tasks import number_of
from fed_assets.hospital.network import build_network
from fed_assets.hospital.outbox_log import OutboxLog, Thing, arrays, text
from fed_assets.hospital.own_log import keep_traceback
from fed_assets.hospital.places import place_to_learn
from fed_assets.hospital.privacy_ledger import PrivacyLedger
from fed_assets.hospital.protected_round import Means, learn
from fed_assets.hospital.site import Site, read_site
from fed_assets.hospital.suppression import disclosed_error
from fed_assets.hospital.training import Stopped
from fed_assets.hospital.weights import load_weights
from fed_assets.privacy.chain import canonical
from fed_assets.privacy.digests import weights_digest
from fed_assets.privacy.encryption_terms import ciphertext_name
from fed_assets.privacy.fixed_point import WEIGHT

log = logging.getLogger(__name__)

ERROR_HEADER = "fed_assets_error"  # of a refusing reply: the error's `as_record()`
# Where an update says how many images it was learned from: to our own server, and to NVFlare.
COUNTS = ("examples", FLMetaKey.NUM_STEPS_CURRENT_ROUND)


class HospitalExecutor(Executor):  # type: ignore[misc]
    """Trains one round on the hospital's own validated images.

    Which hospital this is, where its store lies, and how files are kept there, comes from the
    site's own `local/hospital.json`, never from the job. A task that fails is answered with an
    error code; the log, which may leave the hospital, gets our own messages or an exception's type,
    and the traceback goes to the hospital's own log. Task and reply are noted in the hospital's
    outbox log before anything leaves.
    """

    def __init__(self, train_task: str = "train") -> None:
        super().__init__()
        self.train_task = train_task
        self._hidden = HiddenTasks()  # NVFlare keeps one executor for all tasks of a job

    def execute(
        self, task_name: str, shareable: Shareable, fl_ctx: FLContext, abort_signal: Signal
    ) -> Shareable:
        """Answers one task with full local weights and metrics, or with an error code."""
        store: Store | None = None
        outbox: OutboxLog | None = None
        round_number: int | None = None
        below = 0
        code: str = ReturnCode.EXECUTION_EXCEPTION
        headers: dict[str, Any] = {}
        try:
            site = read_identity(fl_ctx)
            store, below = fetched(site.store), site.suppress_below
            outbox = OutboxLog(store, f"job {fl_ctx.get_job_id()}")
            if place := self._hidden.place_of(task_name, site):
                said = dict(shareable.get(place) or {})
                round_number = number_of(said)
                reply = make_reply(ReturnCode.OK)
                reply[place] = self._hidden.answer(task_name, said, site, outbox, *_run_of(fl_ctx))
                put_away(store)
                return reply
            if task_name != self.train_task:
                return _unknown(task_name, outbox)
            task = FLModelUtils.from_shareable(shareable)
            round_number = number_of(task.meta)
            outbox.asked(_received(task, round_number))
            if site.measured:
                attest(store)
            log.info("Round %s begins", round_number)
            limit = float(task.meta.get("limit_seconds", 0.0))
            with place_to_learn(limit, lambda: bool(abort_signal.triggered)):
                update = run_round(
                    task,
                    hospital=site.hospital,
                    store=store,
                    suppress_below=below,
                    means=Means(
                        protection=site.protection,
                        ledger=PrivacyLedger(store, outbox, str(fl_ctx.get_job_id())),
                        hide=self._hidden.hide(task.meta, site, *_run_of(fl_ctx)),
                    ),
                    abort_signal=abort_signal,
                )
            examples, seconds = update.meta.get("examples", "its"), update.meta["seconds"]
            log.info("It learned from %s images in %.1f s", examples, seconds)
            head = outbox.left(*sent_with(update, round_number))
            update.meta |= {"outbox_entries": head.entries, "outbox_head": head.hash}
            put_away(store)
            return FLModelUtils.to_shareable(update)
        except Stopped:
            code = ReturnCode.TASK_ABORTED
        except FedAssetsError as error:
            error = disclosed_error(error, below)
            log.error("%s: %s", type(error).__name__, error)
            headers[ERROR_HEADER] = error.as_record()
        except Exception as error:
            log.error("The round failed with %s; see the hospital's own log", type(error).__name__)
            if store is not None:
                with suppress(FedAssetsError):  # the reply matters more
                    keep_traceback(store)
        try:
            if outbox is not None:
                outbox.left(text("error (update)", canonical([code, headers]), round_number))
        except FedAssetsError as unwritten:
            code = ReturnCode.EXECUTION_EXCEPTION
            headers = {ERROR_HEADER: unwritten.as_record()}
        return make_reply(code, headers)


def sent_with(update: FLModel, round_number: int | None) -> tuple[Thing, Thing]:
    """Returns what leaves with an update: its weights, and the figures beside them."""
    figures = canonical({"metrics": update.metrics, "meta": update.meta})
    forms = {WEIGHT: "masked update", ciphertext_name(0): "encrypted update"}
    what = next((form for name, form in forms.items() if name in update.params), "update")
    weights = arrays(what, update.params, update.meta["update_digest"], round_number)
    return weights, text("figures of the update", figures, round_number)


def _unknown(task_name: str, outbox: OutboxLog) -> Shareable:
    what, code = "an unknown task", str(ReturnCode.TASK_UNKNOWN)
    outbox.asked(text(what, task_name.encode()))
    outbox.left(text(f"error ({what})", canonical([code, {}])))
    return make_reply(code)


def _received(task: FLModel, round_number: int | None) -> Thing:
    """Returns what a task asks for, by the weights that came with it."""
    weights = task.params or {}
    return arrays("update", weights, weights_digest(weights), round_number)


def _run_of(fl_ctx: FLContext) -> tuple[Path, str]:
    workspace = fl_ctx.get_prop(FLContextKey.WORKSPACE_OBJECT)
    return Path(workspace.get_root_dir()), str(fl_ctx.get_job_id())


def read_identity(fl_ctx: FLContext) -> Site:
    """Returns which hospital the site is that NVFlare runs this for; see `read_site`."""
    local = Path(fl_ctx.get_prop(FLContextKey.WORKSPACE_OBJECT).get_site_config_dir())
    return read_site(local, fl_ctx.get_identity_name())


def run_round(
    task: FLModel,
    *,
    hospital: str,
    store: Store,
    suppress_below: int,
    means: Means,
    abort_signal: Signal,
) -> FLModel:
    """Evaluates the received weights, trains them one round, and returns the update.

    Args:
        task: `params`, the global weights; `meta`, what the controller asks: `round_number`,
            `rounds`, `seed`, `recipe`, `network`, `classes`, `channels`.
        hospital: id, part of the seed of every random draw.
        store: the hospital's store.
        suppress_below: what the update's figures must not rest on; see `suppression`.
        means: what the update is protected with; where it is hidden in a sum, the number of
            examples is not told, and the weights are words or ciphertexts.
        abort_signal: asked before every batch.

    Raises:
        DisclosureRefused: so few images were to be learned from that no update may be sent.
        NotValidated: validation has not let the images through.
        RunConfigError: task, weights or recipe do not fit this hospital, or the update cannot be
            protected as the hospital's site promises it.
        BudgetSpent: the hospital's privacy budget does not allow the round.
        LedgerBroken: it cannot be told what was spent of it.
        Stopped: the signal was triggered.
    """
    started = time.perf_counter()
    dataset = open_dataset(store)
    classes, channels = _agreed(task.meta, dataset)
    network = build_network(task.meta["network"], channels=channels, classes=classes)
    load_weights(network, task.params)
    received = dict(task.params) if means.need_received else {}
    task.params.clear()  # the network has them now, and large ones are held once where they can be
    rows = dataset.split("train")
    metrics, withheld = validation_metrics(network, dataset, len(rows), suppress_below)
    if abort_signal.triggered:
        raise Stopped
    learned = learn(
        network,
        received,
        dataset,
        rows,
        task.meta,
        hospital=hospital,
        classes=classes,
        means=means,
        should_stop=lambda: bool(abort_signal.triggered),
    )
    if learned.loss is None:
        withheld = ["loss", *withheld]
    else:
        metrics = {"loss": learned.loss, **metrics}
    return FLModel(
        params_type=ParamsType.FULL,
        params=learned.weights,
        metrics=metrics,
        current_round=task.current_round,
        total_rounds=task.total_rounds,
        meta={
            **({} if means.hide else dict.fromkeys(COUNTS, learned.examples)),
            "seconds": time.perf_counter() - started,
            "update_digest": weights_digest(learned.weights),
            "dataset_digest": dataset.digest,
            **({"suppressed": withheld} if withheld else {}),
            **learned.said,
        },
    )


def _agreed(meta: dict[str, Any], dataset: Dataset) -> tuple[int, int]:
    wanted = {"round_number", "rounds", "seed", "recipe", "network", "classes", "channels"}
    if missing := sorted(wanted - meta.keys()):
        raise RunConfigError("The round's task is incomplete", seen=f"no {', '.join(missing)}")
    asked = (int(meta["classes"]), int(meta["channels"]))
    own = (len(dataset.classes), dataset.channels)
    if asked != own:
        raise RunConfigError(
            "The federation's classes or channels are not this hospital's",
            seen=f"{asked[0]} classes and {asked[1]} channels asked, {own[0]} and {own[1]} here",
            cure="Materialize the hospital's images again with the federation's classes.",
        )
    return own
