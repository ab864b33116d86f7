"""Tables as the README has them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Returns a table in Markdown; an empty cell stays empty.

    >>> print(markdown_table(["rule", "held"], [["`fedavg`", ""]]))
    | rule | held |
    | --- | --- |
    | `fedavg` |  |
    """
    cells = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)
