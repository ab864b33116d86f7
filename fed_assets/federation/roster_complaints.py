"""One clear error per complaint that pydantic has about a roster."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fed_assets.errors import RosterError
from fed_assets.sandboxes.controls import Aggregation
from fed_assets.sandboxes.protection import NEEDS_SINGLE_UPDATES
from fed_assets.sandboxes.sandbox import Sandbox, allowed_values

# What a sandbox's YAML promises, no roster sets.
OF_THE_SANDBOX = frozenset(Sandbox.model_fields) - {"name", "aggregation"}
# What papers and other programs call an entry, too far from its name to be a typo of it.
ALSO_CALLED = {"lr": "learning_rate", "epochs": "local_epochs", "q": "sample_rate"}
CALLED_IN_AGGREGATION = {
    "mu": "proximal_mu",
    "lr": "learning_rate",
    "server_learning_rate": "learning_rate",
    "server_optimizer": "optimizer",
    "eps": "tau",
    "epsilon": "tau",
    "strategy": "rule",
}
# Of each kind of complaint what there has to be, where pydantic says it in Python's words.
WANTED = {
    **dict.fromkeys(
        ("model_type", "dict_type", "model_attributes_type"), "entries of its own, `name: value`"
    ),
    **dict.fromkeys(("tuple_type", "list_type"), "a list"),
    "string_type": "text, within quotes where it looks like something else",
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "yes or no"),
    "path_type": "the path of a file or folder",
}


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
            return RosterError(
                f"The roster has an unknown entry {place}",
                where=str(path),
                cure=_for_unknown(complaint["loc"], known),
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
    what, seen = said_of(complaint), complaint["input"]
    return RosterError(
        f"The roster's entry {place} cannot be used: {what}" if place else f"In the roster, {what}",
        where=str(path),
        seen=str(seen) if isinstance(seen, str | int | float | bool) else "",
        cure=_for_rule(complaint["loc"], seen),
    )


def said_of(complaint: Any) -> str:
    """Returns a complaint of pydantic's in plain words, without Python's.

    >>> said_of({"type": "model_type", "msg": "Input should be an instance of Averaging"})
    'it has to be entries of its own, `name: value`'
    """
    kind, limits = complaint["type"], complaint.get("ctx", {})
    if kind in WANTED:
        return f"it has to be {WANTED[kind]}"
    if kind in ("too_short", "too_long"):
        bound = "at least" if kind == "too_short" else "at most"
        count = limits.get("min_length", limits.get("max_length"))
        return f"it has to have {bound} {count} {'entry' if count == 1 else 'entries'}"
    return str(
        complaint["msg"]
        .removeprefix("Value error, ")
        .replace("Input should be", "it has to be")
        .replace("String should", "it has to")
    )


def _for_unknown(place: tuple[Any, ...], known: Iterable[str]) -> str:
    entry = str(place[-1])
    called = CALLED_IN_AGGREGATION if place[0] == "aggregation" else ALSO_CALLED
    if entry in called:
        return f"Did you mean `{called[entry]}`?"
    if entry in OF_THE_SANDBOX:
        return _in_the_sandbox(f"`{entry}: …` ({allowed_values(entry)})")
    close = difflib.get_close_matches(entry, known, n=1)
    if entry in close:
        return f"`{entry}` belongs elsewhere; fed_assets/roster.yaml shows where."
    return f"Did you mean `{close[0]}`?" if close else "Remove it, or correct its spelling."


def _for_rule(place: tuple[Any, ...], seen: object) -> str:
    """Returns how to write a rule of aggregation that stands in a wrong place; else nothing."""
    if place not in (("aggregation",), ("aggregation", "rule")) or seen not in [*Aggregation]:
        return ""
    if seen in NEEDS_SINGLE_UPDATES:
        return _in_the_sandbox(f"`aggregation: {seen}`")
    return f"Write `aggregation: {{rule: {seen}}}`."


def _in_the_sandbox(line: str) -> str:
    return (
        f"Write {line} in the sandbox's YAML, a line of its own, and not in the roster: copy "
        "fed_assets/sandboxes/configurable.yaml, and set FED_ASSETS_SANDBOX to the copy."
    )
