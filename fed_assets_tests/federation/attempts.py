"""What a process might try on another site's process and files, and a site that it is tried on.

As a program of a site, `guard FOLDER` keeps a key, images and a secret in memory, tells where over
its stdout, and waits; `try VICTIM` tries all there is, and tells what came of it.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

KEY, IMAGES, SECRET = b"the key of north", b"the pixels of north", b"the memory of north"
PTRACE_SEIZE = 0x4206
library = ctypes.CDLL(None, use_errno=True)


def guard(folder: Path) -> dict[str, Any]:
    """Keeps what is to be guarded, and returns where."""
    for name, content in (("keys/key.json", KEY), ("images.npy", IMAGES)):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    guard.secret = ctypes.create_string_buffer(SECRET)
    return {
        "pid": os.getpid(),
        "user": os.geteuid(),
        "key": str(folder / "keys/key.json"),
        "images": str(folder / "images.npy"),
        "descriptor": os.open(folder / "images.npy", os.O_RDONLY),
        "address": ctypes.addressof(guard.secret),
    }


def attempts(victim: dict[str, Any]) -> dict[str, str]:
    """Returns what came of each attempt: `done`, or the name of what forbade it."""
    process = Path(f"/proc/{victim['pid']}")
    tried: dict[str, Callable[[], bool]] = {
        "read the key": lambda: Path(victim["key"]).read_bytes() == KEY,
        "read the images": lambda: Path(victim["images"]).read_bytes() == IMAGES,
        "write the images": lambda: os.close(os.open(victim["images"], os.O_WRONLY)) is None,
        "list the folder": lambda: "images.npy" in os.listdir(Path(victim["images"]).parent),
        "read its environment": lambda: process.joinpath("environ").read_bytes() != b"",
        "read its memory's map": lambda: process.joinpath("maps").read_bytes() != b"",
        "read its memory": lambda: memory(process / "mem", victim["address"]) == SECRET,
        "read by process_vm_readv": lambda: vm_read(victim["pid"], victim["address"]) == SECRET,
        "list its descriptors": lambda: len(os.listdir(process / "fd")) > 0,
        "open its descriptor": lambda: (
            process.joinpath("fd", str(victim["descriptor"])).read_bytes() == IMAGES
        ),
        "read through its root": lambda: (
            Path(f"{process}/root{victim['images']}").read_bytes() == IMAGES
        ),
        "look into its working directory": lambda: len(os.listdir(process / "cwd")) >= 0,
        "trace it": lambda: checked(library.ptrace(PTRACE_SEIZE, victim["pid"], 0, 0)),
        "signal it": lambda: os.kill(victim["pid"], signal.SIGURG) is None,
    }
    return {name: outcome(attempt) for name, attempt in tried.items()}


def outcome(attempt: Callable[[], bool]) -> str:
    try:
        return "done" if attempt() else "something else was found"
    except OSError as error:
        return type(error).__name__


def memory(path: Path, address: int) -> bytes:
    with path.open("rb", buffering=0) as file:
        return os.pread(file.fileno(), len(SECRET), address)


class Span(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


def vm_read(pid: int, address: int) -> bytes:
    content = ctypes.create_string_buffer(len(SECRET))
    here, there = Span(ctypes.addressof(content), len(SECRET)), Span(address, len(SECRET))
    read = library.process_vm_readv(pid, ctypes.byref(here), 1, ctypes.byref(there), 1, 0)
    checked(min(read, 0))
    return content.raw


def checked(result: int) -> bool:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return True


def main() -> None:
    what, argument = sys.argv[1:]
    if what == "guard":
        print(json.dumps(guard(Path(argument))), flush=True)
        sys.stdin.read()
    else:
        own = guard(Path.cwd() / "own")
        answer = {"user": os.geteuid(), "groups": os.getgroups(), "on itself": attempts(own)}
        print(json.dumps(answer | {"on the victim": attempts(json.loads(argument))}), flush=True)
