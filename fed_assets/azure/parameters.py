"""The values of a template's parameters, held to what the template declares of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fed_assets.azure.expressions import Fault

TYPES: Mapping[str, type] = {"string": str, "int": int, "array": list, "bool": bool, "object": dict}

KEYS = frozenset({"type", "defaultValue", "allowedValues", "minLength", "maxLength", "metadata"})


def value_of(declared: Mapping[str, Any], value: Any) -> Any:
    """Returns a parameter's value.

    >>> value_of({"type": "string", "allowedValues": ["north"]}, "north")
    'north'

    Args:
        declared: what the template says of it.
        value: what is given, or its default.

    Raises:
        Fault: it has none, or one that is not allowed.
    """
    for name in sorted(declared.keys() - KEYS):
        raise Fault(f"`{name}` is not known here of a parameter")
    kind = declared.get("type", "")
    if kind not in TYPES:
        raise Fault(f"the type {kind} is none of {', '.join(TYPES)}")
    if value is None:
        raise Fault("it has no default and is not given")
    if not isinstance(value, TYPES[kind]) or (kind == "int" and isinstance(value, bool)):
        raise Fault(f"{value!r} is no {kind}")
    allowed = declared.get("allowedValues")
    if allowed is not None and value not in allowed:
        raise Fault(f"{value!r} is none of {', '.join(map(str, allowed))}")
    if isinstance(value, str | list):
        least, most = declared.get("minLength", 0), declared.get("maxLength", len(value))
        if not least <= len(value) <= most:
            raise Fault(f"{value!r} has a length of {len(value)}, and {least} to {most} is allowed")
    return value
