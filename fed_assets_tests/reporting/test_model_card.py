"""Model cards: every heading, every figure from the records, and a page that a person can read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fed_assets.registry.lineage import Model
from fed_assets.reporting.model_card import card_files, card_markdown, card_of, render_card
from fed_assets_tests.browser import (
    complaints,
    external_requests,
    overflow_pixels,
    resize,
    text_of,
)
from fed_assets_tests.lineages import THREE, data_digest, lineage, round_of

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

HEADINGS = (
    *("Model details", "Intended use", "Factors", "Metrics", "Evaluation data", "Training data"),
    *("Quantitative analyses", "Ethical considerations", "Caveats and recommendations"),
)


def model(**changes: Any) -> dict[str, Any]:
    record = lineage(**changes)
    return Model(
        sandbox=record["sandbox"],
        run_id=record["run_id"],
        version=3,
        lineage=record,
        states=("champion",),
    ).as_record()


def test_every_heading_of_the_field_stands_on_the_page_in_its_order() -> None:
    page = render_card(card_of(model()))
    places = [page.index(f">{heading}</h2>") for heading in HEADINGS]
    assert places == sorted(places)


def test_every_figure_is_the_records() -> None:
    card, record = card_of(model()), lineage()
    assert card["model_details"]["weights_digest"] == record["weights_digest"]
    assert card["training_data"]["hospitals"] == record["hospitals"]
    figures = card["quantitative_analyses"]
    assert figures["common_test_set"]["auroc"] == record["evaluation"]["test"]["auroc"]
    assert figures["hospitals"]["east"]["f1"] == record["evaluation"]["hospitals"]["east"]["f1"]
    page = render_card(card)
    for shown in ("minimal@3", record["run_id"], data_digest("north")[:12], "0.900", "0.850"):
        assert shown in page


def test_training_settings_are_told_in_words_and_kept_as_values() -> None:
    known = model()
    recipe = {"learning_rate": 0.002, "augment": True, "prior_correction": False, "new": "thing"}
    known["lineage"]["recipe"] = recipe
    card = card_of(known)
    assert card["model_details"]["recipe"] == recipe
    said = card["model_details"]["training_settings"]
    assert said == {
        "learning rate": "0.002 at the start",
        "augmentation": "yes (an image is turned, shifted, scaled and brightened a little each "
        "time it is seen)",
        "prior correction": "no",
        "new": "thing",  # a later version's
    }
    page = render_card(card)
    assert f"augmentation: {said['augmentation']}<br>" in page
    assert "prior correction: no<br>" in page
    assert "True" not in page
    assert "augment " not in page


def test_training_and_test_data_are_named_apart() -> None:
    known = model()
    known["lineage"]["data"] |= {
        "name": "own images of 3 hospitals (folder)",
        "test_name": "pneumoniamnist",
    }
    card = card_of(known)
    assert card["training_data"]["name"] == "own images of 3 hospitals (folder)"
    assert card["evaluation_data"]["common_test_set"]["name"] == "pneumoniamnist"
    page = render_card(card)
    assert "40 images of pneumoniamnist" in page
    assert page.count("pneumoniamnist") == 1
    assert "40 images, digest" in render_card(card_of(model()))  # of an earlier version


def test_synthetic_data_is_said_first_and_real_data_is_not() -> None:
    page = render_card(card_of(model()))
    assert page.index("SYNTHETIC DATA") < page.index("fed_assets model card")
    assert card_of(model())["synthetic"] is True
    assert card_of(model())["notice"].startswith("SYNTHETIC DATA")
    real = model(synthetic=False)
    assert (card_of(real)["synthetic"], card_of(real)["notice"]) == (False, "")
    assert "SYNTHETIC" not in render_card(card_of(real))
    assert "SYNTHETIC" not in card_markdown(card_of(real))


def test_masked_updates_and_a_private_budget_are_said() -> None:
    hidden = model(
        rounds=[round_of(1, THREE, examples=None)],
        hides_updates=True,
        controls={"update_protection": "secure_aggregation"},
    )
    page = render_card(card_of(hidden))
    assert "The server saw the sum of the updates and no single one." in page
    assert "Updates were summed unseen" in page
    assert "not known" in page
    private = model(
        rounds=[round_of(1, THREE, epsilon=2.5, delta=1e-5)],
        controls={"update_protection": "differential_privacy"},
    )
    card = card_of(private)
    assert card["ethical_considerations"]["epsilon"]["north"] == {"epsilon": 2.5, "delta": 1e-5}
    assert ">2.50</td>" in render_card(card)


def test_previews_are_said_where_the_sandbox_lets_them_out() -> None:
    said = {
        shown: card_of(model(controls={"previews": shown}))["ethical_considerations"]["data"]
        for shown in ("yes", "no")
    }
    assert "but for small pictures that this sandbox lets be shown" in said["yes"]
    assert "pictures" not in said["no"]


def test_what_was_less_than_the_roster_is_a_caveat() -> None:
    rounds = [round_of(1, THREE), round_of(2, THREE[:2], missing={"south": "it did not answer"})]
    resumed = {"run": "9f8e7d6c-0000", "round": 1}
    caveats = card_of(model(rounds=rounds, resumed_from=resumed))["caveats_and_recommendations"]
    told = " ".join(caveats["caveats"])
    assert "south was missing in round 2: it did not answer." in told
    assert "The rounds up to 1 were taken over from run 9f8e7d6c" in told


def test_who_withdrew_is_named_as_not_in_it() -> None:
    gone = model(hospitals=THREE[:2], withdrawn={"south": "it withdrew; `undo` it"})
    card = card_of(gone)
    assert card["ethical_considerations"]["withdrawn"] == {"south": "it withdrew; `undo` it"}
    assert card["model_details"]["trained_by"] == ["The north hospital", "The east hospital"]
    page = render_card(card)
    assert "<strong>The south hospital</strong> is not in this model" in page
    assert "<code>undo</code>" in page


def test_undefined_and_missing_figures_are_said_in_words() -> None:
    none = model(test=None, hospitals=["north"])
    card = card_of(none)
    assert card["evaluation_data"]["common_test_set"]["images"] == 0
    assert "there is none" in render_card(card)
    assert "common test images" not in card_markdown(card)


def test_a_name_cannot_break_the_page() -> None:
    record = model()
    record["lineage"]["roster"][0]["name"] = "<script>alert(1)</script>"
    page = render_card(card_of(record))
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_the_files_are_the_page_and_the_same_as_json() -> None:
    files = card_files(model())
    assert files.keys() == {"card.html", "card.json"}
    assert json.loads(files["card.json"]) == card_of(model())


def test_the_markdown_is_short_enough_to_be_shown_at_once() -> None:
    told = card_markdown(card_of(model()))
    assert len(told) < 1000
    assert told.startswith("**SYNTHETIC DATA")
    assert "AUROC 0.900 (0.850" in told
    assert "learned from 3 hospitals in 2 rounds" in told


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 1000, 420, 390])
def test_the_page_shows_whole_wide_and_on_a_phone(
    browser: Chrome, tmp_path: Path, width: int
) -> None:
    page = tmp_path / "card.html"
    page.write_bytes(card_files(model())["card.html"])
    resize(browser, width, 900)
    browser.get(page.as_uri())
    assert overflow_pixels(browser) == 0
    assert complaints(browser) == []
    assert external_requests(browser) == []
    hidden = browser.execute_script(
        "return [...document.querySelectorAll('.scroll')].map(e => e.scrollWidth - e.clientWidth)"
    )
    assert hidden == [0, 0], "no column of a table is out of sight"
    shown = text_of(browser)
    assert shown.startswith("SYNTHETIC DATA")
    for heading in HEADINGS:
        assert heading in shown
