"""A heat map whose every cell says its number; what is missing is hatched, and says so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fed_assets.reporting.canvas import SMALL_POINTS, Theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Shades = Sequence[Sequence[float | None]]
CELL_POINTS = 8.0


def ink_on(color: tuple[float, float, float, float]) -> str:
    """Returns the colour of letters that can be read on a colour of red, green, blue and alpha.

    >>> ink_on((1.0, 1.0, 1.0, 1.0)), ink_on((0.0, 0.0, 0.4, 1.0))
    ('#17212b', '#ffffff')
    """
    red, green, blue, _ = color
    return "#ffffff" if 0.299 * red + 0.587 * green + 0.114 * blue < 0.55 else "#17212b"


def fill(
    axes: Axes, theme: Theme, shades: Shades, texts: Sequence[Sequence[str]], *, missing: str
) -> Any:
    """Fills axes with cells, the first row at the top.

    Args:
        axes: what to draw on.
        theme: its colours; the ramp is one that colour-blind readers tell apart.
        shades: from 0 to 1, by row and column; None is missing, and gets no shade.
        texts: what stands in each cell that is not missing.
        missing: what stands in those that are.

    Returns:
        What a scale of the shades can be drawn of.
    """
    from matplotlib.patches import Rectangle

    known = [[float("nan") if each is None else each for each in row] for row in shades]
    image = axes.imshow(known, cmap=theme.ramp, vmin=0, vmax=1, aspect="auto")
    axes.grid(visible=False)
    for down, row in enumerate(shades):
        for across, shade in enumerate(row):
            if shade is None:
                gap = Rectangle(
                    *((across - 0.5, down - 0.5), 1, 1),
                    facecolor=theme.paper,
                    edgecolor=theme.grid,
                    hatch="/////",
                    linewidth=0,
                )
                axes.add_patch(gap).set_in_layout(False)
            # The layout would ask for the size of each, which within its cell makes no difference.
            axes.text(
                across,
                down,
                missing if shade is None else texts[down][across],
                ha="center",
                va="center",
                color=theme.ink if shade is None else ink_on(image.cmap(shade)),
                fontsize=CELL_POINTS,
                fontstyle="italic" if shade is None else "normal",
            ).set_in_layout(False)
    right, bottom = len(shades[0]) - 0.5, len(shades) - 0.5
    between_rows = [down - 0.5 for down in range(len(shades) + 1)]
    between_columns = [across - 0.5 for across in range(len(shades[0]) + 1)]
    axes.hlines(between_rows, -0.5, right, color=theme.paper, linewidth=1.2)
    axes.vlines(between_columns, -0.5, bottom, color=theme.paper, linewidth=1.2)
    return image


def name_rows_and_columns(
    axes: Axes, theme: Theme, down: Sequence[str], across: Sequence[str], *, upright: bool
) -> None:
    """Writes what stands down and, above the cells, what stands across: slanted, or upright."""
    axes.set_yticks(range(len(down)), down, color=theme.ink, fontsize=CELL_POINTS)
    axes.xaxis.tick_top()
    slant: dict[str, Any] = {"rotation": 40, "ha": "left", "rotation_mode": "anchor"}
    turned = {"rotation": 90} if upright else slant
    axes.set_xticks(range(len(across)), across, color=theme.ink, fontsize=CELL_POINTS, **turned)


def add_scale(axes: Axes, theme: Theme, image: Any, *, worst: str, best: str) -> None:
    """Draws which shade is the worst and which the best, below the cells."""
    bar = axes.figure.colorbar(
        image, ax=axes, orientation="horizontal", fraction=0.02, pad=0.01, aspect=40
    )
    bar.outline.set_visible(False)
    bar.set_ticks([0.0, 1.0], labels=[worst, best])
    bar.ax.tick_params(colors=theme.muted, labelsize=SMALL_POINTS, length=0)
    first, last = bar.ax.get_xticklabels()
    first.set_horizontalalignment("left")
    last.set_horizontalalignment("right")
