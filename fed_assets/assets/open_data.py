"""The open images that reference models learn from: every share of the roster's public set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fed_assets.assets.everywhere import at_once
from fed_assets.assets.expectation_checks import failed_expectations
from fed_assets.errors import DataError, FedAssetsError, RosterError
from fed_assets.federation.roster import Roster
from fed_assets.resources.hospital_runner import COORDINATOR, LocalHospitalRunner
from fed_assets.resources.image_task import common_test_arguments, image_arguments
from fed_assets.resources.settings import Settings
from fed_assets.sandboxes.presets import OPEN_DATA

# Why a hospital is left out that shares out no public set.
NOT_OPEN = "its images are its own, and not open"


@dataclass(frozen=True)
class OpenData:
    """The open images, ready to be learned from.

    Attributes:
        images: How many each hospital has, of those that can be used.
        left_out: Why others are not among them.
        classes: Names of the labels.
        channels: Of the images.
        synthetic: Whether they are made up.
        digests: Of each hospital's images.
        test_digest: Of the common test set.
    """

    images: Mapping[str, int]
    left_out: Mapping[str, str]
    classes: Sequence[str]
    channels: int
    synthetic: bool
    digests: Mapping[str, str]
    test_digest: str


def prepare_open_data(
    roster: Roster, settings: Settings, hospitals: LocalHospitalRunner
) -> OpenData:
    """Prepares and validates every share of the public set, and the common test set.

    Raises:
        RosterError: No hospital shares out a public set, or there is no common test set.
        DataError: No share can be used, or the common test set cannot.
    """
    if not roster.data.common_test:
        raise RosterError(
            "Reference models are compared on the common test set, and the roster wants none",
            where="data.common_test",
            cure="Remove `common_test: no`",
        )
    data, cache = settings.data, settings.home.cache
    common = common_test_arguments(roster, data=data, cache=cache)
    facts = _let_through(hospitals, COORDINATOR, common, roster)
    # The public set lies here, whichever machine its hospital has.
    owners = {each.id: each.model_copy(update={"remote": None}) for each in roster.hospitals}

    def prepare(name: str) -> dict[str, Any] | FedAssetsError:
        try:
            asked = image_arguments(roster, owners[name], data=data, cache=cache)
            return _let_through(hospitals, name, asked, roster, classes=facts["classes"])
        except FedAssetsError as error:
            return error

    answers = at_once(roster.sharing(), prepare)
    usable = {name: each for name, each in answers.items() if isinstance(each, dict)}
    left_out = {name: NOT_OPEN for name in owners.keys() - answers.keys()} | {
        name: str(each) for name, each in answers.items() if isinstance(each, FedAssetsError)
    }
    if not usable:
        raise DataError(
            "No hospital has open images to learn from",
            where="reference_models",
            seen="; ".join(sorted(set(left_out.values())))[:300],
            cure="Have hospitals share out the roster's `data.source`",
        )
    return OpenData(
        images={name: answer["images"] for name, answer in usable.items()},
        left_out=left_out,
        classes=facts["classes"],
        channels=facts["channels"],
        synthetic=facts["synthetic"] or any(each["synthetic"] for each in usable.values()),
        digests={name: answer["digest"] for name, answer in usable.items()},
        test_digest=facts["digest"],
    )


def _let_through(
    hospitals: LocalHospitalRunner,
    name: str,
    asked: Mapping[str, Any],
    roster: Roster,
    *,
    classes: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Returns what is known of a place's open images, once validation has let them through."""
    prepared = hospitals.ask(OPEN_DATA, name, "prepare_images", asked)
    expected = {
        "expectations": dict(roster.data.expectations),
        "required_classes": classes or prepared["classes"],
    }
    report = hospitals.ask(OPEN_DATA, name, "validate_images", expected)
    if not report["passed"]:
        raise DataError(
            "Validation does not let the open images through",
            where=name,
            seen="; ".join(failed_expectations(report)),
        )
    return prepared
