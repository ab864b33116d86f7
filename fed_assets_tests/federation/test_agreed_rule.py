from __future__ import annotations

import pytest

from fed_assets.errors import RunConfigError
from fed_assets.federation.agreed_rule import agreed_rule
from fed_assets.federation.azure_ml import AzureML
from fed_assets.federation.roster import Hospital, Limits, Roster, read_roster
from fed_assets.resources.settings import SHIPPED_ROSTER
from fed_assets.sandboxes.controls import UpdateProtection
from fed_assets.sandboxes.presets import CONFIDENTIAL_VM, MINIMAL

SHIPPED = read_roster(SHIPPED_ROSTER)
ENCRYPTS = CONFIDENTIAL_VM.model_copy(
    update={"update_protection": UpdateProtection.HOMOMORPHIC_ENCRYPTION}
)
MACHINE = AzureML(
    subscription="00000000-0000-4000-8000-000000000001",
    resource_group="north-rg",
    workspace="north-ws",
    compute="north-cpu",
    environment="azureml:fed-assets:7",
    home="azureml://datastores/north_store/paths/fed_assets",
    messages="https://northmessages.blob.core.windows.net/fed-assets-north",
)


def with_door(hospitals: tuple[Hospital, ...]) -> Roster:
    limits = Limits(door="hub.example:8002")
    return SHIPPED.model_copy(update={"hospitals": hospitals, "federation": limits})


def test_hospitals_that_are_too_few_to_hide_among_each_other_are_refused() -> None:
    two, three = (
        SHIPPED.model_copy(update={"hospitals": SHIPPED.hospitals[:count]}) for count in (2, 3)
    )
    agreed_rule(three, CONFIDENTIAL_VM)
    agreed_rule(two, MINIMAL)
    with pytest.raises(RunConfigError, match=r"takes 3: of two.*Seen: 2"):
        agreed_rule(two, CONFIDENTIAL_VM)


def test_hospitals_here_and_elsewhere_share_no_key() -> None:
    away = tuple(each.model_copy(update={"remote": "share"}) for each in SHIPPED.hospitals)
    azure = tuple(each.model_copy(update={"azure_ml": MACHINE}) for each in SHIPPED.hospitals)
    for alike in (SHIPPED.hospitals, away, azure, (*azure[:2], *away[2:])):
        agreed_rule(with_door(alike), ENCRYPTS)
    for mixed in ((*SHIPPED.hospitals[:2], *away[2:]), (*SHIPPED.hospitals[:2], *azure[2:])):
        with pytest.raises(RunConfigError) as refused:
            agreed_rule(with_door(mixed), ENCRYPTS)
        assert "cannot share the key of homomorphic encryption" in str(refused.value)
        assert "not on hosts of their own: hospital_01, hospital_02" in str(refused.value)
        assert "secure_aggregation" in str(refused.value)
        agreed_rule(with_door(mixed), CONFIDENTIAL_VM)


def test_where_no_door_is_hospitals_in_azure_ml_join_no_rounds_and_share_no_key() -> None:
    azure = tuple(each.model_copy(update={"azure_ml": MACHINE}) for each in SHIPPED.hospitals)
    mixed = (*SHIPPED.hospitals[:3], *azure[3:])
    agreed_rule(SHIPPED.model_copy(update={"hospitals": mixed}), ENCRYPTS)
    with pytest.raises(RunConfigError, match="not on hosts of their own"):
        agreed_rule(with_door(mixed), ENCRYPTS)
