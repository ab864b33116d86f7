"""The attempts on hospitals' containers, on a real Azurite, by real processes of hospitals."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from fed_assets.containers.issuing import REVOKED, Issued
from fed_assets.containers.place import write_place
from fed_assets.posture.evidence import Evidence, Outcome, gather
from fed_assets.posture.in_containers import probes_in_containers
from fed_assets.posture.target import Target
from fed_assets_tests.azure_storage import Azurite
from fed_assets_tests.posture.test_attempts import SEALED, hospital, outcomes

PASSED, FAILED, INCONCLUSIVE = Outcome.PASSED, Outcome.FAILED, Outcome.INCONCLUSIVE
ALL = (
    *("open_hospitals_containers", "open_anothers_container"),
    *("use_expired_token", "use_revoked_token", "use_write_only_token"),
)


class Consortium:
    """Two hospitals and an orchestrator, with a container each."""

    def __init__(self, folder: Path, azurite: Azurite) -> None:
        self.folder, self.azurite = folder, azurite
        self.orchestrator = azurite.issue(azurite.party())
        self.hospitals = {azurite.party(): folder / name for name in ("north", "south")}
        self.issued = {name: azurite.issue(name) for name in self.hospitals}
        for name, issued in self.issued.items():
            self.give(name, issued)

    def file(self, name: str, why: str = "") -> Path:
        return self.hospitals[name] / "keys" / f"container{why}.json"

    def give(self, name: str, issued: Issued) -> None:
        write_place(self.file(name), issued.own)
        for why, place in issued.dead.items():
            write_place(self.file(name, f".{why}"), place)


@pytest.fixture
def consortium(tmp_path: Path, azurite: Azurite) -> Consortium:
    return Consortium(tmp_path, azurite)


@pytest.fixture
def shown(consortium: Consortium) -> Iterator[Callable[[], dict[str, Evidence]]]:
    """Returns a function that makes all attempts, by processes that end with the test."""

    def make() -> dict[str, Evidence]:
        with ExitStack() as running:
            targets: list[Target] = [
                running.enter_context(
                    hospital(name, folder, {**SEALED, "container": str(consortium.file(name))})
                )
                for name, folder in consortium.hospitals.items()
            ]
            probes = probes_in_containers(targets, consortium.orchestrator.own)
            return {probe.name: gather(probe, {}) for probe in probes}

    yield make
    shutil.rmtree(consortium.folder)


def test_every_attempt_on_containers_of_their_own_is_refused(
    consortium: Consortium, shown: Callable[[], dict[str, Evidence]]
) -> None:
    evidence = shown()
    assert outcomes(evidence) == dict.fromkeys(ALL, PASSED), [
        (each.probe, each.reason, each.attempt) for each in evidence.values()
    ]
    opened = evidence["open_hospitals_containers"]
    assert opened.attempt == {"hospitals": 2, "read": 0, "list": 0, "write": 0}
    assert opened.control == {"read": 1, "list": 1, "write": 1}
    assert evidence["open_anothers_container"].control["write"] == 2
    for party in consortium.hospitals:
        names = consortium.azurite.names(party)
        assert not [name for name in names if "intruder" in name or "canary" in name]


def test_one_container_for_all_and_tokens_that_live_fail(
    consortium: Consortium, shown: Callable[[], dict[str, Evidence]]
) -> None:
    north, south = consortium.hospitals
    # One token opens everybody's: there is one container.
    write_place(consortium.file(south), consortium.issued[north].own)
    consortium.orchestrator = consortium.issued[north]
    for name in consortium.hospitals:
        for why in consortium.issued[north].dead:
            write_place(consortium.file(name, f".{why}"), consortium.issued[north].own)
    evidence = shown()
    assert outcomes(evidence) == dict.fromkeys(ALL, FAILED)
    assert evidence["open_anothers_container"].attempt["read"] == 2


def test_without_working_controls_nothing_is_shown(
    consortium: Consortium, shown: Callable[[], dict[str, Evidence]]
) -> None:
    north, _ = consortium.hospitals
    consortium.orchestrator = Issued(
        consortium.orchestrator.dead[REVOKED], consortium.orchestrator.dead
    )
    consortium.file(north, ".expired").unlink()
    evidence = outcomes(shown())
    assert evidence["open_hospitals_containers"] is INCONCLUSIVE
    assert evidence["open_anothers_container"] is PASSED
    assert {evidence[name] for name in ALL[2:]} == {INCONCLUSIVE}
