"""The pictures of a comparison, in the language of its page."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fed_assets.reporting import formats
from fed_assets.reporting.canvas import Picture, Sketch, Theme, render
from fed_assets.reporting.comparison_maps import hospital_maps, sandbox_map
from fed_assets.reporting.comparison_words import Words
from fed_assets.reporting.heat_map import CELL_POINTS, MAP_INCHES, Grid, fill

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Record = Mapping[str, Any]
HEAD_CHARACTERS = 24  # of a panel's head, which a longer line would take the panel's width from


def draw_comparison(
    record: Record, words: Words, *, theme: Theme, simulated: Sequence[str], synthetic: bool
) -> dict[str, Picture]:
    """Returns the pictures that a comparison can fill, as SVG, by name.

    `decision`, `normalized`, `hospitals_` and a sandbox for each that has hospitals, `ranks` and
    `influence`.

    Args:
        record: of `Comparison.as_record`.
        words: of the page.
        theme: by day or night.
        simulated: sandboxes whose trusted execution environment is simulated.
        synthetic: whether the data were made up.
    """
    sketches = (
        sandbox_map(record, words, simulated, field="value"),
        sandbox_map(record, words, simulated, field="normalized"),
        *hospital_maps(record, words, simulated),
        _ranks(record, words, simulated),
        _influence(record, words),
    )
    return {
        sketch.name: render(sketch, media="svg", theme=theme, synthetic=synthetic)
        for sketch in sketches
        if sketch is not None
    }


def _ranks(record: Record, words: Words, simulated: Sequence[str]) -> Sketch | None:
    """Returns sandboxes down and ranks across, a panel per profile: the probability of each."""
    said = words.page["doubt"]
    shown = {
        name: dict(sorted(of["ranks"]["all"].items(), key=lambda each: (-each[1][0], each[0])))
        for name, of in record["profiles"].items()
        if of["ranks"]
    }
    if not shown:
        return None

    grids = {
        profile: Grid(
            down=[words.sandbox(each, simulated) for each in ranks],
            across=[said["rank"].format(rank=place + 1) for place in range(len(ranks))],
            shades=list(ranks.values()),
            texts=[[words.figure(formats.chance, each) for each in row] for row in ranks.values()],
            missing=words.page["missing"],
        )
        for profile, ranks in shown.items()
    }

    def draw(panels: list[Axes], theme: Theme) -> None:
        for axes, (profile, ranks) in zip(panels, grids.items(), strict=True):
            fill(axes, theme, ranks)
            _head(axes, theme, words.profile(profile))

    firsts = " ".join(
        said["picture_first"].format(
            profile=words.profile(profile),
            sandboxes=", ".join(
                f"{each} {words.figure(formats.chance, row[0])}" for each, row in ranks.items()
            ),
        )
        for profile, ranks in shown.items()
    )
    return Sketch(
        "ranks",
        said["picture"],
        said["picture_note"].format(draws=record["settings"]["draws"]),
        f"{words.page['heat_map']}. {said['picture']}. {firsts} {words.page['as_table']}",
        draw,
        panels=len(shown),
        height_inches=sum(0.4 + each.height_inches(scale=False) for each in grids.values()),
        width_inches=MAP_INCHES,
        mark=words.synthetic_mark,
    )


def _influence(record: Record, words: Words) -> Sketch | None:
    """Returns how often leaving a group out changes the winner, a panel per profile."""
    of, groups = words.page["decides"], words.shared["groups"]
    shown = {
        name: each["influence"]["groups"]
        for name, each in record["profiles"].items()
        if each["influence"]
    }
    if not shown:
        return None

    def draw(panels: list[Axes], theme: Theme) -> None:
        for axes, (profile, rows) in zip(panels, shown.items(), strict=True):
            for place, row in enumerate(rows):
                changes = row["changes_winner"]
                ends = [100 * changes["low"], 100 * changes["high"]]
                axes.plot(ends, [place, place], color=theme.main, linewidth=2.4)
                axes.plot(100 * changes["value"], place, "o", color=theme.main, markersize=7)
            axes.set_yticks(
                range(len(rows)), [groups[row["name"]] for row in rows], color=theme.ink
            )
            axes.set(xlim=(-3, 103), ylim=(len(rows) - 0.4, -0.6))
            axes.xaxis.set_major_formatter("{x:.0f} %")
            _head(axes, theme, words.profile(profile))
        panels[-1].set_xlabel(of["axis"])

    said = " ".join(
        f"{words.profile(profile)}: "
        + "; ".join(
            f"{groups[row['name']]} {_changes(row['changes_winner'], words)}" for row in rows
        )
        + "."
        for profile, rows in shown.items()
    )
    return Sketch(
        "influence",
        of["picture"],
        of["picture_note"],
        f"{of['picture']}. {said}",
        draw,
        panels=len(shown),
        height_inches=0.4 + sum(0.55 + 0.27 * len(rows) for rows in shown.values()),
        width_inches=MAP_INCHES,
        mark=words.synthetic_mark,
    )


def _changes(of: Mapping[str, float], words: Words) -> str:
    value, low, high = (
        words.figure(formats.percents, of[key], 1) for key in ("value", "low", "high")
    )
    return f"{value} ({low}\N{EN DASH}{high})"


def _head(axes: Axes, theme: Theme, text: str) -> None:
    lines = "\n".join(textwrap.wrap(text, HEAD_CHARACTERS))
    look: dict[str, Any] = {"color": theme.ink, "fontsize": CELL_POINTS + 0.5, "fontweight": "bold"}
    axes.set_title(lines, loc="left", **look)
