"""One look at a hospital's source: in how many files it differs from what was last taken up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fed_assets.errors import SourceMissing
from fed_assets.hospital.files import Store
from fed_assets.hospital.source_files import SourceFile, files_of, packed_file, read_files
from fed_assets.hospital.source_state import State, difference, state_of, taken
from fed_assets.hospital.sources.open import open_source

MOST_SECONDS = 30.0
# Of each source that has one file per image, the channels matter to decoding alone, and to find
# them out would decode pictures.
ANY_CHANNELS = 1


def look_at_source(arguments: Mapping[str, Any], store: Store) -> dict[str, Any]:
    """Compares the hospital's source with what its images were last prepared from.

    Nothing is decoded, and a file that was read before is not read again; see `source_files`. A
    look that has no time to read all new files goes on where it ended the next time.

    Args:
        arguments: What `prepare_images` is asked with; and `most_seconds`, after how long no file
            is read any more (30, if it is not named).
        store: The hospital's store.

    Returns:
        `new`, `changed`, `removed` and `moved`, see `Difference`, and `copies`, which count files,
        of which a packed set is one; `differs`, whether anything does; `settled`, whether every
        file was read and none is still being written, without which the rest says little;
        `unsettled`, how many are; `digest` of the source, and `mark`, which names the last time
        that its images were taken up; empty if they never were.

    Raises:
        RosterError: The source's entry cannot be used.
        DataError: There is no source, or no image in it; or a note of a sealed store was changed.
        StorageError: What was read cannot be kept.
    """
    settle_seconds = float(arguments.get("settle_seconds") or 0.0)
    most_seconds = float(arguments.get("most_seconds") or MOST_SECONDS)
    files = _files(arguments, store)
    reading = read_files(files, store, settle_seconds=settle_seconds, most_seconds=most_seconds)
    reading.keep(store)
    found = reading.files
    now, copies = state_of((each for each in found if each.sha256), arguments)
    before = taken(store)
    differs = difference(before or State("", {}), now)
    unsettled = sum(not each.settled for each in found)
    unread = sum(not each.sha256 for each in found)
    counts = asdict(differs)
    del counts["terms"]
    return counts | {
        "copies": len(copies),
        "unsettled": unsettled,
        "settled": not unsettled and not unread,
        "differs": differs.any,
        "digest": now.digest,
        "mark": before.mark if before else "",
    }


def _files(arguments: Mapping[str, Any], store: Store) -> list[SourceFile]:
    spec = arguments.get("source") or {}
    match spec.get("kind"):
        case "medmnist":
            path = Path(str(spec.get("path")))
            if not path.is_file():
                raise SourceMissing("The file of images is not there", where=str(path))
            return [packed_file(path)]
        case "folder":
            spec = {**spec, "channels": ANY_CHANNELS}
    return files_of(open_source(spec, classes=arguments.get("classes")), store)
