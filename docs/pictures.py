"""Makes the README's pictures again: a report, and the asset graph.

The report is that of a home with a finished run of `minimal` on real images; the graph is that of
three hospitals, so that it can be read. Run it as `python -m docs.pictures`, with FED_ASSETS_HOME
set as for the run.
"""

from __future__ import annotations

import base64
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from fed_assets.federation.roster import read_roster
from fed_assets.resources.home import Home
from fed_assets.resources.settings import settings_from
from fed_assets_tests.browser import missing_browser, open_browser, resize, text_of, wait_for
from fed_assets_tests.webserver import serving

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

FOLDER = Path(__file__).parent
SANDBOX = "minimal"
FEW_HOSPITALS = FOLDER.parent / "examples" / "three_phantoms.yaml"
SHARPNESS = 2
MARGIN = 12
# From this width on Dagster's graph is as wide as the README shows it.
GRAPH_WINDOW = (1430, 2600)
REPORT_WINDOW = (1100, 1200)


def main() -> None:
    """Writes `asset-graph.png` and `report.png` beside this file."""
    if reason := missing_browser():
        sys.exit(reason)
    settings = settings_from(os.environ, working_directory=Path.cwd())
    report = settings.home.report(SANDBOX) / "report.html"
    if not report.exists():
        sys.exit(f"There is no report in {settings.home.root}: run `fed-assets run {SANDBOX}`.")
    groups = ["sandbox", "federation", "comparison", *read_roster(FEW_HOSPITALS).hospital_ids]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        home = Home(folder / "home").prepare()
        environment = os.environ | {
            "FED_ASSETS_HOME": str(home.root),
            "FED_ASSETS_ROSTER": str(FEW_HOSPITALS),
            "DAGSTER_HOME": str(home.instance),
        }
        with (
            serving(environment, folder / "webserver.log") as address,
            open_browser(folder / "chromium") as browser,
        ):
            _write("asset-graph.png", _graph(browser, address, groups))
            _write("report.png", _report(browser, report))


def _graph(browser: Chrome, address: str, groups: list[str]) -> bytes:
    resize(browser, *GRAPH_WINDOW)
    expanded = quote(",".join(f"global@global:{group}" for group in groups))
    browser.get(f"{address}/asset-groups?expanded={expanded}")
    wait_for(browser, lambda: "global_model" in _graph_text(browser), "the graph")
    wait_for(browser, lambda: _is_still(browser), "the graph at rest")
    return _picture(browser, _graph_edges(browser))


def _report(browser: Chrome, page: Path) -> bytes:
    width, height = REPORT_WINDOW
    resize(browser, width, height)
    browser.get(page.as_uri())
    wait_for(browser, lambda: "The short answer" in text_of(browser), "the report")
    return _picture(browser, {"x": 0, "y": 0, "width": width, "height": height})


def _graph_text(browser: Chrome) -> str:
    script = "return [...document.querySelectorAll('foreignObject')].map(e => e.innerHTML).join()"
    return str(browser.execute_script(script))


def _is_still(browser: Chrome) -> bool:
    """Returns whether nothing in the graph changes for two seconds: all statuses have come in."""
    before = _graph_edges(browser), _graph_text(browser)
    browser.execute_async_script("setTimeout(arguments[0], 2000)")
    return before == (_graph_edges(browser), _graph_text(browser))


def _graph_edges(browser: Chrome) -> dict[str, float]:
    edges: dict[str, float] = browser.execute_script(
        """
        const boxes = [...document.querySelectorAll("foreignObject")]
            .map(each => each.getBoundingClientRect());
        const left = Math.min(...boxes.map(box => box.left)) - arguments[0];
        const top = Math.min(...boxes.map(box => box.top)) - arguments[0];
        const right = Math.max(...boxes.map(box => box.right)) + arguments[0];
        const bottom = Math.max(...boxes.map(box => box.bottom)) + arguments[0];
        return {x: left, y: top, width: right - left, height: bottom - top};
        """,
        MARGIN,
    )
    return edges


def _picture(browser: Chrome, edges: dict[str, float]) -> bytes:
    browser.execute_cdp_cmd("Emulation.setScrollbarsHidden", {"hidden": True})
    what: dict[str, Any] = {"format": "png", "clip": edges | {"scale": SHARPNESS}}
    taken = browser.execute_cdp_cmd("Page.captureScreenshot", what)
    return base64.b64decode(taken["data"])


def _write(name: str, content: bytes) -> None:
    (FOLDER / name).write_bytes(_fewer_colours(content))
    print(f"{FOLDER / name}: {(FOLDER / name).stat().st_size / 1000:.0f} kB")


def _fewer_colours(png: bytes) -> bytes:
    """Returns the picture in 128 colours: a third of its size, and no difference to see."""
    import io

    from PIL import Image

    smaller = io.BytesIO()
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    picture.quantize(128).save(smaller, "PNG", optimize=True)
    return smaller.getvalue()


if __name__ == "__main__":
    main()
