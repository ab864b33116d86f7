"""One job of Azure ML: starts the hospital's worker on what Pipes brought, and answers through it.

`python -m fed_assets.hospital.azure_job HOSPITAL MESSAGES HOME [IMAGES]` runs on a compute of the
hospital's own workspace: its id, the URL of the container that tasks and answers pass through, and
the folders that its stores and its images lie in. What it answers is the worker's own reply, and
the whole of it; whatever else is printed goes into the hospital's own log.
"""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from fed_assets.containers.job_messages import (
    Brought,
    Machine,
    answer_job,
    read_command_line,
    refusal,
)
from fed_assets.errors import IdentityRefused, SourceMissing
from fed_assets.hospital.worker import serve

_PLACES = ("store", "key_file", "approval", "container")
_IMAGES_FOLDER = "${FED_ASSETS_DATA}"


def answer_request(request: Any, machine: Machine, weights: Mapping[str, bytes]) -> str:
    """Returns the worker's reply to what the orchestrator asks, as a line of JSON.

    Args:
        request: An object of `identity`, as `hospital.worker.Identity` reads it but with places
            relative to the home, and `requests`, of which the last one's reply is returned.
        machine: Where it is carried out.
        weights: By the name of the argument, what the last request's files of weights hold.
    """
    try:
        with _files(weights) as paths:
            lines = _lines(request, machine, paths)
            replies = io.StringIO()
            serve(io.StringIO("".join(f"{json.dumps(line)}\n" for line in lines)), replies)
        return replies.getvalue().splitlines()[-1]
    except Exception as error:
        return refusal(error)


def _lines(request: Any, machine: Machine, weights: Mapping[str, str]) -> list[dict[str, Any]]:
    identity, requests = request["identity"], request["requests"]
    if set(identity["hospitals"]) != {machine.hospital}:
        raise IdentityRefused(
            "A job was asked to act for a hospital that its machine is not",
            where=f"hospital {machine.hospital}",
            seen=", ".join(sorted(identity["hospitals"])),
        )
    machine.require_own()
    kept = dict(identity["hospitals"][machine.hospital])
    for name in _PLACES:
        if name in kept:
            kept[name] = str(_below(machine.home, kept[name]))
    arguments = {**(requests[-1].get("arguments") or {}), **weights}
    if "source" in arguments:
        arguments["source"] = _located(arguments["source"], machine)
    return [
        {**identity, "hospitals": {machine.hospital: kept}},
        *requests[:-1],
        {**requests[-1], "arguments": arguments},
    ]


def _below(home: Path, place: str) -> Path:
    """Returns a place in the home.

    Raises:
        IdentityRefused: It leads out of it.
    """
    path = PurePosixPath(place)
    if path.is_absolute() or ".." in path.parts:
        raise IdentityRefused(
            "A job was asked to keep files outside of its hospital's folder", where=place
        )
    return home / path


def _located(source: dict[str, Any], machine: Machine) -> dict[str, Any]:
    """Returns a source of images whose path is filled in.

    Raises:
        SourceMissing: The machine was given no images, or the path does not lie among them.
    """
    if source.get("path") is None:
        return source
    first, *others = PurePosixPath(source["path"]).parts
    if machine.images is None or first != _IMAGES_FOLDER or ".." in others:
        raise SourceMissing(
            "The hospital's path does not lie in the images that its job is given",
            where=f"hospital {machine.hospital}",
            cure="In the roster, begin its `path` with ${FED_ASSETS_DATA}, and name by "
            "`azure_ml.images` the folder that this stands for",
        )
    return {**source, "path": str(machine.images.joinpath(*others))}


@contextmanager
def _files(weights: Mapping[str, bytes]) -> Iterator[dict[str, str]]:
    """Yields the paths of files that hold these weights; they are gone after."""
    with tempfile.TemporaryDirectory(prefix="fed_assets_") as folder:
        paths = {name: Path(folder) / f"{name}.safetensors" for name in weights}
        for name, path in paths.items():
            path.write_bytes(weights[name])
        yield {name: str(path) for name, path in paths.items()}


def main() -> None:
    """Runs the job that the command line describes."""
    machine, messages = read_command_line(sys.argv[1:], "fed_assets.hospital.azure_job")
    os.umask(0o077)
    # Without this a cancelled job would skip the removal of what is half-written.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))

    def answer(brought: Brought) -> str:
        return answer_request(brought.request, machine, brought.files)

    answer_job(machine, messages, answer)


if __name__ == "__main__":
    main()
