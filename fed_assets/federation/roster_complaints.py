"""One clear error per complaint that pydantic has about a roster."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fed_assets.errors import RosterError


def explained(complaint: Any, path: Path, *, known: Iterable[str]) -> RosterError:
    """Returns an error that names the place, what stands there, and how to mend it.

    Args:
        complaint: one of pydantic's `ValidationError.errors()`.
        path: the roster.
        known: the names of all entries, among which a close one is looked for.
    """
    place = ".".join(str(part) for part in complaint["loc"])
    match complaint["type"]:
        case "extra_forbidden":
            entry = str(complaint["loc"][-1])
            close = difflib.get_close_matches(entry, known, n=1)
            cure = f"Did you mean `{close[0]}`?" if close else "Remove it, or correct its spelling."
            if entry in close:
                cure = f"`{entry}` belongs elsewhere; fed_assets/roster.yaml shows where."
            return RosterError(
                f"The roster has an unknown entry {place}", where=str(path), cure=cure
            )
        case "missing":
            return RosterError(f"The roster leaves out {place}", where=str(path), cure="Add it.")
        case "union_tag_not_found" | "union_tag_invalid":
            kinds = complaint["ctx"].get("expected_tags", "medmnist, folder, dicom, phantom")
            kind = complaint["ctx"].get("tag")
            return RosterError(
                f"The roster's {place} has {'an unknown' if kind else 'no'} kind",
                where=str(path),
                seen=str(kind or ""),
                cure=f"Write one of {kinds.replace(chr(39), '')}.",
            )
    what = complaint["msg"].removeprefix("Value error, ")
    seen = complaint["input"]
    return RosterError(
        f"The roster's entry {place} cannot be used: {what}" if place else f"In the roster, {what}",
        where=str(path),
        seen=str(seen) if isinstance(seen, str | int | float | bool) else "",
    )
