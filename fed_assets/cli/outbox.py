"""`fed-assets outbox`: what was asked of a hospital and what left it, for its data officer."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fed_assets.cli.exit_codes import FAILED
from fed_assets.cli.names import require_here, require_hospital
from fed_assets.errors import RunConfigError
from fed_assets.privacy.chain import (
    OUTBOX_LOG,
    TORN,
    Entry,
    Fault,
    Head,
    entries_of,
    first_fault,
    unseen,
)
from fed_assets.resources.home import Home
from fed_assets.resources.settings import Settings
from fed_assets.sandboxes.presets import SANDBOX_NAMES, find_sandbox

if TYPE_CHECKING:
    from fed_assets.resources.hospital_runner import LocalHospitalRunner

DIGITS = 12
ID_DIGITS = 8  # as runs are named elsewhere
out = Console()


@dataclass(frozen=True)
class Log:
    """A hospital's outbox log in a sandbox, as the hospital's own process read it."""

    hospital: str
    sandbox: str
    content: bytes

    @property
    def entries(self) -> list[Entry]:
        """Returns every entry that is whole."""
        return entries_of(self.content)


def outbox(
    context: typer.Context,
    hospital: Annotated[str, typer.Argument(help="The hospital's id.")],
    sandbox: Annotated[str | None, typer.Option(help="Only this sandbox's log.")] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Look for a changed, removed or reordered entry.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Show what was asked of a hospital, by whom, and every thing that left it.

    --verify ends with 1 where an entry of the log is not as it was written.
    """
    chosen: Settings = context.obj
    if sandbox is not None:
        find_sandbox(sandbox, configurable=chosen.configurable)
    logs = _read_logs(chosen, hospital, [sandbox] if sandbox else SANDBOX_NAMES)
    if verify:
        _verify(logs, chosen.home, as_json=as_json)
    elif as_json:
        print(json.dumps([_as_record(log) for log in logs], indent=1))
    else:
        for log in logs:
            out.print(_table(log))
            if fault := first_fault(log.content, hospital=hospital):
                said = f"NOT AS IT WAS WRITTEN: {fault.said}"
                out.print(said, style="red", markup=False, highlight=False, soft_wrap=True)


def _read_logs(chosen: Settings, hospital: str, sandboxes: Sequence[str]) -> list[Log]:
    """Returns a hospital's logs, those of one that is no longer in the roster too.

    Raises:
        RunConfigError: There is no such hospital, or no log of it.
        FedAssetsError: What the hospital's process answered where it could not read a log.
    """
    from fed_assets.resources.hospital_runner import LocalHospitalRunner

    require_hospital(chosen, hospital)
    require_here(chosen, hospital)
    kept = [name for name in sandboxes if (chosen.home.store(hospital, name) / OUTBOX_LOG).exists()]
    if not kept:
        raise _no_log(chosen.home, hospital, sandboxes)
    runner = LocalHospitalRunner(
        home_folder=str(chosen.home.root),
        hospitals=[hospital],
        network="",
        stored_on=chosen.home.stored_on.value,
    )
    with contextlib.closing(runner):
        return [_read_log(runner, chosen, hospital, name) for name in kept]


def _read_log(runner: LocalHospitalRunner, chosen: Settings, hospital: str, name: str) -> Log:
    sandbox = find_sandbox(name, configurable=chosen.configurable)
    answer = runner.ask(sandbox, hospital, "show_outbox", {})
    return Log(hospital, name, base64.b64decode(answer["log"]))


def _no_log(home: Home, hospital: str, sandboxes: Sequence[str]) -> RunConfigError:
    """Returns that there is no log, and whether there was one."""
    from fed_assets.resources.outbox_witness import seen_heads

    where = f" in {sandboxes[0]}" if len(sandboxes) == 1 else ""
    had = [name for name in sandboxes if seen_heads(home, hospital, name)]
    return RunConfigError(
        f"{hospital} has no outbox log{where}",
        where=str(home.root / "hospitals" / hospital),
        seen=f"there was one in {', '.join(had)}: it was removed" if had else "",
        cure="Find out who removed it, and put it back from the hospital's own copy"
        if had
        else f"Run `fed-assets run {sandboxes[0]}`; the hospital writes it as it is asked",
    )


def _verify(logs: Sequence[Log], home: Home, *, as_json: bool) -> None:
    from fed_assets.resources.outbox_witness import seen_heads

    verdicts, lines = [], []
    for log in logs:
        seen = [Head(*each) for each in seen_heads(home, log.hospital, log.sandbox)]
        fault = first_fault(log.content, hospital=log.hospital) or unseen(log.entries, seen)
        last_seen = max((head.entries for head in seen), default=0)
        verdicts.append({**_verdict(log, fault), "last_seen_entry": last_seen or None})
        lines.append(_said(log, fault, last_seen))
    if as_json:
        print(json.dumps(verdicts, indent=1))
    else:
        for line in lines:
            out.print(line, markup=False, highlight=False, soft_wrap=True)
    if any(not verdict["whole"] for verdict in verdicts):
        raise typer.Exit(FAILED)


def _verdict(log: Log, fault: Fault | None) -> dict[str, Any]:
    entries = log.entries
    return {
        "hospital": log.hospital,
        "sandbox": log.sandbox,
        "whole": fault is None,
        "fault": asdict(fault) if fault else None,
        "entries": len(entries),
        "head": entries[-1].hash if entries else None,
    }


def _said(log: Log, fault: Fault | None, last_seen: int) -> str:
    name = f"{log.hospital} in {log.sandbox}"
    if fault:
        return f"{name}: {fault.said}"
    entries = len(log.entries)
    torn = sum(entry.kind == TORN for entry in log.entries)
    also = f"; {torn} of them tell of a line that was cut off" if torn else ""
    if not last_seen:
        return (
            f"{name}: {entries} entries are whole and in order{also}; whether any is missing at "
            "the end cannot be told, for Dagster has seen none of them"
        )
    later = entries - last_seen
    also += f"; {later} of them came after the last one that it saw" if later else ""
    return f"{name}: {entries} entries are whole, in order, and the ones that Dagster saw{also}"


def _as_record(log: Log) -> dict[str, Any]:
    entries = [{**asdict(entry), "hash": entry.hash} for entry in log.entries]
    return {"hospital": log.hospital, "sandbox": log.sandbox, "entries": entries}


def _table(log: Log) -> Table:
    title = f"The outbox log of {log.hospital} in {log.sandbox}"
    table = Table(title=title, title_justify="left")
    table.add_column("entry", justify="right")
    for heading in ("time", "", "what", "by or to"):
        table.add_column(heading, no_wrap=heading == "time", overflow="fold")
    for heading in ("round", "bytes"):
        table.add_column(heading, justify="right", overflow="fold")
    table.add_column("digest", overflow="fold")
    for entry in log.entries:
        peer, _, its_id = entry.peer.partition(" ")
        local = datetime.fromisoformat(entry.at).astimezone()
        table.add_row(
            str(entry.number),
            f"{local:%Y-%m-%d %H:%M:%S}",
            entry.kind,
            escape(entry.what),
            escape(f"{peer} {its_id[:ID_DIGITS]}"),
            "" if entry.round_number is None else str(entry.round_number),
            f"{entry.size_bytes:,}",
            entry.digest[:DIGITS],
        )
    return table
