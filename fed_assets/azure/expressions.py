"""The expressions of Azure's template language, read into trees.

    [concat('st', parameters('hospitals')[copyIndex()].short)]

Grammar: a call, a text in single quotes (`''` is one of them) or a whole number, and behind a call
any number of `.name` and `[expression]`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache


class Fault(Exception):
    """What is wrong with a part of a template; whoever reads the template adds where it stands."""


@dataclass(frozen=True)
class Literal:
    """A text or a number that stands for itself."""

    value: str | int


@dataclass(frozen=True)
class Call:
    """A function and what it is given."""

    name: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True)
class Member:
    """A part of something, by its name or its number."""

    whole: Node
    part: Node


Node = Literal | Call | Member

_TOKEN = re.compile(r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<number>-?\d+)|(?P<name>\w+)|(?P<sign>.))")


def is_expression(text: str) -> bool:
    """Says whether a text is an expression and not just a text; `[[` begins a plain `[`.

    >>> is_expression("[parameters('base')]"), is_expression("[[base]"), is_expression("base")
    (True, False, False)
    """
    return text.startswith("[") and text.endswith("]") and not text.startswith("[[")


@lru_cache(maxsize=4096)
def read(text: str) -> Node:
    """Returns the tree of an expression in brackets.

    >>> read("[length('ab')]")
    Call(name='length', arguments=(Literal(value='ab'),))

    Raises:
        Fault: it is not well-formed.
    """
    reader = _Reader(text[1:-1])
    node = reader.expression()
    if reader.kind:
        raise reader.unexpected("the end")
    return node


class _Reader:
    """Reads one expression from its beginning."""

    def __init__(self, text: str) -> None:
        self._text = text.rstrip()
        self._at = 0
        self.kind = ""
        self._value = ""
        self._step()

    def expression(self) -> Node:
        node = self._first()
        while self.kind == "sign" and self._value in ".[":
            if self._take("sign") == ".":
                node = Member(node, Literal(self._take("name")))
            else:
                node = Member(node, self.expression())
                self._expect("]")
        return node

    def _first(self) -> Node:
        if self.kind == "text":
            return Literal(self._take("text")[1:-1].replace("''", "'"))
        if self.kind == "number":
            return Literal(int(self._take("number")))
        name = self._take("name")
        self._expect("(")
        arguments: list[Node] = []
        while not (self.kind == "sign" and self._value == ")"):
            if arguments:
                self._expect(",")
            arguments.append(self.expression())
        self._expect(")")
        return Call(name, tuple(arguments))

    def _take(self, kind: str) -> str:
        if self.kind != kind:
            raise self.unexpected(f"a {kind}")
        value = self._value
        self._step()
        return value

    def _expect(self, sign: str) -> None:
        if self.kind != "sign" or self._value != sign:
            raise self.unexpected(f"`{sign}`")
        self._step()

    def _step(self) -> None:
        found = _TOKEN.match(self._text, self._at)
        if found is None:
            self.kind = self._value = ""
            return
        self.kind = str(found.lastgroup)
        self._value = found.group(self.kind)
        self._at = found.end()

    def unexpected(self, wanted: str) -> Fault:
        seen = f"`{self._value}`" if self.kind else "the end"
        return Fault(f"the expression `{self._text}` has {seen} where {wanted} should stand")
