"""The heat maps of a comparison: sandboxes by criteria, and the hospitals of each by criteria."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fed_assets.comparison.matrix import grid
from fed_assets.reporting import formats
from fed_assets.reporting.canvas import Sketch, Theme, shorten
from fed_assets.reporting.comparison_words import Words
from fed_assets.reporting.heat_map import MAP_INCHES, Grid, add_scale, fill

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Record = Mapping[str, Any]
Row = Mapping[str, Any]
NAME_CHARACTERS = 16


def sandbox_map(
    record: Record, words: Words, simulated: Sequence[str], *, field: str
) -> Sketch | None:
    """Returns criteria down and sandboxes across: measured values, or normalized ones.

    None where fewer than two were measured: there is no worst and no best.
    """
    page, rows = words.page, record["decision"]
    if len({row["sandbox"] for row in rows if row["value"] is not None}) < 2:
        return None
    of = page["decision" if field == "value" else "normalized"]
    sandboxes, criteria, by_sandbox = grid(rows, by="sandbox")
    cells = {(row["criterion"], row["sandbox"]): row for row in rows}
    shown = Grid(
        down=[words.criterion(each, cells[each, sandboxes[0]]["unit"]) for each in criteria],
        across=[words.sandbox(each, simulated).replace(" ", "\n") for each in sandboxes],
        shades=[list(each) for each in zip(*by_sandbox, strict=True)],
        texts=[
            [_text(cells[criterion, sandbox], field, words) for sandbox in sandboxes]
            for criterion in criteria
        ],
        missing=page["missing"],
    )
    by_name = {row["sandbox"]: row for row in record["sandboxes"]}
    told_apart = {each for each in criteria if _told_apart(rows, each)}
    said = " ".join(_best_and_missing(by_name[each], rows, told_apart, words) for each in sandboxes)
    return _map(
        "decision" if field == "value" else "normalized",
        of["picture"],
        of["picture_note"],
        said,
        shown,
        words,
    )


def _map(name: str, title: str, note: str, said: str, shown: Grid, words: Words) -> Sketch:
    page = words.page

    def draw(panels: list[Axes], theme: Theme) -> None:
        (axes,) = panels
        fill(axes, theme, shown)
        add_scale(axes, theme, worst=page["scale_worst"], best=page["scale_best"])

    return Sketch(
        name,
        title,
        f"{note} {page['hatched']}",
        f"{page['heat_map']}. {title}. {said} {page['as_table']}",
        draw,
        height_inches=shown.height_inches(scale=True),
        width_inches=MAP_INCHES,
        mark=words.synthetic_mark,
    )


def _told_apart(rows: Sequence[Row], criterion: str) -> bool:
    """Returns whether sandboxes differ in a criterion, so that one is best in it."""
    own = {row["normalized"] for row in rows if row["criterion"] == criterion}
    return len(own - {None}) > 1


def _text(row: Row, field: str, words: Words) -> str:
    if row[field] is None:
        return ""
    if field == "normalized":
        return words.figure(formats.shade, row[field])
    return words.figure(formats.quantity, row["value"], row["unit"])


def _best_and_missing(
    of: Row, rows: Sequence[Row], told_apart: Container[str], words: Words
) -> str:
    page, sandbox = words.page, of["sandbox"]
    own = [row for row in rows if row["sandbox"] == sandbox]
    missing = [row["criterion"] for row in own if row["normalized"] is None]
    best = [
        row["criterion"]
        for row in own
        if row["normalized"] == 1.0 and row["criterion"] in told_apart
    ]
    if len(missing) == len(own):
        return words.missing(of)
    said = [
        page["best_in"].format(sandbox=sandbox, criteria=words.criteria(best))
        if best
        else page["best_in_none"].format(sandbox=sandbox)
    ]
    if missing:
        said.append(page["missing_in"].format(sandbox=sandbox, criteria=words.criteria(missing)))
    return " ".join(said)


def hospital_maps(record: Record, words: Words, simulated: Sequence[str]) -> Iterator[Sketch]:
    """Yields, of each sandbox with hospitals, criteria down and hospitals across, normalized."""
    for sandbox in dict.fromkeys(row["sandbox"] for row in record["hospitals"]):
        rows = [row for row in record["hospitals"] if row["sandbox"] == sandbox]
        if any(row["value"] is not None for row in rows):
            yield _hospitals_of(sandbox, rows, words, words.sandbox(sandbox, simulated))


def withholding(record: Record) -> list[str]:
    """Returns the sandboxes that suppress small counts, and so miss figures of some hospitals."""
    missing = {row["sandbox"] for row in record["hospitals"] if row["value"] is None}
    return [
        row["sandbox"]
        for row in record["features"]
        if row["control"] == "statistics"
        and "small_counts_suppressed" in row["declared"]
        and row["sandbox"] in missing
    ]


def _hospitals_of(sandbox: str, rows: Sequence[Row], words: Words, named: str) -> Sketch:
    of = words.page["hospitals"]
    hospitals, criteria, shades = grid(rows, by="hospital")
    title = of["picture"].format(sandbox=named)
    shown = Grid(
        down=[words.criterion(each) for each in criteria],
        across=[shorten(each, NAME_CHARACTERS) for each in hospitals],
        shades=[list(each) for each in zip(*shades, strict=True)],
        texts=[
            ["" if each is None else words.figure(formats.shade, each) for each in column]
            for column in zip(*shades, strict=True)
        ],
        missing="\N{EN DASH}",
    )
    said = _furthest(rows, words)
    return _map(f"hospitals_{sandbox}", title, of["picture_note"], said, shown, words)


def _furthest(rows: Sequence[Row], words: Words) -> str:
    """Returns, by criterion, which hospitals are furthest from the best, and what is missing."""
    of, said, missing = words.page["hospitals"], [], []
    for criterion in dict.fromkeys(row["criterion"] for row in rows):
        own = [row for row in rows if row["criterion"] == criterion]
        known = [row for row in own if row["normalized"] is not None]
        if len(known) < len(own):
            names = [row["hospital"] for row in own if row["normalized"] is None]
            missing.append((criterion, [] if not known else names))
        if len({row["normalized"] for row in known}) > 1:
            lowest = min(row["normalized"] for row in known)
            last = [row["hospital"] for row in known if row["normalized"] == lowest]
            said.append((criterion, last))
    return " ".join(
        of[key].format(
            criteria="; ".join(
                of["furthest_of"].format(
                    criterion=words.criterion(name), hospitals=", ".join(hospitals)
                )
                if hospitals
                else words.criterion(name)
                for name, hospitals in found
            )
        )
        for key, found in (("furthest", said), ("missing_in", missing))
        if found
    )
