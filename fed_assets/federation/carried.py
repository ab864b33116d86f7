"""Large weights travel as files: one side offers a file, the other fetches it part by part.

Inside a message they would lie in memory several times over, in each process on their way.
"""

from __future__ import annotations

import logging
import math
import os
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from nvflare.apis.dxo import from_shareable
from nvflare.apis.filter import Filter
from nvflare.apis.fl_constant import ReturnCode
from nvflare.apis.shareable import make_reply
from nvflare.fuel.f3.cellnet.fqcn import FQCN
from nvflare.fuel.f3.streaming.download_service import Consumer, download_object
from nvflare.fuel.f3.streaming.file_downloader import add_file
from nvflare.fuel.f3.streaming.obj_downloader import ObjectDownloader

from fed_assets.errors import FedAssetsError, JobFailed, StorageError
from fed_assets.federation.answers import ERROR_HEADER
from fed_assets.federation.memory import give_back_memory
from fed_assets.federation.outbox import written
from fed_assets.federation.plan import SERVER
from fed_assets.federation.weights import mapped_weights, write_weights

log = logging.getLogger(__name__)

# In a message's meta: the reference of the file that holds its weights.
REFERENCE = "weights_reference"
# In NVFlare's context of a task: its weights, for as long as the update needs them.
_OF_TASK = "fed_assets_weights"
# Larger parts save time, smaller ones memory.
PART_BYTES = 1 << 22
# How long one part may take before it is asked for again, as after a connection was cut.
PART_SECONDS = 10.0


class FetchWeights(Filter):  # type: ignore[misc]
    """At a hospital: puts the weights that the server offers into the task."""

    def process(self, shareable: Any, fl_ctx: Any) -> Any:
        """Returns the task with its weights, which are read from disk as they are used.

        Raises:
            StorageError: They could not be written.
            JobFailed: They did not come.
        """
        task = from_shareable(shareable)
        reference = task.get_meta_props().pop(REFERENCE)
        path = _new_file()
        try:
            fetch(_cell(fl_ctx), job_cell(SERVER, fl_ctx.get_job_id()), reference, path)
            task.data = mapped_weights(path)
            fl_ctx.set_prop(_OF_TASK, task.data, private=True, sticky=False)
        except FedAssetsError as error:
            log.error("%s: %s", type(error).__name__, error)
            # NVFlare answers for a filter that fails, and echoes the task's cookies as it does.
            shareable.add_cookie(ERROR_HEADER, error.as_record())
            raise
        finally:
            path.unlink(missing_ok=True)  # the mapping holds what it needs
        return task.update_shareable(shareable)


class OfferWeights(Filter):  # type: ignore[misc]
    """At a hospital: takes the weights out of an update, and offers them to the server.

    Args:
        seconds: How long the server may leave them untouched.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds

    def process(self, shareable: Any, fl_ctx: Any) -> Any:
        """Returns the update without weights; a refusal is left as it is."""
        try:
            if shareable.get_return_code() == ReturnCode.OK:
                self._offer(shareable, fl_ctx)
            return shareable
        except FedAssetsError as error:
            log.error("%s: %s", type(error).__name__, error)
            headers = {ERROR_HEADER: error.as_record()}
            return make_reply(ReturnCode.EXECUTION_EXCEPTION, headers)
        finally:
            # NVFlare keeps the task until it has handed the update over.
            fl_ctx.get_prop(_OF_TASK, {}).clear()
            give_back_memory()

    def _offer(self, shareable: Any, fl_ctx: Any) -> None:
        update = from_shareable(shareable)
        path = _new_file()
        try:
            with written("The update", path.parent):
                write_weights(path, update.data)
        except StorageError:
            path.unlink(missing_ok=True)
            raise
        update.data = {}

        def forget(*_: Any) -> None:
            path.unlink(missing_ok=True)

        offer = ObjectDownloader(_cell(fl_ctx), self._seconds, 1, transaction_done_cb=forget)
        update.set_meta_prop(REFERENCE, add_file(offer, str(path), PART_BYTES))
        update.update_shareable(shareable)


@contextmanager
def offered(cell: Any, path: Path, seconds: float) -> Iterator[str]:
    """Yields the reference by which any number of sites can fetch a file in the meantime.

    Args:
        cell: NVFlare's end of the connections of this process.
        path: The file.
        seconds: How long nobody may ask for it before it is withdrawn.
    """
    offer = ObjectDownloader(cell, seconds, num_receivers=0)
    try:
        yield add_file(offer, str(path), PART_BYTES)
    finally:
        offer.delete_transaction()


def fetch(cell: Any, source: str, reference: str, path: Path, most: int | None = None) -> None:
    """Writes an offered file to a path, where nothing of it is left if that fails.

    Args:
        cell: NVFlare's end of the connections of this process.
        source: The name of the cell that offers it, see `job_cell`.
        reference: What it was offered under.
        path: A file that is not there yet.
        most: How many bytes it may have; no more than these are written.

    Raises:
        StorageError: It could not be written.
        JobFailed: It did not come, or not whole, or is larger than that.
    """
    with written("Weights that came in", path.parent), path.open("xb") as stream:
        file = _File(stream, most)
        download_object(
            from_fqcn=source,
            ref_id=reference,
            per_request_timeout=PART_SECONDS,
            cell=cell,
            consumer=file,
        )
        if file.failure:
            _remove(path, stream)
        if file.unwritten is not None:
            raise file.unwritten
    if file.failure:
        raise JobFailed("Weights could not be fetched", seen=file.failure, cure=file.cure)


def _remove(path: Path, stream: IO[bytes]) -> None:
    """Removes a file that is being written, unless another has its name by now."""
    with suppress(FileNotFoundError):
        if os.path.samestat(path.stat(), os.fstat(stream.fileno())):
            path.unlink()


class _File(Consumer):  # type: ignore[misc]
    """Writes parts as they come, no more than it may hold, and keeps what hindered it."""

    supports_pipelining = True  # `consume` leaves the state as it is

    def __init__(self, stream: IO[bytes], most: int | None) -> None:
        super().__init__()
        self._stream = stream
        self._most = math.inf if most is None else most
        self._size = 0
        self.unwritten: OSError | None = None
        self.failure = ""
        self.cure = "Look at the connection, and at the log of whoever offered them"

    def consume(self, ref_id: str, state: dict[str, Any], data: bytes) -> dict[str, Any]:
        if not data:
            raise ValueError("a part is empty")  # there could be any number of them
        if not os.fstat(self._stream.fileno()).st_nlink:
            # Its round is over. It would go on taking a thread and room on the disk.
            raise ValueError("nobody waits for it any more")
        self._size += len(data)
        if self._size > self._most:
            self.failure = f"more than {self._most:,} bytes, which no update of this network has"
            self.cure = "Have the hospital run the release of fed_assets that the others run"
            raise ValueError("too many bytes")
        try:
            self._stream.write(data)
            self._stream.flush()
        except OSError as error:
            self.unwritten = error
            raise
        return state

    def download_completed(self, ref_id: str) -> None:
        """Does nothing: the file is closed by whoever opened it."""

    def download_failed(self, ref_id: str, reason: str) -> None:
        self.failure = self.failure or reason


def job_cell(site: str, job_id: str) -> str:
    """Returns the name of the cell of a site's process of a job."""
    return str(FQCN.join([site, job_id]))


def _cell(fl_ctx: Any) -> Any:
    return fl_ctx.get_engine().get_cell()


def _new_file() -> Path:
    return Path(tempfile.gettempdir()) / f"{uuid.uuid4()}.safetensors"
