"""What a federation is to carry out, by the roster and the run's config."""

from __future__ import annotations

from pathlib import Path

import pytest

from fed_assets.assets.training import TrainingConfig, plan_training
from fed_assets.errors import QuorumNotMet
from fed_assets.federation.admission import admit
from fed_assets.federation.roster import read_roster
from fed_assets.resources.hospital_runner import LocalHospitalRunner
from fed_assets.sandboxes.presets import MINIMAL
from fed_assets_tests.conftest import PROJECT

LOOKS = {"digest": "d", "classes": ["a", "b"], "channels": 1, "image_size": 28, "synthetic": False}
ADMITTED = {"admitted": True, "reason": None, **LOOKS}
REFUSED = {"admitted": False, "reason": "too few images"}


@pytest.mark.parametrize(("validated", "enough"), [(ADMITTED, True), (REFUSED, False)])
def test_a_retraining_after_too_few_were_admitted_says_to_run_the_lifecycle(
    tmp_path: Path, validated: dict[str, object], enough: bool
) -> None:
    roster = read_roster(PROJECT / "fed_assets" / "roster.yaml")
    admission = admit(["north"], {"north": validated}, quorum=None)
    runner = LocalHospitalRunner(home_folder=str(tmp_path), hospitals=["north"], network="")

    def plan() -> tuple[str, ...]:
        config = TrainingConfig()
        return plan_training(roster, MINIMAL, admission, config, tmp_path, runner).hospitals

    if enough:
        assert plan() == ("north",)
    else:
        with pytest.raises(QuorumNotMet, match=r"admitted 0 hospitals.*Run the whole lifecycle"):
            plan()
