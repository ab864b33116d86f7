from __future__ import annotations

import pytest

from fed_assets.errors import RunConfigError
from fed_assets.federation.agreed_rule import agreed_rule
from fed_assets.federation.roster import read_roster
from fed_assets.resources.settings import SHIPPED_ROSTER
from fed_assets.sandboxes.presets import CONFIDENTIAL_VM, MINIMAL


def test_hospitals_that_are_too_few_to_hide_among_each_other_are_refused() -> None:
    roster = read_roster(SHIPPED_ROSTER)
    two, three = (
        roster.model_copy(update={"hospitals": roster.hospitals[:count]}) for count in (2, 3)
    )
    agreed_rule(three, CONFIDENTIAL_VM)
    agreed_rule(two, MINIMAL)
    with pytest.raises(RunConfigError, match=r"takes 3: of two.*Seen: 2"):
        agreed_rule(two, CONFIDENTIAL_VM)
