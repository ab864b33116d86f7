"""Dagster's own pages over a finished lifecycle, looked at as a hospital's data officer does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import psutil
import pytest

from fed_assets.assets.expectation_checks import EXPECTATIONS
from fed_assets.assets.resemblance import RESEMBLES
from fed_assets_tests.browser import broken_pictures, pictures, text_of, wait_for
from fed_assets_tests.webserver import ask, serving

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

    from fed_assets_tests.conftest import FinishedLifecycle

pytestmark = pytest.mark.slow
LANE = ("images", "validated_images", "local_rounds")
FEDERATION = ("federation_roster", "global_model", "evaluation_report")
CLOSE = """
    [...document.querySelectorAll("button")].find(each => each.innerText === "Close").click()
"""
ASSET_EVENTS = """
    query ($asset: AssetKeyInput!) {
      assetOrError(assetKey: $asset) {
        ... on Asset {
          assetObservations {
            partition
            metadataEntries { label ... on IntMetadataEntry { intValue } }
          }
        }
      }
    }
"""


@pytest.fixture(scope="module")
def address(
    finished_lifecycle: FinishedLifecycle, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Yields where the finished lifecycle's webserver answers."""
    log = tmp_path_factory.mktemp("webserver") / "log"
    with serving(finished_lifecycle.environment, log) as url:
        yield url


def test_the_lineage_shows_every_hospitals_lane(
    finished_lifecycle: FinishedLifecycle, address: str, browser: Chrome
) -> None:
    groups = ("sandbox", "federation", *finished_lifecycle.hospitals)
    expanded = quote(",".join(f"global@global:{group}" for group in groups))

    browser.get(f"{address}/asset-groups?expanded={expanded}")
    wait_for(browser, lambda: "global_model" in _nodes(browser), "the graph")

    shown = _nodes(browser)
    assert {*groups, "sandbox_controls", *FEDERATION} <= set(shown)
    assert {name: shown[name] for name in LANE} == dict.fromkeys(
        LANE, len(finished_lifecycle.hospitals)
    )
    assert "west" not in shown  # a hospital that the roster does not have


def test_the_run_said_which_version_it_registered_and_what_keeps_it_from_serving(
    finished_lifecycle: FinishedLifecycle,
) -> None:
    (said,) = [
        line
        for line in finished_lifecycle.output.splitlines()
        if line.startswith("Version 1 is registered, and does not serve: ")
    ]
    assert "the sandbox was never attacked; run `fed-assets posture minimal`, then" in said


def test_every_expectation_of_a_hospital_is_a_check(address: str, browser: Chrome) -> None:
    browser.get(f"{address}/assets/north/validated_images?view=checks")

    checks = (*EXPECTATIONS, RESEMBLES)
    wait_for(browser, lambda: f"Checks ({len(checks)})" in text_of(browser), "the checks")
    for name in checks:
        assert name in text_of(browser)
    wait_for(browser, lambda: "left out of the federation" in text_of(browser), "what follows")


def test_a_hospitals_page_shows_its_counts_and_its_contact_sheet(
    address: str, browser: Chrome
) -> None:
    browser.get(f"{address}/assets/north/images")

    wait_for(browser, lambda: "validation" in text_of(browser), "the counts")
    assert "SYNTHETIC DATA" in text_of(browser)
    assert _open_pictures(browser) == ["Contact sheet of The north hospital"]


def test_the_roster_says_who_takes_part(
    finished_lifecycle: FinishedLifecycle, address: str, browser: Chrome
) -> None:
    browser.get(f"{address}/assets/federation_roster")

    wait_for(browser, lambda: "takes part" in text_of(browser), "the table")
    for hospital in finished_lifecycle.hospitals:
        assert f"The {hospital} hospital" in text_of(browser)
    assert "SYNTHETIC DATA" in text_of(browser)


def test_the_reports_pictures_render(address: str, browser: Chrome) -> None:
    browser.get(f"{address}/assets/evaluation_report")

    wait_for(browser, lambda: "Balanced accuracy" in text_of(browser), "the summary")
    assert len(_open_pictures(browser)) == 5


def test_each_round_is_an_observation_of_the_global_model(address: str) -> None:
    answer = ask(address, ASSET_EVENTS, asset={"path": ["global_model"]})

    observed = answer["assetOrError"]["assetObservations"]
    numbers = [
        entry["intValue"]
        for observation in observed
        for entry in observation["metadataEntries"]
        if entry["label"] == "round"
    ]
    assert sorted(numbers) == [1, 2]
    assert {observation["partition"] for observation in observed} == {"minimal"}


def test_a_closed_webserver_leaves_no_process_behind(
    finished_lifecycle: FinishedLifecycle, tmp_path: Path
) -> None:
    mine = psutil.Process()
    before = set(mine.children(recursive=True))

    with serving(finished_lifecycle.environment, tmp_path / "log"):
        started = set(mine.children(recursive=True)) - before
        assert len(started) >= 2  # the webserver, and the code server that it starts

    _, alive = psutil.wait_procs(started, timeout=10)
    assert alive == []


def _nodes(browser: Chrome) -> Counter[str]:
    """Returns the names in the graph, groups and assets, and how often each stands there."""
    script = """return [...document.querySelectorAll("foreignObject *")].filter(
        each => !each.children.length).map(each => each.textContent.trim())"""
    return Counter(filter(None, browser.execute_script(script)))


def _open_pictures(browser: Chrome) -> list[str]:
    """Opens every [Show Markdown], and returns the pictures there, all of which must show."""
    found = []
    script = """return [...document.querySelectorAll('*')].filter(
        each => !each.children.length && each.textContent === '[Show Markdown]')"""
    for link in browser.execute_script(script):
        browser.execute_script("arguments[0].click()", link)
        wait_for(browser, lambda: pictures(browser), "a picture")
        assert broken_pictures(browser) == []
        found += pictures(browser)
        browser.execute_script(CLOSE)
        wait_for(browser, lambda: not pictures(browser), "the page without its dialog")
    return found
