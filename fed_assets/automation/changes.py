"""Whether one hospital's images differ from what was taken up, and what follows from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dagster import DagsterInstance, DagsterRun

from fed_assets.automation.failures import outlook
from fed_assets.automation.runs import ENDED_BADLY, asked_before, failed_to_take_up
from fed_assets.errors import FedAssetsError, HospitalWithdrawn
from fed_assets.federation.roster import Hospital, Roster
from fed_assets.resources.hospital_runner import LocalHospitalRunner
from fed_assets.resources.image_task import image_arguments
from fed_assets.resources.settings import Settings
from fed_assets.sandboxes.enforcement import require_enforced
from fed_assets.sandboxes.presets import find_sandbox

# A tick that asks for longer than a minute is ended by Dagster.
OWN_SECONDS, OTHERS_SECONDS = 25.0, 5.0
FIRST = "first"


@dataclass(frozen=True)
class Look:
    """What a look at a hospital's source came to.

    Attributes:
        change: What names the change, where there is one to take up; else None.
        said: What there is to say of it, a sentence.
        waits: Whether files are still being written, or were not read yet.
    """

    change: str | None
    said: str
    waits: bool = False


@dataclass(frozen=True)
class Looking:
    """Asks hospitals for looks at their sources.

    Attributes:
        roster: The hospitals.
        settings: Where they lie.
        instance: Dagster's.
        sandbox: In which sandbox's stores they keep what was taken up.
        runner: The door to the hospitals of that sandbox, and no other.
    """

    roster: Roster
    settings: Settings
    instance: DagsterInstance
    sandbox: str
    runner: LocalHospitalRunner

    def look(self, hospital: Hospital, *, own: bool, patient: bool = True) -> Look:
        """Returns what a look at a hospital's source came to; an error is something to say.

        Args:
            hospital: Whose.
            own: Whether the tick is this hospital's own, which has more time.
            patient: Whether to wait for files that are still being written.
        """
        try:
            answer = self._ask(hospital, OWN_SECONDS if own else OTHERS_SECONDS)
        except HospitalWithdrawn as error:
            return Look(None, f"{hospital.id} in {self.sandbox}: nobody looks, as {error.seen}.")
        except FedAssetsError as error:
            return Look(None, f"The images of {hospital.id} cannot be looked at: {error}")
        where = f"{hospital.id} in {self.sandbox}"
        if not answer["settled"] and patient:
            return Look(None, f"{where}: {_unsettled(answer)}.", waits=True)
        if not answer["differs"]:
            return Look(None, self._unchanged(hospital.id, answer))
        change = f"{answer['mark'] or FIRST}-{answer['digest'][:16]}"
        if earlier := asked_before(self.instance, self.sandbox, hospital.id, change):
            return Look(None, f"{where}: {_told(answer)}; {self._became_of(earlier)}.")
        return Look(change, f"{where}: {_told(answer)}.")

    def _ask(self, hospital: Hospital, most_seconds: float) -> dict[str, Any]:
        configurable = self.settings.configurable
        sandbox = require_enforced(find_sandbox(self.sandbox, configurable=configurable))
        arguments = image_arguments(
            self.roster,
            hospital,
            data=self.settings.data,
            cache=self.settings.home.cache,
        )
        arguments["settle_seconds"] = self.roster.automation.settle_seconds
        arguments["most_seconds"] = most_seconds
        return self.runner.ask(sandbox, hospital.id, "look_at_source", arguments)

    def _unchanged(self, hospital: str, answer: dict[str, Any]) -> str:
        where = f"{hospital} in {self.sandbox}"
        copies = f" ({_files(answer['copies'])} of the same content as others)"
        said = copies if answer["copies"] else ""
        if failed := failed_to_take_up(self.instance, self.sandbox, hospital):
            became = self._became_of(failed)
            return f"{where}: the last change is in no model yet{said}; {became}."
        return f"{where}: nothing is new{said}."

    def _became_of(self, run: DagsterRun) -> str:
        name = f"run {run.run_id[:8]}"
        if run.status not in ENDED_BADLY:
            return f"{name} has taken it up"
        ahead = outlook(self.instance, run, self.roster.automation.try_again_after_seconds)
        return f"{name} was to take it up and {ahead.said}"


def _told(answer: dict[str, Any]) -> str:
    names = ("new", "changed", "removed", "moved")
    if any(isinstance(answer[name], str) for name in names):
        return "something differs; how much is suppressed"
    told = [f"{answer[name]} {name}" for name in names if answer[name]]
    copies = f", and {_files(answer['copies'])} of the same content" if answer["copies"] else ""
    return (", ".join(told) or "the terms of the data differ") + copies


def _unsettled(answer: dict[str, Any]) -> str:
    if answer["unsettled"]:
        return f"{_files(answer['unsettled'])} still being written"
    return "not every file is read yet; the next look goes on"


def _files(count: int | str) -> str:
    if isinstance(count, str):
        return "some files"
    return f"{count} {'file' if count == 1 else 'files'}"
