"""One hospital's process: JSON lines in, JSON lines out, and nothing of a patient among them.

The first line says which hospitals this process is, every further one asks for a task; see
`serve`. Start it as `python -m fed_assets.hospital.worker`.
"""

from __future__ import annotations

import base64
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import IO, Any

from fed_assets.errors import FedAssetsError, IdentityRefused, RunConfigError, WorkerFailed
from fed_assets.hospital.approved import approve_code, show_approval
from fed_assets.hospital.backed import fetched, put_away
from fed_assets.hospital.files import Store
from fed_assets.hospital.named_classes import require_named_classes
from fed_assets.hospital.outbox_log import OutboxLog, read_outbox, text
from fed_assets.hospital.own_log import log_place, logged
from fed_assets.hospital.small_counts import limit_of
from fed_assets.hospital.store import open_store
from fed_assets.hospital.suppression import disclosed, disclosed_error
from fed_assets.hospital.tasks import WHAT, find_task


@dataclass(frozen=True)
class Identity:
    """Whom this process may act for, and what it may show.

    Attributes:
        stores: Where each of its hospitals has its store, and how files are kept there.
        suppress_below: Which counts of each of them do not leave it; see `suppression`.
        previews: Whether pictures may leave it.
        peer: Who asks, as he says: a run of the orchestrator, or its command line.
    """

    stores: Mapping[str, Store]
    suppress_below: Mapping[str, int]
    previews: bool
    peer: str = "unknown"

    @classmethod
    def from_record(cls, record: Any) -> Identity:
        """Reads the first line that the process is sent.

        Raises:
            IdentityRefused: It names no hospital, or no store, or leaves open what may be shown.
        """
        try:
            stores = {name: Store.of(name, each) for name, each in record["hospitals"].items()}
            limits = {name: limit_of(each) for name, each in record["hospitals"].items()}
            previews, peer = record["previews"], str(record.get("peer", cls.peer))
        except (TypeError, KeyError, AttributeError, RunConfigError):
            stores, limits, previews, peer = {}, {}, None, ""
        if not stores or not isinstance(previews, bool):
            raise IdentityRefused(
                "The process was not told which hospital it is",
                seen="the first line names no hospital, or not where its absolute store is and how "
                "files are kept there, or not which counts it suppresses, or no previews",
                cure='Send {"hospitals": {"<id>": {"store": "<folder>", "storage": "plain", '
                '"key_custody": "none", "suppress_below": 10}}, "previews": false}',
            )
        return cls(stores, limits, previews, peer)


def serve(requests: IO[str], replies: IO[str]) -> None:
    """Answers requests one after the other until their end.

    A request is `{"task", "hospital", "arguments"}`, its reply `{"result"}` or `{"error"}`, the
    latter as `FedAssetsError.as_record` gives it. An error that nobody foresaw is answered by its
    type alone: its text may name a file or a patient, and goes into the hospital's own log.
    Request and reply are noted in the hospital's outbox log before anything leaves; what the log's
    digest is of is the reply without `outbox`, which is put in last: the log's head, in the result
    or beside the error. That the log itself was read is not noted: it can be read even where
    nothing can be noted. Nor is an approval of code, which has a record of its own, or a look
    at it: without code that is approved there is no key to note anything with.
    """
    first = requests.readline()
    try:
        identity = Identity.from_record(_parse(first))
    except FedAssetsError as error:
        _send(replies, json.dumps({"error": error.as_record()}))
        return
    for line in requests:
        _send(replies, answer(line, identity))


def answer(line: str, identity: Identity) -> str:
    """Returns the reply to one request, as a line of JSON."""
    store = outbox = None
    what, below = "", 0
    try:
        request = _parse(line)
        if not isinstance(request, dict):
            raise WorkerFailed("A request is not a JSON object", cure="Send one object a line")
        name = request.get("hospital")
        store = identity.stores.get(name) if isinstance(name, str) else None
        if store is None:
            raise IdentityRefused(
                "A process was asked to act for a hospital that it is not",
                where=f"hospital {name}",
                seen=f"this process is {', '.join(sorted(identity.stores))}",
            )
        below = identity.suppress_below[str(name)]
        if request.get("task") == "show_outbox":
            return json.dumps({"result": _shown_outbox(store)})
        if request.get("task") == "approve_code":
            return json.dumps({"result": approve_code(store, identity.peer)})
        if request.get("task") == "show_approval":
            return json.dumps({"result": show_approval(store)})
        with logged(open_store(fetched(store))):
            what = WHAT.get(str(request.get("task")), "an unknown task")
            outbox = OutboxLog(store, identity.peer)
            outbox.asked(text(what, line.strip().encode()))
            task = find_task(request.get("task"), previews=identity.previews)
            arguments = request.get("arguments") or {}
            require_named_classes(request.get("task"), arguments, below)
            started, used = time.perf_counter(), time.process_time()
            result = task(arguments, store)
            result = disclosed(request["task"], result, below)
            result["seconds"] = round(time.perf_counter() - started, 3)
            result["cpu_seconds"] = round(time.process_time() - used, 3)
            result["peak_memory_bytes"] = peak_memory_bytes()
            reply = json.dumps({"result": result}, allow_nan=False)
            result["outbox"] = asdict(outbox.left(text(what, reply.encode())))
            put_away(store)  # what was noted, and what the answer rests on, lasts before it leaves
            return json.dumps({"result": result})
    except FedAssetsError as error:
        known = disclosed_error(error, below)
    except Exception as error:
        known = WorkerFailed(
            "A hospital's process came upon an error that nobody foresaw",
            where=log_place(store) if store else "",
            seen=type(error).__name__,
        )
    return _refusal(known, outbox, what)


def _refusal(error: FedAssetsError, outbox: OutboxLog | None, what: str) -> str:
    """Returns an error as a reply; it too leaves, unless it is that nothing can be noted."""
    reply: dict[str, Any] = {"error": error.as_record()}
    try:
        if outbox is not None:
            noted = outbox.left(text(f"error ({what})", json.dumps(reply).encode()))
            reply["outbox"] = asdict(noted)
    except FedAssetsError as unwritten:
        reply = {"error": unwritten.as_record()}
    return json.dumps(reply)


def peak_memory_bytes() -> int:
    """Returns the most memory that this process has held at once.

    Linux keeps `ru_maxrss` over exec, so a process started from a large one would report that
    one's peak; VmHWM is this program's own.
    """
    try:
        with open("/proc/self/status") as status:
            for line in status:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _shown_outbox(store: Store) -> dict[str, Any]:
    return {"log": base64.b64encode(read_outbox(store)).decode()}


def _parse(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def _send(replies: IO[str], reply: str) -> None:
    replies.write(reply + "\n")
    replies.flush()


def main() -> None:
    """Serves stdin and stdout until stdin ends."""
    os.umask(0o077)
    # Without this a polite end would skip the removal of what is half-written.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    # Replies go to a copy of stdout; whatever a library prints then cannot come between them.
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as replies:
        os.dup2(2, 1)
        serve(sys.stdin, replies)


if __name__ == "__main__":
    main()
