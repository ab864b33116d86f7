from __future__ import annotations

from typing import Any

from fed_assets.assets.roster import shortfall, without_client
from fed_assets.errors import CodeRefused
from fed_assets.federation.admission import Admission
from fed_assets.federation.roster import Roster
from fed_assets_tests.federation.test_azure_ml import PLACE


def test_what_holds_for_many_hospitals_is_said_once_and_so_is_how_to_mend_it() -> None:
    def refused(hospital: str) -> str:
        error = CodeRefused("The code changed", where=f"hospital {hospital}", cure="Run again")
        return str(error)

    names = ("north", "east")
    admission = Admission(
        participants=("south",),
        excluded={name: refused(name) for name in names} | {"west": "It has no images."},
        left_out=(),
        quorum=4,
        classes=(),
        channels=1,
        image_size=28,
        digests={},
        digest="",
        synthetic=False,
    )
    assert all(reason.count("To mend it") == 1 for reason in map(refused, names))
    assert shortfall(admission) == (
        "1 hospitals may take part, and 4 have to. north, east: The code changed; "
        "west: It has no images. To mend it: Run again. Mend these, leave them out by the run "
        "config `leave_out`, or lower the roster's `quorum`."
    )


def test_a_hospital_takes_part_wherever_its_machine_can_reach_the_door(
    entries: dict[str, Any],
) -> None:
    north = {"id": "north", "name": "North", "azure_ml": PLACE, "source": {"kind": "phantom"}}
    hospitals = [{"id": "south", "name": "South"}, north]
    validated = {name: {"admitted": True} for name in ("north", "south", "east")}
    roster = Roster.model_validate(entries | {"hospitals": hospitals})
    (refused,) = without_client(roster, validated).values()
    assert "`federation` has no `door`" in refused["reason"]
    east = {"id": "east", "name": "East", "remote": "share"}
    door = {"door": "federation.example.org:8443"}
    roster = Roster.model_validate(entries | {"hospitals": [*hospitals, east], "federation": door})
    assert without_client(roster, validated) == {}
