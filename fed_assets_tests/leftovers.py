"""What a home's runs leave: processes, ports, sockets, locks, files, keys, places in the pool.

Run by run nothing of these may stay; what records a run (rounds, logs, events) may.
"""

from __future__ import annotations

import fcntl
import os
import re
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
from dagster import DagsterInstance

from fed_assets.federation import warm
from fed_assets.federation.control import CONTROL_SOCKET
from fed_assets.federation.warm_folder import FEDERATION
from fed_assets.resources.home import Home

POOL = "gpu"
# What is written under another name first, or for a moment alone.
HALF_DONE = re.compile(r"\.partial|^\.probe-|^\.dagster-|\.tmp$|^provisioning$")
MOMENTARY = {"tmp", "temporary"}
PRIVATE_KEYS = {".key", ".pfx"}
TARGET = re.compile(r'"target":\s*"[^":]*:(\d+)"')


def left_behind(home: Home, *, beside: Iterable[psutil.Process] = ()) -> list[str]:
    """Returns a line for each thing that is left after a look at each warm federation.

    That look removes the socket of one that was killed, as the product promises; nothing else.

    Args:
        home: Whose.
        beside: Processes that may be there, with all that they have started.
    """
    known = {each.pid for process in beside for each in family(process)}
    up = [folder for folder in (home.root / "warm").glob("*") if warm.status(folder) is not None]
    return [
        *(
            f"process {each.pid}: {called(each)}"
            for each in processes(home)
            if each.pid not in known
        ),
        *(f"port {port} answers" for port in sorted(_open_ports(home, up))),
        *(f"file {path.relative_to(home.root)}" for path in _files(home, up)),
        *(f"lock {path.relative_to(home.root)} is held" for path in _held_locks(home)),
        *(f"a place in the pool {POOL} is kept for {run}" for run in _places(home)),
    ]


def seconds_until_clean(
    home: Home, *, within_seconds: float, beside: Iterable[psutil.Process] = ()
) -> tuple[float, list[str]]:
    """Returns how long it took until nothing was left, and what was left when time was over."""
    began = time.monotonic()
    while True:
        left = left_behind(home, beside=beside)
        took = time.monotonic() - began
        if not left or took > within_seconds:
            return took, left
        time.sleep(0.1)


def family(process: psutil.Process) -> list[psutil.Process]:
    """Returns a process with its descendants; nothing, if it has ended."""
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def called(process: psutil.Process) -> str:
    """Returns a process's title, or its command line; nothing, if it has ended."""
    try:
        return " ".join(process.cmdline()).rstrip(".-\0 ")
    except psutil.Error:
        return ""


def processes(home: Home) -> list[psutil.Process]:
    """Returns the living processes that work in a home, or were told of it, whoever's they are."""
    return [each for each in psutil.process_iter() if _belongs(each, str(home.root))]


def _belongs(process: psutil.Process, root: str) -> bool:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        told = [process.cwd(), *process.cmdline(), *process.environ().values()]
    except (psutil.Error, OSError):  # it has ended, or is another user's
        return False
    return any(root in each for each in told)


def _open_ports(home: Home, up: Iterable[Path]) -> set[int]:
    """Returns the ports of federations, but for those that are up, on which somebody listens."""
    servers = {
        *home.root.glob("federations/*/*/sites/localhost/startup/fed_server.json"),
        *home.root.glob("warm/*/federation/sites/localhost/startup/fed_server.json"),
    }
    ports: dict[bool, set[int]] = {True: set(), False: set()}
    for server in servers:
        path = server.resolve()
        with suppress(FileNotFoundError):
            found = {int(port) for port in TARGET.findall(path.read_text())}
            ports[any(path.is_relative_to(folder.resolve()) for folder in up)] |= found
    listening = {
        link.laddr.port
        for link in psutil.net_connections(kind="tcp")
        if link.status == psutil.CONN_LISTEN
    }
    return (ports[False] - ports[True]) & listening


def _files(home: Home, up: Iterable[Path]) -> Iterator[Path]:
    sockets = {folder / CONTROL_SOCKET for folder in up}
    known = [folder / FEDERATION for folder in up]
    for folder, folders, names in os.walk(home.root):
        for name in (*folders, *names):
            path = Path(folder, name)
            momentary = name in names and MOMENTARY & {*path.relative_to(home.root).parts[:-1]}
            with suppress(FileNotFoundError):
                socket = stat.S_ISSOCK(path.lstat().st_mode) and path not in sockets
                key = path.suffix in PRIVATE_KEYS and not {*path.parents} & {*known}
                key = key and path != home.models_key  # the registry's own, made once
                if socket or momentary or key or HALF_DONE.search(name):
                    yield path


def _held_locks(home: Home) -> Iterator[Path]:
    locks = (*home.root.glob("warm/*/.lock"), *home.root.glob("turns/*"))
    for path in (home.root / ".instance.lock", *locks):
        with suppress(FileNotFoundError), path.open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield path


def _places(home: Home) -> set[str]:
    with DagsterInstance.from_config(str(home.instance)) as instance:
        pool = instance.event_log_storage.get_concurrency_info(POOL)
        return {*pool.active_run_ids, *pool.pending_run_ids, *pool.assigned_run_ids}
