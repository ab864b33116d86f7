"""The sentences of a text, how long they are, and what is said of a choice."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

MOST_WORDS = 25  # of a sentence; a gap, whose names are filled in, is one word


def sentences_of(text: str) -> list[str]:
    """Returns its sentences; a colon or a semicolon ends none."""
    return re.split(r"(?<=[.!?])\s+", text.strip())


def too_long(text: str) -> list[str]:
    """Returns the sentences of more than `MOST_WORDS` words.

    >>> too_long("word " * 25), len(too_long("word " * 26 + "end. Short."))
    ([], 1)
    """
    return [each for each in sentences_of(text) if len(each.split()) > MOST_WORDS]


def said_of(outcome: Mapping[str, Any], language: str = "en") -> str:
    """Returns what a comparison says of one profile's choice, and of what weakens it."""
    weakens = (each["said"] for each in outcome["caveats"][language])
    return " ".join([outcome["sentence"][language], *weakens])
