"""The roster's `promotion`: what stands there unless a person says otherwise, and what may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from fed_assets.errors import RosterError
from fed_assets.federation.promotion import Promotion
from fed_assets.federation.roster import read_roster
from fed_assets.resources.settings import SHIPPED_ROSTER
from fed_assets_tests.federation.test_roster import top, write


def test_a_roster_that_says_nothing_allows_little_and_asks_for_the_posture() -> None:
    promotion = read_roster(SHIPPED_ROSTER).promotion
    assert promotion == Promotion()
    assert (promotion.margin, promotion.hospital_margin) == (0.01, 0.05)
    assert promotion.least_youden == 0.1
    assert promotion.require_posture
    shown = SHIPPED_ROSTER.read_text()
    assert "# promotion: {margin: 0.01, hospital_margin: 0.05, least_youden: 0.1," in shown


def test_a_roster_sets_its_own_margins(tmp_path: Path) -> None:
    given = {"margin": 0.0, "hospital_margin": 0.1, "least_youden": 0, "require_posture": False}
    promotion = read_roster(write(tmp_path, top(promotion=given))).promotion
    assert promotion == Promotion(**given)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"margin": -0.1}, r"promotion\.margin cannot be used: it has to be greater than"),
        ({"margin": "little"}, r"promotion\.margin cannot be used: it has to be a number"),
        ({"hospital_margin": 0.9}, r"hospital_margin cannot be used: it has to be less than"),
        ({"hospital_margin": 0.001}, "give hospital_margin no less than margin"),
        ({"least_youden": 10}, r"promotion\.least_youden cannot be used: it has to be less than"),
        ({"confidence": 95}, r"promotion\.confidence cannot be used: it has to be less than"),
        ({"metric": "loss"}, r"promotion\.metric cannot be used: it has to be 'auroc'"),
        ({"require_posture": "maybe"}, "require_posture cannot be used: it has to be yes or no"),
        ({"margins": 0.1}, r"unknown entry promotion\.margins.*Did you mean `margin`"),
        (0.01, "promotion cannot be used: it has to be entries of its own"),
    ],
)
def test_nonsense_is_refused_in_plain_words(tmp_path: Path, given: object, said: str) -> None:
    with pytest.raises(RosterError, match=said):
        read_roster(write(tmp_path, top(promotion=given)))
