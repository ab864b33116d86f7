"""The form of a stored record, said by a table, and what departs from it where it is read."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

from fed_assets.errors import MeasurementError

NO_FORM = "It is not in its form"
# How what is seen is called; anything else is shown.
CALLED: Mapping[type, str] = {dict: "an object", list: "a list"}
MOST_SHOWN = 40  # letters


@dataclass(frozen=True)
class Value:
    """One value: how a message calls what it has to be, and whether another one is that."""

    called: str
    holds: Callable[[Any], bool]


@dataclass(frozen=True)
class OrNull:
    """Something that may be null."""

    form: Form


@dataclass(frozen=True)
class ListOf:
    """A list of things alike."""

    each: Form


@dataclass(frozen=True)
class Named:
    """An object of things alike, by names that are not known before, such as hospitals'."""

    each: Form


@dataclass(frozen=True)
class Fields:
    """An object of names that are known; any others are nobody's concern.

    Attributes:
        needs: what has to be there.
        may: what may be left out or null.
    """

    needs: Mapping[str, Form]
    may: Mapping[str, Form] = field(default_factory=dict)


Form: TypeAlias = Value | OrNull | ListOf | Named | Fields


def is_number(value: Any) -> bool:
    """Returns whether it is a number that a float can hold; true and false are none."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and -sys.float_info.max <= value <= sys.float_info.max


def _is_moment(value: Any) -> bool:
    try:
        datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return False
    return True


def among(texts: Collection[str]) -> Value:
    """Returns the form of what is one of some texts."""
    called = f"one of {', '.join(texts)}"
    return Value(called, lambda value: isinstance(value, str) and value in texts)


def whole(least: int, most: int) -> Value:
    """Returns the form of a whole number from the least to the most."""
    called = f"a whole number from {least} to {most}"
    return Value(called, lambda value: WHOLE.holds(value) and least <= value <= most)


TEXT = Value("a text", lambda value: isinstance(value, str))
FLAG = Value("true or false", lambda value: isinstance(value, bool))
NUMBER = Value("a number", is_number)
WHOLE = Value("a whole number", lambda value: is_number(value) and isinstance(value, int))
MOMENT = Value("a date and time as ISO 8601 writes them", _is_moment)
OBJECT = Value("an object", lambda value: isinstance(value, dict))


def require_form(value: Any, form: Form) -> None:
    """Refuses what departs from a form.

    Raises:
        MeasurementError: it does; the first place that does is named, with what stands there.
    """
    _require(value, form, "")


def _require(value: Any, form: Form, at: str) -> None:
    match form:
        case OrNull(inner):
            if value is not None:
                _require(value, inner, at)
        case ListOf(each):
            if not isinstance(value, list):
                raise _departs("a list", value, at)
            for place, one in enumerate(value):
                _require(one, each, f"{at}[{place}]")
        case Named(each):
            _require(value, OBJECT, at)
            for name, one in value.items():
                _require(one, each, _within(at, name))
        case Fields(needs, may):
            _require(value, OBJECT, at)
            for name, inner in needs.items():
                if name not in value:
                    raise MeasurementError(NO_FORM, where=_within(at, name), seen="nothing")
                _require(value[name], inner, _within(at, name))
            for name, inner in may.items():
                _require(value.get(name), OrNull(inner), _within(at, name))
        case Value(called, holds):
            if not holds(value):
                raise _departs(called, value, at)


def _within(at: str, name: str) -> str:
    return f"{at}.{name}" if at else name


def _departs(called: str, value: Any, at: str) -> MeasurementError:
    seen = CALLED.get(type(value)) or repr(value)[:MOST_SHOWN]
    return MeasurementError(NO_FORM, where=at, seen=f"{seen}, and not {called}")
