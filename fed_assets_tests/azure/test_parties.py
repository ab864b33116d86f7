"""Names and addresses of who has a part of the deployment."""

from __future__ import annotations

import ipaddress
from itertools import combinations

import pytest

from fed_assets.azure.check import require_sound, worked_out
from fed_assets.azure.parties import BASE, MOST_SHORT, parties
from fed_assets.azure.template import sandbox_template
from fed_assets.errors import AzureTemplateError
from fed_assets.sandboxes.presets import EYES_OFF

AWKWARD = (
    *("a", "a_b", "a__b", "north_", "north"),
    *("university_hospital_of_the_northern_region", "university_hospital_of_the_southern_region"),
)


def test_a_hospital_is_called_by_its_id_where_azure_lets_it() -> None:
    coordinator, north, third = parties(["north", "hospital_03"])
    assert (coordinator.id, coordinator.short) == ("coordinator", "coordinator")
    assert (north.short, third.short, third.key) == ("north", "hospital-03", "hospital-03")


def test_names_and_addresses_do_not_depend_on_the_others() -> None:
    ids = [f"hospital_{number:02d}" for number in range(1, 11)]
    whole = {each.id: each for each in parties(ids)}
    for each in parties([*reversed(ids[5:]), "newcomer"]):
        if each.id != "newcomer":
            assert each == whole[each.id]


def test_ids_that_azure_does_not_take_get_names_that_it_takes_and_nobody_else_has() -> None:
    found = parties(AWKWARD)
    assert len({each.short.replace("-", "") for each in found}) == len(AWKWARD) + 1
    for each in found:
        assert len(each.short) <= MOST_SHORT
        assert "--" not in each.short
        assert each.short[-1] != "-"
    made = sandbox_template(EYES_OFF, AWKWARD, base="heart", region="westeurope")
    assert [str(each) for each in worked_out(made).findings] == []


@pytest.mark.parametrize("ids", [("a_b", "ab"), ("north", "co_ordinator")])
def test_two_whose_stores_would_be_called_alike_are_refused(ids: tuple[str, str]) -> None:
    made = sandbox_template(EYES_OFF, ids, base="heart", region="westeurope")
    with pytest.raises(AzureTemplateError, match=r"would be called stheart(ab|coordinator)"):
        require_sound(made)


def test_a_hundred_hospitals_have_a_hundred_networks() -> None:
    networks = [
        ipaddress.ip_network(each.network) for each in parties(map("h{}".format, range(100)))
    ]
    private = ipaddress.ip_network("10.0.0.0/8")
    assert all(each.subnet_of(private) and each.prefixlen == 22 for each in networks)  # type: ignore[arg-type]
    assert not any(one.overlaps(other) for one, other in combinations(networks, 2))


@pytest.mark.parametrize("base", ["ab", "heartcenter", "Heart", "1heart", "he-art", ""])
def test_a_base_that_names_cannot_begin_with_is_none(base: str) -> None:
    assert BASE.fullmatch("heart")
    assert not BASE.fullmatch(base)
