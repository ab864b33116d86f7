"""The heat maps of a comparison: sandboxes by criteria, and the hospitals of each by criteria."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fed_assets.comparison.matrix import grid
from fed_assets.reporting import formats
from fed_assets.reporting.canvas import Sketch, Theme, shorten
from fed_assets.reporting.comparison_words import Words
from fed_assets.reporting.heat_map import add_scale, fill, name_rows_and_columns

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Record = Mapping[str, Any]
Row = Mapping[str, Any]
LABEL_CHARACTERS, NAME_CHARACTERS = 29, 16
ROW_INCHES, HEAD_INCHES = 0.33, 1.5
HOSPITAL_INCHES, HOSPITAL_HEAD_INCHES = 0.27, 2.4  # criteria stand upright above hospitals


def _label(words: Words, row: Row) -> str:
    return textwrap.fill(words.criterion(row["criterion"], row["unit"]), LABEL_CHARACTERS)


def sandbox_map(record: Record, words: Words, simulated: Sequence[str], *, field: str) -> Sketch:
    """Returns criteria down and sandboxes across: measured values, or normalized ones."""
    page, rows = words.page, record["decision"]
    of = page["decision" if field == "value" else "normalized"]
    sandboxes, criteria, by_sandbox = grid(rows, by="sandbox")
    shades = [list(each) for each in zip(*by_sandbox, strict=True)]
    cells = {(row["criterion"], row["sandbox"]): row for row in rows}
    texts = [
        [_text(cells[criterion, sandbox], field) for sandbox in sandboxes] for criterion in criteria
    ]

    def draw(panels: list[Axes], theme: Theme) -> None:
        (axes,) = panels
        image = fill(axes, theme, shades, texts, missing=page["missing"])
        down = [_label(words, cells[criterion, sandboxes[0]]) for criterion in criteria]
        across = [words.sandbox(each, simulated).replace(" ", "\n") for each in sandboxes]
        name_rows_and_columns(axes, theme, down, across, upright=False)
        add_scale(axes, theme, image, worst=page["scale_worst"], best=page["scale_best"])

    said = " ".join(_best_and_missing(sandbox, rows, words) for sandbox in sandboxes)
    return Sketch(
        "decision" if field == "value" else "normalized",
        of["picture"],
        f"{of['picture_note']} {page['hatched']}",
        f"{page['heat_map']}. {of['picture']}. {said} {page['as_table']}",
        draw,
        height_inches=HEAD_INCHES + ROW_INCHES * len(criteria),
        mark=words.synthetic_mark,
    )


def _text(row: Row, field: str) -> str:
    if row[field] is None:
        return ""
    return (
        f"{row[field]:.2f}"
        if field == "normalized"
        else formats.quantity(row["value"], row["unit"])
    )


def _best_and_missing(sandbox: str, rows: Sequence[Row], words: Words) -> str:
    page = words.page
    own = [row for row in rows if row["sandbox"] == sandbox]
    missing = [row["criterion"] for row in own if row["normalized"] is None]
    best = [row["criterion"] for row in own if row["normalized"] == 1.0]
    if len(missing) == len(own):
        return str(page["wholly_missing"].format(sandbox=sandbox))
    said = [
        page["best_in"].format(sandbox=sandbox, criteria=words.criteria(best))
        if best
        else page["best_in_none"].format(sandbox=sandbox)
    ]
    if missing:
        said.append(page["missing_in"].format(sandbox=sandbox, criteria=words.criteria(missing)))
    return " ".join(said)


def hospital_maps(record: Record, words: Words, simulated: Sequence[str]) -> Iterator[Sketch]:
    """Yields, of each sandbox with hospitals, hospitals down and criteria across, normalized."""
    for sandbox in dict.fromkeys(row["sandbox"] for row in record["hospitals"]):
        rows = [row for row in record["hospitals"] if row["sandbox"] == sandbox]
        if any(row["value"] is not None for row in rows):
            yield _hospitals_of(sandbox, rows, words, words.sandbox(sandbox, simulated))


def _hospitals_of(sandbox: str, rows: Sequence[Row], words: Words, named: str) -> Sketch:
    page, of = words.page, words.page["hospitals"]
    hospitals, criteria, shades = grid(rows, by="hospital")
    # Two digits and a point are all that a cell of a phone's width holds.
    texts = [["" if each is None else f"{each:.2f}" for each in row] for row in shades]

    def draw(panels: list[Axes], theme: Theme) -> None:
        (axes,) = panels
        image = fill(axes, theme, shades, texts, missing="\N{EN DASH}")
        across = [textwrap.fill(words.criterion(each), LABEL_CHARACTERS) for each in criteria]
        names = [shorten(each, NAME_CHARACTERS) for each in hospitals]
        name_rows_and_columns(axes, theme, names, across, upright=True)
        add_scale(axes, theme, image, worst=page["scale_worst"], best=page["scale_best"])

    title = of["picture"].format(sandbox=named)
    return Sketch(
        f"hospitals_{sandbox}",
        title,
        f"{of['picture_note']} {page['hatched']}",
        f"{page['heat_map']}. {title}. {_furthest(rows, words)} {page['as_table']}",
        draw,
        height_inches=HOSPITAL_HEAD_INCHES + HOSPITAL_INCHES * len(hospitals),
        mark=words.synthetic_mark,
    )


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
