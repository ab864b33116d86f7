"""What was looked at, how each stands, and what mends it, as one table."""

from __future__ import annotations

from collections.abc import Iterable

from rich.markup import escape
from rich.table import Table

from fed_assets.cli.saying import out

COLOURS = {
    "ok": "green",
    **dict.fromkeys(("warning", "not tried"), "yellow"),
    **dict.fromkeys(("missing", "failed"), "red"),
}


def show_findings(rows: Iterable[tuple[str, str, str, str]]) -> None:
    """Prints a table of findings: what, its state, what was seen, and the cure."""
    table = Table("what", "state")
    for heading in ("seen", "to mend it"):
        table.add_column(heading, overflow="fold")
    for what, state, seen, cure in rows:
        table.add_row(what, f"[{COLOURS[state]}]{state}[/]", escape(seen), escape(cure))
    out.print(table)
