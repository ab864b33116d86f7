"""How a round's cost grows with hospitals and parameters, as one picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fed_assets.reporting.canvas import LIGHT, SMALL_POINTS, Picture, Sketch, Theme, render

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANELS = (
    ("seconds_per_round", "Seconds a round"),
    ("megabytes_per_round", "MB a round"),
    ("peak_memory_gb", "Peak memory, GB"),
)


def draw_scaling(rows: Sequence[Mapping[str, Any]]) -> Picture:
    """Returns the picture of the rows that `scaling.scale` returned."""
    known = [row for row in rows if "seconds_per_round" in row]
    models = sorted({row["parameters"] for row in known})
    hospitals = sorted({row["hospitals"] for row in known})

    def draw(panels: list[Axes], theme: Theme) -> None:
        for axes, (field, label) in zip(panels, PANELS, strict=True):
            for color, marker, parameters in zip(theme.series, "osD^v", models, strict=False):
                line = [row for row in known if row["parameters"] == parameters]
                across, up = [row["hospitals"] for row in line], [row[field] for row in line]
                axes.plot(across, up, f"{marker}-", color=color, linewidth=2, markersize=5)
                axes.annotate(
                    name_of(parameters),
                    (across[-1], up[-1]),
                    textcoords="offset points",
                    xytext=(8, 0),
                    va="center",
                    color=color,
                    fontsize=SMALL_POINTS,
                    fontweight="bold",
                )
            axes.set_ylabel(label)
            _scale_axes(axes, hospitals)
        panels[0].figure.align_ylabels(panels)
        panels[-1].set_xlabel("Hospitals")

    title = title_of(known)
    note = (
        "By parameters of the model. One machine, mTLS, processes of its own for each hospital; "
        "nobody learns: it is what the federation itself costs. All axes are logarithmic."
    )
    sketch = Sketch(
        "scaling", title, note, f"{title}. {note}", draw, panels=len(PANELS), height_inches=6.0
    )
    return render(sketch, media="png", theme=LIGHT, synthetic=False)


def _scale_axes(axes: Axes, hospitals: Sequence[int]) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

    plain = FuncFormatter(lambda value, _: f"{value:g}")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(hospitals[0] * 0.85, hospitals[-1] * 1.6)  # room for the models' names
    for axis, ticks in (
        (axes.xaxis, FixedLocator(list(hospitals))),
        (axes.yaxis, LogLocator(subs=(1, 3))),
    ):
        axis.set_major_locator(ticks)
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(plain)


def title_of(rows: Sequence[Mapping[str, Any]]) -> str:
    """Returns what is seen, in one sentence: the smallest model's round, from fewest to most."""
    model = min(row["parameters"] for row in rows)
    line = sorted((row["hospitals"], row) for row in rows if row["parameters"] == model)
    (fewest, first), (most, last) = line[0], line[-1]
    return (
        f"From {fewest} to {most} hospitals, a round with {name_of(model)} parameters goes from "
        f"{first['seconds_per_round']:.2f} to {last['seconds_per_round']:.2f} s"
    )


def name_of(parameters: int) -> str:
    """Returns a number of parameters in millions.

    >>> name_of(105_538), name_of(11_172_162)
    ('0.1 M', '11 M')
    """
    millions = parameters / 1e6
    return f"{millions:.0f} M" if millions >= 1 else f"{millions:.1f} M"
