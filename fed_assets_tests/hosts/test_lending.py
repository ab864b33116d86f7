from __future__ import annotations

import pytest

from fed_assets.errors import HostAway, KitRefused
from fed_assets.hosts.lending import Lending


def kit_of(hospital: str) -> str:
    if hospital != "north":
        raise KitRefused(f"The roster has no machine of {hospital} in Azure ML")
    return "a kit"


def test_a_machine_serves_one_run_at_a_time() -> None:
    lending, first, second = Lending(kit_of), object(), object()
    assert lending.lend("north", first, serving=False) == "a kit"
    assert lending.lend("north", first, serving=False) == "a kit"  # the one before was lost, say
    with pytest.raises(HostAway, match="works for another run"):
        lending.lend("north", second, serving=False)
    lending.give_back(second, "north")  # which is not its to give
    with pytest.raises(HostAway, match="works for another run"):
        lending.lend("north", second, serving=False)
    lending.give_back(first, "north")
    with pytest.raises(HostAway, match="works for another run"):
        lending.lend("north", second, serving=True)  # the first one's has not ended yet
    assert lending.lend("north", second, serving=False) == "a kit"
    lending.give_back(second)
    assert lending.lend("north", first, serving=False) == "a kit"


def test_what_nobody_got_a_kit_for_is_not_lent() -> None:
    lending = Lending(kit_of)
    with pytest.raises(KitRefused):
        lending.lend("south", object(), serving=False)
    with pytest.raises(KitRefused):  # and not: it works for another run
        lending.lend("south", object(), serving=False)
