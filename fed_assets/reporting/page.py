"""One self-contained HTML page per report: no script, no request, every picture inline."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fed_assets.reporting import formats
from fed_assets.reporting.canvas import DARK, LIGHT, Picture
from fed_assets.reporting.figures import draw_pictures
from fed_assets.reporting.gains import COLUMNS, PLACES, gain_lines, gains_of_hospitals
from fed_assets.reporting.report import LOWER_IS_BETTER, METRICS
from fed_assets.reporting.robust_rules import ATTACKS, NAMES
from fed_assets.reporting.rounds import absent
from fed_assets.reporting.shortfalls import say_shortfall

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).with_name("templates")
# How every page writes numbers, as filters of the same names.
WRITTEN = (
    *(formats.number, formats.value, formats.bounds, formats.interval, formats.significant),
    *(formats.size, formats.duration, formats.date, formats.count, formats.quantity),
    *(formats.percents, formats.chance, formats.signed, formats.difference, formats.numbers),
    formats.short_digest,
)


def templates() -> Environment:
    """Returns what renders the templates of this package; what a template does not know fails."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update({each.__name__: each for each in WRITTEN})
    return environment


def render_page(report: Mapping[str, Any]) -> str:
    """Returns the report as HTML that opens from a file, on paper, on a phone, by day or night.

    Every word of it stands in `templates/`; names and reasons from outside are escaped.
    """
    environment = templates()
    environment.filters.update(absent=absent, said=say_shortfall, data_uri=data_uri)
    by_day = draw_pictures(report, media="svg", theme=LIGHT)
    by_night = draw_pictures(report, media="svg", theme=DARK)
    return environment.get_template("report.html.j2").render(
        report=report,
        pictures=list(zip(by_day, by_night, strict=True)),
        metrics=METRICS,
        metric_names=formats.METRIC_NAMES,
        lower_is_better=LOWER_IS_BETTER,
        attacks=ATTACKS,
        rule_names=NAMES,
        gain_lines=gain_lines(report),
        gains=gains_of_hospitals(report),
        gain_columns=COLUMNS,
        gain_places=PLACES,
        names={entry["id"]: entry.get("name") or entry["id"] for entry in report["roster"]},
    )


def data_uri(picture: Picture) -> str:
    """Returns a picture as an address that holds all of it."""
    kind = {"svg": "image/svg+xml", "png": "image/png"}[picture.media]
    return f"data:{kind};base64,{base64.b64encode(picture.content).decode()}"
