from __future__ import annotations

import pytest

from fed_assets.errors import RunConfigError
from fed_assets.federation.agreed_rule import agreed_rule
from fed_assets.federation.roster import read_roster
from fed_assets.resources.settings import SHIPPED_ROSTER
from fed_assets.sandboxes.controls import UpdateProtection
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


def test_hospitals_here_and_elsewhere_share_no_key() -> None:
    roster = read_roster(SHIPPED_ROSTER)
    encrypts = CONFIDENTIAL_VM.model_copy(
        update={"update_protection": UpdateProtection.HOMOMORPHIC_ENCRYPTION}
    )
    away = tuple(each.model_copy(update={"remote": "share"}) for each in roster.hospitals)
    elsewhere = roster.model_copy(update={"hospitals": away})
    mixed = roster.model_copy(update={"hospitals": (*roster.hospitals[:2], *away[2:])})
    for alike in (roster, elsewhere):
        agreed_rule(alike, encrypts)
    with pytest.raises(RunConfigError) as refused:
        agreed_rule(mixed, encrypts)
    assert "cannot share the key of homomorphic encryption" in str(refused.value)
    assert "not on hosts of their own: hospital_01, hospital_02" in str(refused.value)
    assert "secure_aggregation" in str(refused.value)
    agreed_rule(mixed, CONFIDENTIAL_VM)
