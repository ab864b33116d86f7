"""How a round's cost grows with hospitals and parameters, as one picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fed_assets.reporting.canvas import LIGHT, Picture, Sketch, Theme, add_legend, render

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
        from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

        for axes, (field, label) in zip(panels, PANELS, strict=True):
            for color, marker, parameters in zip(theme.series, "osD^v", models, strict=False):
                line = [row for row in known if row["parameters"] == parameters]
                axes.plot(
                    [row["hospitals"] for row in line],
                    [row[field] for row in line],
                    f"{marker}-",
                    color=color,
                    linewidth=2,
                    markersize=5,
                    label=name_of(parameters),
                )
            axes.set_xscale("log")
            axes.set_yscale("log")
            axes.set_ylabel(label)
            axes.xaxis.set_major_locator(FixedLocator(hospitals))
            axes.xaxis.set_minor_locator(NullLocator())
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        panels[0].figure.align_ylabels(panels)
        panels[-1].set_xlabel("Hospitals")
        add_legend(panels[0], theme)

    title = title_of(known)
    note = (
        "One machine, mTLS, a process each for every hospital's client and job; nobody learns, so "
        "this is what the federation itself costs. Both axes are logarithmic."
    )
    sketch = Sketch(
        "scaling", title, note, f"{title}. {note}", draw, panels=len(PANELS), height_inches=6.0
    )
    return render(sketch, media="png", theme=LIGHT, synthetic=False)


def title_of(rows: Sequence[Mapping[str, Any]]) -> str:
    """Returns what is seen, in one sentence: the smallest model's round, from fewest to most."""
    model = min(row["parameters"] for row in rows)
    line = sorted((row["hospitals"], row) for row in rows if row["parameters"] == model)
    (fewest, first), (most, last) = line[0], line[-1]
    return (
        f"From {fewest} to {most} hospitals, a round of {name_of(model)} goes from "
        f"{first['seconds_per_round']:.2f} to {last['seconds_per_round']:.2f} s"
    )


def name_of(parameters: int) -> str:
    """Returns a model's size in words.

    >>> name_of(105_538), name_of(11_170_242)
    ('0.1 M parameters', '11 M parameters')
    """
    millions = parameters / 1e6
    return f"{millions:.0f} M parameters" if millions >= 1 else f"{millions:.1f} M parameters"
