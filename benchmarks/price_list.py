"""The price list of the protections of updates, as a table and as a picture of one record."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fed_assets.reporting.canvas import LIGHT, SMALL_POINTS, Picture, Sketch, Theme, render

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GOAL_ARM, GOAL_AUROC = "epsilon_8", 0.90
UNPROTECTED = "none"
HEADINGS = (
    "`update_protection`",
    "AUROC",
    "accuracy",
    "seconds",
    "CPU seconds",
    "kB up",
    "kB down",
    "epsilon",
)
# Of a panel its label, and how its numbers are written. Costs are seen from zero.
PANELS = (
    ("auroc", "AUROC", "{:.3f}"),
    ("accuracy", "Accuracy", "{:.3f}"),
    ("cpu_seconds", "CPU seconds", "{:.0f}"),
    ("megabytes", "MB a round", "{:.2f}"),
)
COSTS = {"cpu_seconds", "megabytes"}


def name_of(protection: Mapping[str, Any]) -> str:
    """Returns what a protection is called.

    >>> name_of({"kind": "secure_aggregation", "max_norm": 5.0, "max_statistics_norm": 30.0})
    'secure aggregation'
    >>> name_of({"kind": "differential_privacy", "epsilon": 8.0, "delta": 1e-5})
    'differential privacy, epsilon 8'
    """
    kind = str(protection["kind"]).replace("_", " ")
    return f"{kind}, epsilon {protection['epsilon']:g}" if "epsilon" in protection else kind


def values_of(record: Mapping[str, Any], arm: str, figure: str) -> list[float]:
    """Returns a figure of an arm: one for each seed, or the one of its federation."""
    entry = record["arms"][arm]
    if figure in ("auroc", "accuracy"):
        return [entry["seeds"][seed][figure] for seed in sorted(entry["seeds"], key=int)]
    took = entry.get("federation")
    if took is None:
        return []
    if figure == "megabytes":
        return [(took["bytes_up"] + took["bytes_down"]) / 1e6]
    return [took[figure]]


def faults(record: Mapping[str, Any]) -> list[str]:
    """Returns what of a record is not as it has to be, a sentence each."""
    found = []
    reached = values_of(record, GOAL_ARM, "auroc") if GOAL_ARM in record["arms"] else []
    if reached and statistics.mean(reached) < GOAL_AUROC:
        mean = statistics.mean(reached)
        found.append(f"the goal is missed: {GOAL_ARM} reaches {mean:.3f} of {GOAL_AUROC:.3f} AUROC")
    for arm, entry in record["arms"].items():
        took = entry.get("federation", {})
        same_seed = entry["seeds"].get(str(took.get("seed")))
        private = "epsilon" in entry["protection"]  # nothing repeats its noise
        if same_seed and not private and same_seed["digest"] != took["digest"]:
            found.append(f"{arm}: the federation ended with other weights than the one process")
        if took.get("left_behind"):
            found.append(f"{arm}: the federation left {', '.join(took['left_behind'])} behind")
    return found


def table(record: Mapping[str, Any]) -> str:
    """Returns the table as Markdown, as it stands in the README."""
    cells = [HEADINGS, ("---",) * len(HEADINGS), *(_row(record, arm) for arm in record["arms"])]
    return "\n".join(f"|{'|'.join(f' {each} ' if each else ' ' for each in row)}|" for row in cells)


def _row(record: Mapping[str, Any], arm: str) -> list[str]:
    entry = record["arms"][arm]

    def quality(figure: str) -> str:
        values = values_of(record, arm, figure)
        if not values:
            return ""
        spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
        return f"{statistics.mean(values):.3f}{spread}"

    def cost(figure: str, form: str = "{:.0f}", unit: float = 1.0) -> str:
        return "".join(form.format(value / unit) for value in values_of(record, arm, figure))

    spent = [each["epsilon"] for each in entry["seeds"].values() if each["epsilon"] is not None]
    return [
        name_of(entry["protection"]),
        quality("auroc"),
        quality("accuracy"),
        cost("seconds"),
        cost("cpu_seconds"),
        cost("bytes_up", "{:,.1f}", 1e3),
        cost("bytes_down", "{:,.1f}", 1e3),
        f"{max(spent):.2f}" if spent else "",
    ]


def title_of(record: Mapping[str, Any]) -> str:
    """Returns what is seen, in one sentence: what is reached unprotected, and what at the least."""
    reached = {arm: values_of(record, arm, "auroc") for arm in record["arms"]}
    means = {arm: statistics.mean(values) for arm, values in reached.items() if values}
    least = min(means, key=lambda arm: means[arm])
    if UNPROTECTED not in means or least == UNPROTECTED:
        return f"Every protection reaches an AUROC of {means[least]:.3f} or more"
    name = name_of(record["arms"][least]["protection"])
    return (
        f"AUROC is {means[UNPROTECTED]:.3f} unprotected, and {means[least]:.3f} at the least, "
        f"under {name}"
    )


def draw_prices(record: Mapping[str, Any]) -> Picture:
    """Returns the picture: what each protection reaches, and what it takes."""
    arms = list(record["arms"])

    def draw(panels: list[Axes], theme: Theme) -> None:
        for axes, (figure, label, form) in zip(panels, PANELS, strict=True):
            values = {arm: values_of(record, arm, figure) for arm in arms}
            _draw_panel(axes, theme, values, form, from_zero=figure in COSTS)
            axes.set_ylabel(label)
        panels[0].figure.align_ylabels(panels)
        names = [_folded(name_of(record["arms"][arm]["protection"])) for arm in arms]
        panels[-1].set_xticks(range(len(arms)), names, fontsize=SMALL_POINTS - 2)

    seeds = max(len(entry["seeds"]) for entry in record["arms"].values())
    title = title_of(record)
    note = (
        f"{record['hospitals']} hospitals of PneumoniaMNIST, {record['rounds']} rounds. Quality: "
        f"circles are seeds, bars and numbers the means of {seeds}. Costs: of one federation; MB "
        "are what a hospital sends and is sent in a round. Dashed: unprotected. Epsilon: "
        "differential privacy."
    )
    sketch = Sketch(
        "privacy", title, note, f"{title}. {note}", draw, panels=len(PANELS), height_inches=6.4
    )
    return render(sketch, media="png", theme=LIGHT, synthetic=False)


def _draw_panel(
    axes: Axes,
    theme: Theme,
    values: Mapping[str, Sequence[float]],
    form: str,
    *,
    from_zero: bool,
) -> None:
    for place, (arm, each) in enumerate(values.items()):
        if not each:
            continue
        mean = statistics.mean(each)
        color = theme.muted if arm == UNPROTECTED else theme.main
        if from_zero:
            axes.bar(place, mean, width=0.56, color=color)
        else:
            axes.plot([place - 0.28, place + 0.28], [mean, mean], color=color, linewidth=3)
        if len(each) > 1:
            places = [place] * len(each)
            axes.plot(places, each, "o", color=color, markersize=5, markerfacecolor="none")
        axes.annotate(
            form.format(mean),
            (place, max(each)),
            textcoords="offset points",
            xytext=(0, 6),
            ha="center",
            color=theme.ink,
            fontsize=SMALL_POINTS,
        )
    if values.get(UNPROTECTED):
        level = statistics.mean(values[UNPROTECTED])
        axes.axhline(level, color=theme.muted, linewidth=1, linestyle="--", zorder=1)
    axes.set_xlim(-0.6, len(values) - 0.4)
    axes.margins(y=0.28)  # room for the numbers
    if from_zero:
        axes.set_ylim(bottom=0)


def _folded(name: str) -> str:
    r"""Returns a name as it stands under an axis, a word a line.

    >>> _folded("secure aggregation"), _folded("differential privacy, epsilon 8")
    ('secure\naggregation', 'epsilon\n8')
    """
    return name.rpartition(", ")[2].replace(" ", "\n")
