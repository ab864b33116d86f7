"""The posture's page: what it says, and how it looks in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fed_assets.posture.evidence import Evidence, Outcome
from fed_assets.posture.posture import judge
from fed_assets.reporting.posture_page import render_posture
from fed_assets.sandboxes.presets import EYES_ON
from fed_assets_tests.browser import complaints, external_requests, overflow_pixels, resize, text_of

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

PHONE = (400, 800)
IDENTITY = {"user": 1234, "system": "6.12", "versions": {"nvflare": "2.9.0"}}


def record(outcome: Outcome = Outcome.PASSED, **changes: Any) -> dict[str, Any]:
    evidence = [
        Evidence(
            probe=f"try_{rung}",
            ladder="in_transit",
            rung=rung,
            tries="Reads <everything> & more.",
            outcome=Outcome.PASSED if rung < 3 else outcome,
            reason="",
            attempt={"found": 0, "bytes": 12345},
            control={"found": 7},
            identity=IDENTITY,
            seconds=1.234,
            at="2026-01-02T03:04:05+00:00",
        )
        for rung in (1, 2, 3)
    ]
    return {**judge(EYES_ON, evidence).as_record(), **changes}


def test_a_sandbox_that_keeps_its_word_is_said_to() -> None:
    page = render_posture(record())
    assert "keeps its word" in page
    assert "does not keep" not in page
    assert "3 of 4" in page
    assert "0 found, 12345 bytes" in page
    assert "Reads &lt;everything&gt; &amp; more." in page


def test_one_that_does_not_is_said_not_to_and_why() -> None:
    page = render_posture(record(Outcome.FAILED))
    assert "does not keep its word" in page
    assert "in transit: level 2 was measured and 3 is promised (try 3 failed)" in page


def test_a_ladder_that_was_climbed_to_its_top_has_no_reason_not_to_be_higher() -> None:
    ladders = record()["ladders"]
    assert render_posture(record()).count("Not one higher:") == 3
    ladders["in_transit"] |= {"level": 4, "why": ""}
    assert render_posture(record(ladders=ladders)).count("Not one higher:") == 2


def test_what_was_measured_stands_with_its_name_and_beside_which_ladder() -> None:
    found = record()
    found["probes"][0] |= {"rung": 0, "attempt": {"members": 180, "auc": 0.548}}
    page = render_posture(found)
    assert "180 members, auc: 0.548" in page
    assert "In transit, beside" in page


def test_a_simulated_enclave_heads_the_page() -> None:
    assert "<b>SIMULATED</b>" in render_posture(record(simulated=True))
    assert "SIMULATED" not in render_posture(record())


@pytest.mark.slow
def test_it_renders_by_itself_and_fits_a_phone(tmp_path: Path, browser: Chrome) -> None:
    page = tmp_path / "posture.html"
    page.write_text(render_posture(record(Outcome.FAILED)))
    resize(browser, *PHONE)
    browser.get(page.as_uri())
    assert complaints(browser) == []
    assert external_requests(browser) == []
    assert overflow_pixels(browser) == 0
    assert "What this does not show" in text_of(browser)
