"""The pictures of a report, each with a title that says what is seen."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fed_assets.reporting import formats
from fed_assets.reporting.canvas import (
    LIGHT,
    SMALL_POINTS,
    Media,
    Picture,
    Sketch,
    Theme,
    render,
    shorten,
)
from fed_assets.reporting.model_figures import calibration, confusion, roc

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_pictures(
    report: Mapping[str, Any], *, media: Media = "svg", theme: Theme = LIGHT
) -> tuple[Picture, ...]:
    """Returns the pictures that a report can fill, the most telling first.

    `hospitals`, `rounds`, `roc`, `confusion` and `calibration`; one for which the report has no
    figures is left out. As PNG each takes about 20 kB.
    """
    sketches = (
        hospitals(report),
        rounds(report),
        roc(report),
        confusion(report),
        calibration(report),
    )
    return tuple(
        render(sketch, media=media, theme=theme, synthetic=bool(report["data"]["synthetic"]))
        for sketch in sketches
        if sketch is not None
    )


def hospitals(report: Mapping[str, Any]) -> Sketch | None:
    """Returns the hospitals side by side: a dot and its 95 % interval each, the worst named."""
    entries = report["hospitals"]
    metric = next((name for name in ("auroc", "accuracy") if report["worst"][name]), None)
    if metric is None:
        return None
    worst = report["worst"][metric] if len(entries) > 1 else None
    values = {hospital: entry[metric]["value"] for hospital, entry in entries.items()}
    order = sorted(values, key=lambda each: (values[each] is None, -(values[each] or 0)))
    label = formats.METRIC_NAMES[metric]
    test = report["test"][metric]["value"]

    def draw(panels: list[Axes], theme: Theme) -> None:
        (axes,) = panels
        for row, hospital in enumerate(order):
            measured = entries[hospital][metric]
            _interval_row(axes, row, measured, theme, stands_out=hospital == worst)
        if test is not None:
            axes.axvline(test, color=theme.ink, linewidth=1.2, linestyle="--", zorder=1)
        names = [_two_lines(entries[hospital]["name"]) for hospital in order]
        axes.set_yticks(range(len(order)), names, color=theme.ink)
        _write_images(axes, [entries[hospital]["images"] for hospital in order], theme)
        axes.set_ylim(len(order) - 0.4, -0.6)
        axes.margins(x=0.04)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(f"{label}, own test images")
        if worst is not None:
            tick = axes.get_yticklabels()[order.index(worst)]
            tick.set(color=theme.accent, fontweight="bold")

    spread = [value for value in values.values() if value is not None]
    if worst is None:
        only = entries[order[-1]]
        title = f"{shorten(only['name'], 40)}: {label} {formats.interval(only[metric])}"
    else:
        title = (
            f"{label} runs from {min(spread):.3f} to {max(spread):.3f}; "
            f"lowest at {shorten(entries[worst]['name'], 40)}"
        )
    note = "Dot: value. Line: 95 % interval; a small test set gives a long one."
    note += " Dashed: common test set." if test is not None else ""
    listed = "; ".join(
        f"{entries[hospital]['name']} {formats.interval(entries[hospital][metric])}"
        for hospital in order
    )
    height = 0.75 + 0.38 * len(order)
    return Sketch(
        "hospitals",
        title,
        note,
        f"{title}. {label}: {listed}.",
        draw,
        height_inches=max(height, 1.6),
    )


def _interval_row(
    axes: Axes, row: int, measured: Mapping[str, Any], theme: Theme, *, stands_out: bool
) -> None:
    color = theme.accent if stands_out else theme.main
    if measured["value"] is None:
        axes.text(
            0.02,
            row,
            formats.value(measured),
            transform=axes.get_yaxis_transform(),
            va="center",
            color=theme.muted,
            fontsize=SMALL_POINTS,
            fontstyle="italic",
        )
        return
    if formats.bounds(measured):
        axes.plot([measured["low"], measured["high"]], [row, row], color=color, linewidth=2.4)
    axes.plot(measured["value"], row, "D" if stands_out else "o", color=color, markersize=7)


def rounds(report: Mapping[str, Any]) -> Sketch | None:
    """Returns loss, AUROC and accuracy over the rounds: mean, lowest and highest hospital."""
    curves = report["curves"]
    shown = [
        (name, label)
        for name, label in (("auroc", "AUROC"), ("accuracy", "accuracy"), ("loss", "loss"))
        if _known(curves[name]["mean"])
    ]
    if not shown:
        return None

    def draw(panels: list[Axes], theme: Theme) -> None:
        from matplotlib.ticker import MaxNLocator

        numbers = curves["round_number"]
        for axes, (name, label) in zip(panels, shown, strict=True):
            mean, low, high = (_gaps(curves[name][part]) for part in ("mean", "min", "max"))
            axes.fill_between(numbers, low, high, color=theme.main, alpha=0.2, linewidth=0)
            axes.plot(numbers, mean, "o-", color=theme.main, linewidth=2, markersize=4)
            axes.set_ylabel(label[0].upper() + label[1:])
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        panels[0].figure.align_ylabels(panels)
        panels[-1].set_xlabel("Round")

    title = "; ".join(
        f"{label} {_course(_known(curves[name]['mean']))}" for name, label in shown[:2]
    )
    title = title[0].upper() + title[1:]
    if len(curves["round_number"]) > 1:
        title += f", in {len(curves['round_number'])} rounds"
    note = (
        "Mean over hospitals; band from the lowest to the highest. AUROC and accuracy: global "
        "model at the round's start, on validation images."
    )
    note += " Loss: while training." if ("loss", "loss") in shown else ""
    return Sketch(
        "rounds",
        title,
        note,
        f"{title}. {note}",
        draw,
        panels=len(shown),
        height_inches=1.6 * len(shown) + 0.3,
    )


def _two_lines(name: str, characters: int = 22) -> str:
    lines = textwrap.wrap(" ".join(name.split()), characters)
    return "\n".join([*lines[:1], *(shorten(" ".join(lines[1:]), characters) for _ in lines[1:2])])


def _write_images(axes: Axes, images: Sequence[int | str], theme: Theme) -> None:
    """Writes how many test images stand behind each row, right of the axes."""
    for row, text in [(-0.75, "images"), *enumerate(map(formats.count, images))]:
        axes.text(
            1.13,
            row,
            text,
            transform=axes.get_yaxis_transform(),
            ha="right",
            va="center",
            color=theme.muted,
            fontsize=SMALL_POINTS,
        )


def _known(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _gaps(values: Sequence[float | None]) -> list[float]:
    """Returns the values with NaN for null, where a drawn line is interrupted."""
    return [float("nan") if value is None else value for value in values]


def _course(values: Sequence[float]) -> str:
    first, last = formats.number(values[0]), formats.number(values[-1])
    if first == last:
        return f"at {last}"
    return f"{'rose' if values[-1] > values[0] else 'fell'} from {first} to {last}"
