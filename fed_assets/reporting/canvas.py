"""The look that all pictures share: colours, type sizes, title, and the mark of made-up data."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Media = Literal["svg", "png"]

# Sized for a phone: at 360 pixels width the smallest letters are still 9 pixels high.
WIDTH_INCHES = 4.8
TITLE_POINTS, TEXT_POINTS, SMALL_POINTS = 12.0, 10.0, 9.0
TITLE_CHARACTERS, NOTE_CHARACTERS, MARK_CHARACTERS = 46, 62, 44
PALETTE_COLORS, PNG_DPI = 40, 96
SYNTHETIC = "SYNTHETIC DATA"
MADE_UP = "made up, not from patients"


@dataclass(frozen=True)
class Theme:
    """Colours of a picture; `series` is Okabe and Ito's set, told apart by colour-blind readers."""

    name: str
    paper: str
    ink: str
    muted: str
    grid: str
    main: str
    accent: str
    alert: str
    ramp: str
    series: tuple[str, ...]


LIGHT = Theme(
    name="light",
    paper="#ffffff",
    ink="#17212b",
    muted="#56636f",
    grid="#dde3e8",
    main="#0072b2",
    accent="#d55e00",
    alert="#a33c00",
    ramp="Blues",
    series=("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#17212b"),
)
DARK = Theme(
    name="dark",
    paper="#18212a",
    ink="#e8edf1",
    muted="#a3b0bb",
    grid="#33404b",
    main="#56b4e9",
    accent="#f0883e",
    alert="#b3470a",
    ramp="cividis",
    series=("#56b4e9", "#f0883e", "#2fc79a", "#e3a1c6", "#f0c24b", "#6f9ff0", "#e8edf1"),
)


@dataclass(frozen=True)
class Picture:
    """One drawn picture.

    Attributes:
        name: which one it is, stable from report to report.
        title: what it shows, in one sentence.
        alt: what it shows, for those who cannot see it.
        media: `svg` or `png`.
        content: the file's bytes.
    """

    name: str
    title: str
    alt: str
    media: Media
    content: bytes


@dataclass(frozen=True)
class Sketch:
    """A picture before it is drawn.

    Attributes:
        name: as in `Picture`.
        title: as in `Picture`; stands above the axes.
        note: how to read it; stands below the title, smaller.
        alt: as in `Picture`.
        panels: number of axes, one above the other, over one x axis.
        height_inches: height of the axes, without title and note.
        width_inches: width of the picture.
        draw: fills the axes.
        mark: how it says that its data are synthetic, where they are, and what that means.
    """

    name: str
    title: str
    note: str
    alt: str
    draw: Callable[[list[Axes], Theme], None]
    panels: int = 1
    height_inches: float = 3.2
    width_inches: float = WIDTH_INCHES
    mark: tuple[str, str] = (SYNTHETIC, MADE_UP)


