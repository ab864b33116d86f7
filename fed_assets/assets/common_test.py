"""The common test set: open images that no hospital trains on, held by the coordinator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fed_assets.assets.expectation_checks import failed_expectations
from fed_assets.errors import DataError, RosterError
from fed_assets.federation.admission import Admission, describe_images
from fed_assets.federation.roster import Roster
from fed_assets.resources.hospital_runner import COORDINATOR, LocalHospitalRunner
from fed_assets.resources.image_task import common_test_arguments
from fed_assets.resources.settings import Settings
from fed_assets.sandboxes.sandbox import Sandbox


@dataclass(frozen=True)
class CommonTest:
    """What is known of the common test set: how many images, their digest, and if made up."""

    images: int
    digest: str
    synthetic: bool


def prepare_common_test(
    roster: Roster,
    settings: Settings,
    sandbox: Sandbox,
    hospitals: LocalHospitalRunner,
    admission: Admission,
) -> CommonTest | None:
    """Prepares and validates the common test set, as a hospital does with its own images.

    Returns:
        What is known of it; None where the roster wants none, or nobody takes part.

    Raises:
        DataError: it cannot be read, or its validation failed.
        RosterError: its images are not like the hospitals', so that one network cannot read both.
    """
    if not roster.data.common_test or not admission.participants:
        return None
    arguments = common_test_arguments(roster, data=settings.data, cache=settings.home.cache)
    prepared = hospitals.ask(sandbox, COORDINATOR, "prepare_images", arguments)
    _require_alike(prepared, admission)
    expectations = {
        "expectations": dict(roster.data.expectations),
        "required_classes": prepared["classes"],
    }
    report = hospitals.ask(sandbox, COORDINATOR, "validate_images", expectations)
    if not report["passed"]:
        raise DataError(
            "The common test set's validation failed",
            seen="; ".join(failed_expectations(report)),
            cure="Mend the test split of the roster's `data.source`, "
            "or go without it by `data.common_test: no`",
        )
    return CommonTest(prepared["images"], prepared["digest"], prepared["synthetic"])


def _require_alike(prepared: dict[str, Any], admission: Admission) -> None:
    common = (tuple(prepared["classes"]), prepared["channels"], prepared["image_size"])
    hospitals = (admission.classes, admission.channels, admission.image_size)
    if common != hospitals:
        raise RosterError(
            "The common test set is not like the hospitals' images",
            where="data.source",
            seen=f"{describe_images(common)}; the hospitals have {describe_images(hospitals)}",
            cure="Name the classes alike by `data.classes`, give a `data.source` that is like the "
            "hospitals' images, or go without a common test set by `data.common_test: no`",
        )
