"""Heat maps that a phone can show: a row's name stands above its cells, which take all the width.

Every cell says its number; what is missing is hatched, and says so.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fed_assets.reporting.canvas import Theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# On a page 360 pixels wide a map is 300 wide, and its letters, of 8.5 points of 230, are 11 high.
MAP_INCHES, CELL_POINTS = 3.2, 8.5
COLUMNS = 10  # as many as hold two decimals each, in that width
NAME_CHARACTERS = 44
LINE_INCHES, CELL_INCHES, GAP_INCHES, SCALE_INCHES = 0.15, 0.21, 0.06, 0.45
HEAD_INCHES_A_CHARACTER = 0.075

Color = tuple[float, float, float, float]  # red, green, blue and alpha


@dataclass(frozen=True)
class Grid:
    """What a heat map shows.

    Attributes:
        down: the names of rows.
        across: the names of columns; a name may have several lines.
        shades: from 0 to 1, by row and column; None is missing, and gets no shade.
        texts: what stands in each cell that is not missing.
        missing: what stands in those that are.
    """

    down: Sequence[str]
    across: Sequence[str]
    shades: Sequence[Sequence[float | None]]
    texts: Sequence[Sequence[str]]
    missing: str

    def blocks(self) -> list[range]:
        """Returns the columns that stand side by side; further ones follow below."""
        columns = range(len(self.across))
        return [columns[start : start + COLUMNS] for start in columns[::COLUMNS]]

    def head_inches(self) -> float:
        """Returns how high the names of columns are, which stand upright."""
        longest = max(len(line) for name in self.across for line in name.split("\n"))
        return 0.1 + HEAD_INCHES_A_CHARACTER * longest

    def height_inches(self, *, scale: bool) -> float:
        """Returns how high the map is, with the `scale` of its shades or without."""
        rows = sum(LINE_INCHES * len(_lines(name)) + CELL_INCHES + GAP_INCHES for name in self.down)
        return len(self.blocks()) * (self.head_inches() + rows) + SCALE_INCHES * scale


def _lines(name: str) -> list[str]:
    return textwrap.wrap(name, NAME_CHARACTERS)


def ink_on(color: Color) -> str:
    """Returns the colour of letters that can be read on a colour of red, green, blue and alpha.

    Of black and white the one of the higher contrast, which is 4.5 to 1 at least on any colour, as
    the WCAG ask for.

    >>> ink_on((1.0, 1.0, 1.0, 1.0)), ink_on((0.0, 0.0, 0.4, 1.0))
    ('#000000', '#ffffff')
    """
    light = luminance(color) + 0.05
    return "#ffffff" if 1.05 / light > light / 0.05 else "#000000"


def luminance(color: Sequence[float]) -> float:
    """Returns the relative luminance of a colour of red, green and blue, as the WCAG reckon it."""
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in color[:3]
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def fill(axes: Axes, theme: Theme, grid: Grid) -> None:
    """Fills axes, whose y axis counts inches down, with a grid.

    The theme's ramp is one that colour-blind readers tell apart.
    """
    from matplotlib import colormaps

    axes.grid(visible=False)
    axes.set_axis_off()
    ramp = colormaps[theme.ramp]  # which is a copy each time
    width = min(COLUMNS, len(grid.across))
    top = 0.0
    for block in grid.blocks():
        top += grid.head_inches()
        for place, column in enumerate(block):
            _write(axes, theme, place + 0.5, top - 0.04, grid.across[column], "bottom", rotation=90)
        for name, shades, texts in zip(grid.down, grid.shades, grid.texts, strict=True):
            for line in _lines(name):
                _write(axes, theme, 0.0, top + LINE_INCHES / 2, line, "center", ha="left")
                top += LINE_INCHES
            for place, column in enumerate(block):
                shade = shades[column]
                color = None if shade is None else ramp(shade)
                text = grid.missing if shade is None else texts[column]
                _cell(axes, theme, place, top, color, text)
            top += CELL_INCHES + GAP_INCHES
    axes.set(xlim=(0, width), ylim=(grid.height_inches(scale=False), 0))


def _cell(
    axes: Axes, theme: Theme, left: float, top: float, color: Color | None, text: str
) -> None:
    from matplotlib.patches import Rectangle

    look: dict[str, Any] = {"facecolor": color, "edgecolor": theme.paper, "linewidth": 1.2}
    if color is None:
        look |= {"facecolor": theme.paper, "edgecolor": theme.grid, "hatch": "/////"}
        look |= {"linewidth": 0}
    # As a patch of the axes each would be asked how far it reaches, which `fill` knows.
    axes.add_artist(Rectangle((left, top), 1, CELL_INCHES, **look)).set_in_layout(False)
    ink = theme.ink if color is None else ink_on(color)
    style = "italic" if color is None else "normal"
    middle = top + CELL_INCHES / 2
    _write(axes, theme, left + 0.5, middle, text, "center", color=ink, fontstyle=style)


def _write(axes: Axes, theme: Theme, x: float, y: float, text: str, va: str, **look: Any) -> None:
    # The layout would ask for the size of each, which within the axes makes no difference.
    look = {"ha": "center", "color": theme.ink, "fontsize": CELL_POINTS, **look}
    axes.text(x, y, text, va=va, **look).set_in_layout(False)


def add_scale(axes: Axes, theme: Theme, *, worst: str, best: str) -> None:
    """Draws which shade is the worst and which the best, below the cells."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    bar = axes.figure.colorbar(
        ScalarMappable(Normalize(0, 1), theme.ramp),
        ax=axes,
        orientation="horizontal",
        fraction=0.02,
        pad=0.01,
        aspect=40,
    )
    bar.outline.set_visible(False)
    bar.set_ticks([0.0, 1.0], labels=[worst, best])
    bar.ax.tick_params(colors=theme.muted, labelsize=CELL_POINTS, length=0)
    first, last = bar.ax.get_xticklabels()
    first.set_horizontalalignment("left")
    last.set_horizontalalignment("right")
