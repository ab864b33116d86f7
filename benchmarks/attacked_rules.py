"""What attacks did to the rules of aggregation, as tables and as a picture of one record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from benchmarks.markdown import markdown_table
from fed_assets.reporting.canvas import LIGHT, SMALL_POINTS, Picture, Sketch, Theme, render
from fed_assets.reporting.robust_rules import ATTACKS, MEAN, NAMES, WITHSTANDING, figures_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RULES = (MEAN, *WITHSTANDING)
# These withstand nobody either, so that they are measured unattacked.
UNATTACKED = ("fedprox", "fedopt")
NOBODY = "none"
NOT_MEASURED = "not measured"


def table(record: Mapping[str, Any]) -> str:
    """Returns what attacks did to each rule as Markdown, as it stands in the README.

    A cell is accuracy / AUROC, the mean of its seeds.
    """
    held = f"held ({record['within']:g} at most)"
    headings = ["rule", *ATTACKS.values(), "accuracy lost", held, "seeds"]
    return markdown_table(headings, [_attacked_row(record, rule) for rule in RULES])


def recipe_table(record: Mapping[str, Any]) -> str:
    """Returns what other means reach with the shipped recipe, nobody hostile, as Markdown."""
    rows = []
    for rule in (MEAN, *UNATTACKED):
        figures = figures_of(record, rule)[NOBODY]
        numbers = [_number(figures, name) for name in ("accuracy", "auroc")]
        rows.append([f"`{rule}`", *numbers, _seeds(record, rule)])
    return markdown_table(["rule", "accuracy", "AUROC", "seeds"], rows)


def _seeds(record: Mapping[str, Any], rule: str) -> str:
    return ", ".join(map(str, record["rules"][rule]["seeds"])) or NOT_MEASURED


def _attacked_row(record: Mapping[str, Any], rule: str) -> list[str]:
    figures = figures_of(record, rule)
    lost, held = figures["accuracy_lost"], figures["held"]
    return [
        f"`{rule}`",
        *(
            f"{_number(figures[attack], 'accuracy')} / {_number(figures[attack], 'auroc')}"
            if figures[attack]
            else NOT_MEASURED
            for attack in ATTACKS
        ),
        NOT_MEASURED if lost is None else f"{lost:.3f}",
        NOT_MEASURED if held is None else "yes" if held else "no",
        _seeds(record, rule),
    ]


def _number(figures: Mapping[str, float] | None, name: str) -> str:
    return NOT_MEASURED if figures is None else f"{figures[name]:.3f}"


def title_of(record: Mapping[str, Any]) -> str:
    """Returns what is seen, in one sentence: where the mean falls to, and which rules hold."""
    of = {rule: figures_of(record, rule) for rule in RULES}
    under = [of[MEAN][attack]["accuracy"] for attack in ATTACKS if of[MEAN][attack]]
    fall = f"{len(record['hostile'])} hostile hospitals bring the plain mean to {min(under):.2f}"
    *others, last = [NAMES[rule] for rule in WITHSTANDING if of[rule]["held"]] or ["no rule"]
    if not others:
        return f"{fall}; {last} holds"
    return f"{fall}; {', '.join(others)} and {last} hold"


def draw_rules(record: Mapping[str, Any]) -> Picture:
    """Returns the picture: accuracy by rule, and by what two of its hospitals do."""
    of = {rule: figures_of(record, rule) for rule in RULES}
    width = 0.84 / len(ATTACKS)

    def draw(panels: list[Axes], theme: Theme) -> None:
        (axes,) = panels
        for index, (attack, name) in enumerate(ATTACKS.items()):
            aside = (index - (len(ATTACKS) - 1) / 2) * width
            measured = [(at, of[rule][attack]) for at, rule in enumerate(RULES) if of[rule][attack]]
            places = [at + aside for at, _ in measured]
            heights = [figures["accuracy"] for _, figures in measured]
            color = theme.muted if attack == NOBODY else theme.series[index - 1]
            axes.bar(places, heights, width=0.9 * width, color=color, label=name)
            for place, height in zip(places, heights, strict=True):
                axes.annotate(
                    f"{height:.2f}".removeprefix("0"),
                    (place, height),
                    textcoords="offset points",
                    xytext=(0, 3),
                    ha="center",
                    color=theme.ink,
                    fontsize=SMALL_POINTS,
                )
        axes.set_xticks(range(len(RULES)), [rule.replace("_", "\n") for rule in RULES])
        axes.set_ylim(0, 1.06)
        axes.set_ylabel("Accuracy")
        axes.grid(visible=False, axis="x")
        handles, labels = axes.get_legend_handles_labels()
        legend = axes.figure.legend(
            handles, labels, loc="outside lower left", fontsize=SMALL_POINTS, frameon=False
        )
        for text in legend.get_texts():
            text.set_color(theme.ink)

    title = title_of(record)
    note = (
        f"The shipped roster's hospitals of PneumoniaMNIST, {record['rounds']} rounds; "
        f"{len(record['hostile'])} of middling size are hostile."
    )
    sketch = Sketch("robust", title, note, f"{title}. {note}", draw, height_inches=3.4)
    return render(sketch, media="png", theme=LIGHT, synthetic=False)
