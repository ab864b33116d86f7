"""The report's page as a person sees it: in a browser, wide and on a phone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fed_assets_tests.browser import (
    broken_pictures,
    complaints,
    external_requests,
    overflow_pixels,
    pictures,
    resize,
    text_of,
)

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

    from fed_assets_tests.conftest import FinishedLifecycle

pytestmark = pytest.mark.slow
PAGE = "artifacts/evaluation_report/minimal/report.html"
PHONE = (400, 800)


def test_the_report_renders_whole_and_by_itself(
    finished_lifecycle: FinishedLifecycle, browser: Chrome
) -> None:
    browser.get((finished_lifecycle.home / PAGE).as_uri())

    assert len(pictures(browser)) >= 5
    assert broken_pictures(browser) == []
    assert complaints(browser) == []
    assert external_requests(browser) == []
    assert "SYNTHETIC DATA" in text_of(browser)
    for hospital in finished_lifecycle.hospitals:
        assert f"The {hospital} hospital" in text_of(browser)


def test_the_report_fits_a_phone(finished_lifecycle: FinishedLifecycle, browser: Chrome) -> None:
    resize(browser, *PHONE)

    browser.get((finished_lifecycle.home / PAGE).as_uri())

    assert overflow_pixels(browser) == 0
    assert "SYNTHETIC DATA" in text_of(browser)


def test_what_is_wrong_with_a_page_is_seen(tmp_path: Path, browser: Chrome) -> None:
    page = tmp_path / "wrong.html"
    page.write_text(
        """<!doctype html><meta charset="utf-8">
        <img alt="not a picture" src="data:image/png;base64,AAAA">
        <img alt="from elsewhere" src="http://127.0.0.1:9/elsewhere.png">
        <div style="width: 900px">too wide</div>
        <script>throw new Error("a script failed")</script>"""
    )
    resize(browser, *PHONE)

    browser.get(page.as_uri())

    assert broken_pictures(browser) == ["not a picture", "from elsewhere"]
    assert any("a script failed" in complaint for complaint in complaints(browser))
    assert external_requests(browser) == ["http://127.0.0.1:9/elsewhere.png"]
    assert overflow_pixels(browser) > 400