def render(sketch: Sketch, *, media: Media, theme: Theme, synthetic: bool) -> Picture:
    """Returns the drawn picture; equal sketches give equal bytes."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    # A hospital's name may hold a dollar sign, which must not be read as mathematics.
    settings: dict[Any, Any] = {
        "text.parse_math": False,
        "svg.hashsalt": sketch.name,
        "svg.fonttype": "path",
    }
    with rc_context(settings):
        wide = sketch.width_inches / WIDTH_INCHES
        title = textwrap.wrap(sketch.title, int(TITLE_CHARACTERS * wide))
        note = textwrap.wrap(sketch.note, int(NOTE_CHARACTERS * wide))
        mark = textwrap.wrap(": ".join(sketch.mark), int(MARK_CHARACTERS * wide))
        badge_inches = 0.16 + 0.18 * len(mark) if synthetic else 0.0
        head_inches = badge_inches + 0.14 + 0.21 * len(title) + 0.17 * len(note)
        height = sketch.height_inches + head_inches
        rect = (0.01, 0.01, 0.98, sketch.height_inches / height - 0.02)
        figure = Figure(
            figsize=(sketch.width_inches, height),
            facecolor=theme.paper,
            layout=ConstrainedLayoutEngine(rect=rect),
        )
        FigureCanvasAgg(figure)
        axes = list(figure.subplots(sketch.panels, 1, sharex=True, squeeze=False)[:, 0])
        for each in axes:
            _dress(each, theme)
        sketch.draw(axes, theme)
        _write_head(figure, title, note, 1 - badge_inches / height, theme)
        if synthetic:
            _mark_synthetic(figure, axes, badge_inches / height, theme, mark, sketch.mark[0])
        content = _save(figure, media)
    alt = f"{sketch.mark[0]}. {sketch.alt}" if synthetic else sketch.alt
    return Picture(sketch.name, sketch.title, alt, media, content)


def _dress(axes: Axes, theme: Theme) -> None:
    axes.set_facecolor(theme.paper)
    axes.grid(color=theme.grid, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=theme.muted, labelsize=SMALL_POINTS, length=0)
    axes.xaxis.label.set(color=theme.ink, fontsize=TEXT_POINTS)
    axes.yaxis.label.set(color=theme.ink, fontsize=TEXT_POINTS)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(theme.grid)


def _write_head(
    figure: Figure, title: list[str], note: list[str], top: float, theme: Theme
) -> None:
    inch = 1 / figure.get_figheight()
    figure.text(
        0.025,
        top - 0.1 * inch,
        "\n".join(title),
        va="top",
        color=theme.ink,
        fontsize=TITLE_POINTS,
        fontweight="bold",
        linespacing=1.15,
    )
    figure.text(
        0.025,
        top - (0.13 + 0.21 * len(title)) * inch,
        "\n".join(note),
        va="top",
        color=theme.muted,
        fontsize=SMALL_POINTS,
        linespacing=1.2,
    )


def _mark_synthetic(
    figure: Figure, axes: list[Axes], share: float, theme: Theme, lines: list[str], across: str
) -> None:
    from matplotlib.patches import Rectangle

    band = Rectangle((0, 1 - share), 1, share, transform=figure.transFigure, color=theme.alert)
    figure.add_artist(band)
    figure.text(
        0.025,
        1 - share / 2,
        "\n".join(lines),
        va="center",
        color="#ffffff",
        fontsize=TEXT_POINTS,
        fontweight="bold",
    )
    # The band can be cropped away; the words across the axes cannot.
    for each in axes:
        each.text(
            0.5,
            0.5,
            across,
            transform=each.transAxes,
            ha="center",
            va="center",
            rotation=18,
            color=theme.alert,
            alpha=0.16,
            fontsize=24 if len(axes) == 1 else 18,
            fontweight="bold",
            zorder=5,
        ).set_in_layout(False)


def _save(figure: Figure, media: Media) -> bytes:
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from PIL import Image

    written = io.BytesIO()
    if media == "svg":
        # `savefig` draws everything twice, the first time for the layout, which each draw makes.
        metadata = {"Date": None, "Creator": None}
        FigureCanvasSVG(figure).print_svg(written, metadata=metadata)  # type: ignore[no-untyped-call]
        return written.getvalue()
    figure.savefig(written, format="png", dpi=PNG_DPI)
    # Dagster keeps these pictures in its event log: a palette makes them a third of the size.
    small = io.BytesIO()
    # Maximum coverage keeps the rare colours: a thin line must not take its neighbour's.
    image, method = Image.open(written).convert("RGB"), Image.Quantize.MAXCOVERAGE
    image.quantize(PALETTE_COLORS, method=method).save(small, "PNG", optimize=True)
    return small.getvalue()


def add_legend(axes: Axes, theme: Theme) -> None:
    """Adds the legend of the lines that bear a name."""
    legend = axes.legend(loc="lower right", fontsize=SMALL_POINTS, frameon=True, framealpha=0.85)
    legend.get_frame().set(facecolor=theme.paper, edgecolor=theme.grid)
    for text in legend.get_texts():
        text.set_color(theme.ink)


def shorten(text: str, characters: int = 24) -> str:
    """Returns the text, cut with an ellipsis where it is longer than a label may be.

    >>> shorten("Hospital of the Seven Bridges", 15)
    'Hospital of th\N{HORIZONTAL ELLIPSIS}'
    """
    one_line = " ".join(text.split())
    cut = one_line[: characters - 1].rstrip() + "\N{HORIZONTAL ELLIPSIS}"
    return one_line if len(one_line) <= characters else cut
