"""The pictures of the global model on the common test set."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fed_assets.reporting import formats
from fed_assets.reporting.canvas import SMALL_POINTS, Sketch, Theme, add_legend, shorten
from fed_assets.reporting.heat_map import ink_on

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINE_STYLES = ("-", "--", "-.", ":")
# Above these numbers of classes, names stand slanted and cells hold the count alone.
UPRIGHT_NAMES, SHARES_IN_CELLS = 3, 6


def roc(report: Mapping[str, Any]) -> Sketch | None:
    """Returns the ROC curve of the common test set, one line per class."""
    curves = [curve for curve in report["roc"] if curve["false_positive_rate"]]
    if not curves:
        return None

    def draw(panels: list[Axes], theme: Theme) -> None:
        (axes,) = panels
        axes.plot([0, 1], [0, 1], color=theme.muted, linewidth=1, linestyle=":")
        for index, curve in enumerate(curves):
            axes.plot(
                curve["false_positive_rate"],
                curve["true_positive_rate"],
                color=theme.series[index % len(theme.series)],
                linestyle=LINE_STYLES[index // len(theme.series) % len(LINE_STYLES)],
                linewidth=2,
                label=shorten(curve["class"], 22),
            )
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
        axes.set_xlabel("False positive rate (1 - specificity)")
        axes.set_ylabel("True positive rate (sensitivity)")
        if len(curves) > 1:
            add_legend(axes, theme)

    title = f"Common test set: AUROC {formats.interval(report['test']['auroc'])}"
    per_class = "" if len(curves) == 1 else " One line per class; AUROC is their mean."
    note = f"{formats.count(report['test']['images'])} images. Dotted: chance.{per_class}"
    alt = f"ROC curve. {title}. {note}"
    return Sketch("roc", title, note, alt, draw, height_inches=3.7)


def confusion(report: Mapping[str, Any]) -> Sketch | None:
    """Returns the confusion matrix of the common test set: counts, shaded by share of the row."""
    counts = report["confusion"]
    total = sum(map(sum, counts))
    if not total:
        return None
    classes = report["data"]["classes"] or [str(index) for index in range(len(counts))]
    right = sum(row[index] for index, row in enumerate(counts))

    def draw(panels: list[Axes], theme: Theme) -> None:
        (axes,) = panels
        shares = [[cell / max(sum(row), 1) for cell in row] for row in counts]
        image = axes.imshow(shares, cmap=theme.ramp, vmin=0, vmax=1, aspect="auto")
        few = len(counts) <= SHARES_IN_CELLS
        for true, row in enumerate(counts):
            for predicted, cell in enumerate(row):
                share = shares[true][predicted]
                axes.text(
                    predicted,
                    true,
                    f"{cell:,}\n{share:.0%}" if few else f"{cell}",
                    ha="center",
                    va="center",
                    color=ink_on(image.cmap(share)),
                    fontsize=_cell_points(len(counts)),
                )
        ticks = range(len(counts))
        names = [textwrap.fill(shorten(str(name)), 13, break_long_words=False) for name in classes]
        axes.set_xticks(ticks, names, **_slant(len(counts)))
        axes.set_yticks(ticks, names)
        axes.grid(visible=False)
        axes.set_xlabel("Predicted")
        axes.set_ylabel("True")

    title = f"Common test set: {right:,} of {total:,} images classified correctly"
    note = "Counts; per cent and shade: share of the true class."
    cells = "; ".join(
        f"{cell} of true {classes[true]} called {classes[predicted]}"
        for true, row in enumerate(counts)
        for predicted, cell in enumerate(row)
        if true == predicted or len(counts) <= SHARES_IN_CELLS
    )
    return Sketch(
        "confusion",
        title,
        note,
        f"Confusion matrix. {title}: {cells}.",
        draw,
        height_inches=3.0 if len(counts) <= UPRIGHT_NAMES else 4.0,
    )


def calibration(report: Mapping[str, Any]) -> Sketch | None:
    """Returns the reliability diagram of the common test set; a dot's area is its images."""
    bins = [each for each in report["calibration"] if each["images"]]
    if not bins:
        return None

    def draw(panels: list[Axes], theme: Theme) -> None:
        (axes,) = panels
        stated = [each["confidence"] for each in bins]
        seen = [each["accuracy"] for each in bins]
        most = max(each["images"] for each in bins)
        areas = [24 + 220 * each["images"] / most for each in bins]
        axes.plot([0, 1], [0, 1], color=theme.muted, linewidth=1, linestyle=":")
        axes.plot(stated, seen, color=theme.main, linewidth=1.5)
        axes.scatter(stated, seen, s=areas, color=theme.main, edgecolor=theme.paper, zorder=3)
        axes.set(xlim=(-0.04, 1.04), ylim=(-0.04, 1.04), aspect="equal")
        axes.set_xlabel("Confidence that the model states")
        axes.set_ylabel("Share in which it holds")

    error = report["test"]["expected_calibration_error"]
    title = f"Common test set: calibration error {formats.interval(error)}"
    note = "Dotted: confidence that holds as often as it says. Larger dot: more images."
    listed = "; ".join(
        f"stated {each['confidence']:.2f}, held in {each['accuracy']:.2f} of {each['images']}"
        for each in bins
    )
    return Sketch(
        "calibration",
        title,
        note,
        f"Reliability diagram. {title}. {listed}.",
        draw,
        height_inches=3.7,
    )


def _cell_points(classes: int) -> float:
    if classes <= UPRIGHT_NAMES:
        return 12.0
    return SMALL_POINTS if classes <= SHARES_IN_CELLS else 7.0


def _slant(classes: int) -> dict[str, Any]:
    if classes <= UPRIGHT_NAMES:
        return {}
    return {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
