"""One lane per hospital: its images, and whether they may be learned from."""

# No `from __future__ import annotations` here: Dagster reads the annotations of asset functions.

from typing import Any

from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetExecutionContext,
    AssetIn,
    AssetKey,
    AssetsDefinition,
    DataVersion,
    MaterializeResult,
    MetadataValue,
    TableRecord,
)

from fed_assets.assets.expectation_checks import (
    expectation_results,
    expectation_specs,
    failed_expectations,
    results_without_images,
)
from fed_assets.assets.failures import clear_failures, kind_of
from fed_assets.assets.notice import synthetic_notice
from fed_assets.assets.outbox_heads import outbox_head
from fed_assets.assets.partitions import Materialized, chosen_sandbox, lifecycle_asset
from fed_assets.assets.resemblance import check_resemblance, not_compared, resemblance_spec
from fed_assets.errors import DataError, FedAssetsError, HospitalError, HospitalWithdrawn
from fed_assets.federation.roster import Hospital, Roster
from fed_assets.resources.hospital_runner import LocalHospitalRunner
from fed_assets.resources.image_task import image_arguments
from fed_assets.resources.jobs import NEW_IMAGES
from fed_assets.resources.sandboxes import Sandboxes
from fed_assets.resources.settings import Settings

CONTACT_SHEET_IMAGES = 24


def build_hospital_lane(
    hospital: Hospital, roster: Roster, settings: Settings
) -> list[AssetsDefinition]:
    """Returns the assets `<hospital>/images` and `<hospital>/validated_images`."""
    images_key = AssetKey([hospital.id, "images"])
    validated_key = AssetKey([hospital.id, "validated_images"])
    lane: dict[str, Any] = {
        "group_name": hospital.id,
        "owners": [hospital.owner] if hospital.owner else None,
        "tags": {"hospital": hospital.id},
    }

    @lifecycle_asset(
        key=images_key,
        deps=["sandbox_controls"],
        kinds={"parquet", "dicom" if _is_dicom(hospital, roster) else "image"},
        check_specs=[
            AssetCheckSpec(
                "images_read",
                asset=images_key,
                description="The images were found and read. Otherwise the hospital is left out.",
            )
        ],
        **lane,
    )
    def images(
        context: AssetExecutionContext, sandboxes: Sandboxes, hospitals: LocalHospitalRunner
    ) -> Materialized:
        """This hospital's images, read and resized once into the hospital's own store.

        The images and the list of them never leave the hospital. What you see here does: how many
        there are of each class in each split, and a digest, a fingerprint that changes with any
        image. `contact_sheet` shows a few of them ([Show Markdown]) where the sandbox allows
        previews. `copies` are files that were left out because another has the same content, and
        `unsettled` those that are still being written. `outbox_head` is the end of the hospital's
        own log of what left it, with which `fed-assets outbox` later compares it. Where its privacy
        budget is used up, none is read; where the hospital withdrew, nobody looks at any.
        """
        with clear_failures():
            sandbox = chosen_sandbox(context, sandboxes)
            try:
                arguments = image_arguments(
                    roster, hospital, data=settings.data, cache=settings.home.cache
                )
                arguments["update_protection"] = sandbox.protection.as_record()
                if context.run.job_name == NEW_IMAGES:
                    # Who starts a run by hand means the files as they are.
                    arguments["settle_seconds"] = roster.automation.settle_seconds
                prepared = hospitals.ask(sandbox, hospital.id, "prepare_images", arguments)
                if sandbox.previews:
                    sheet = hospitals.ask(
                        sandbox, hospital.id, "contact_sheet", {"images": CONTACT_SHEET_IMAGES}
                    )
                    prepared["outbox"] = sheet["outbox"]
                    return _read(hospital, prepared, sheet["png_base64"])
            except HospitalWithdrawn as error:
                context.log.warning(f"{error.what}: {error.seen}")
                return _unread(error.seen, error, severity=AssetCheckSeverity.WARN)
            except (DataError, HospitalError) as error:
                context.log.error(f"{hospital.id}: {error}")
                return _unread(str(error), error)
            return _read(hospital, prepared, None)

    @lifecycle_asset(
        key=validated_key,
        ins={"images": AssetIn(images_key)},
        kinds={"greatexpectations"},
        check_specs=[*expectation_specs(validated_key), resemblance_spec(validated_key)],
        **lane,
    )
    def validated_images(
        context: AssetExecutionContext,
        sandboxes: Sandboxes,
        hospitals: LocalHospitalRunner,
        images: dict[str, Any],
    ) -> Materialized:
        """Whether this hospital's images may be learned from: one check per expectation.

        The hospital looks, and says how many images fail; which ones stays with it. `admitted`
        says whether it may take part. One more check says whether the images resemble those that
        the champion learned from.
        """
        with clear_failures():
            sandbox = chosen_sandbox(context, sandboxes)
            if not images["usable"]:
                return _not_validated(images["reason"])
            try:
                report = hospitals.ask(
                    sandbox,
                    hospital.id,
                    "validate_images",
                    {
                        "expectations": dict(roster.data.expectations),
                        "required_classes": images["classes"],
                    },
                )
            except HospitalWithdrawn as error:
                context.log.warning(f"{error.what}: {error.seen}")
                return _not_validated(error.seen, error)
            except (DataError, HospitalError) as error:
                context.log.error(f"{hospital.id}: {error}")
                return _not_validated(str(error), error)
            resembles = check_resemblance(
                context, roster, hospital, sandbox, hospitals, settings.home
            )
        return _validated(context, hospital, images, report, resembles)

    return [images, validated_images]


def _is_dicom(hospital: Hospital, roster: Roster) -> bool:
    return (hospital.source or roster.data.source).kind == "dicom"


def _read(hospital: Hospital, prepared: dict[str, Any], sheet: str | None) -> Materialized:
    counts = [
        TableRecord({"split": split, **{str(name): n for name, n in by_class.items()}})
        for split, by_class in prepared["counts"].items()
    ]
    metadata = {
        **synthetic_notice(prepared["synthetic"]),
        "images": prepared["images"],
        "counts": MetadataValue.table(counts),
    }
    if sheet is not None:
        title = f"Contact sheet of {hospital.name}"
        metadata["contact_sheet"] = MetadataValue.md(f"![{title}](data:image/png;base64,{sheet})")
    if prepared["patients"] is not None:
        metadata["patients"] = prepared["patients"]
    for name in (
        "unreadable",
        "copies",
        "unsettled",
        "synthetic",
        "digest",
        "seconds",
        "peak_memory_bytes",
    ):
        metadata[name] = prepared[name]
    metadata |= outbox_head(prepared["outbox"])
    return MaterializeResult(
        value={"usable": True, "reason": None, **prepared},
        data_version=DataVersion(prepared["digest"]),
        metadata=metadata,
        check_results=[AssetCheckResult(check_name="images_read", passed=True)],
    )


def _unread(
    reason: str,
    error: FedAssetsError,
    *,
    severity: AssetCheckSeverity = AssetCheckSeverity.ERROR,
) -> Materialized:
    """Returns a lane that stands in red; whether the run can do without it is the quorum's say."""
    return MaterializeResult(
        value={"usable": False, "reason": reason},
        metadata={"error": reason, **kind_of(error), **outbox_head(error.outbox)},
        check_results=[
            AssetCheckResult(
                check_name="images_read",
                passed=False,
                severity=severity,
                metadata={"error": reason},
            )
        ],
    )


def _validated(
    context: AssetExecutionContext,
    hospital: Hospital,
    images: dict[str, Any],
    report: dict[str, Any],
    resembles: AssetCheckResult,
) -> Materialized:
    failed = failed_expectations(report)
    reason = None if report["passed"] else "its validation failed: " + "; ".join(failed)
    if reason:
        context.log.error(f"{hospital.id} is excluded: {reason}")
    return MaterializeResult(
        value={
            "admitted": report["passed"],
            "reason": reason,
            "digest": report["digest"],
            **{name: images[name] for name in ("classes", "channels", "image_size", "synthetic")},
        },
        data_version=DataVersion(report["digest"]),
        metadata={
            **synthetic_notice(images["synthetic"]),
            "admitted": report["passed"],
            **({"why_not": reason} if reason else {}),
            "seconds": report["seconds"],
            "peak_memory_bytes": report["peak_memory_bytes"],
            **outbox_head(report["outbox"]),
        },
        check_results=[*expectation_results(report, context.partition_key), resembles],
    )


def _not_validated(reason: str, error: FedAssetsError | None = None) -> Materialized:
    return MaterializeResult(
        value={"admitted": False, "reason": reason},
        metadata={
            "admitted": False,
            "why_not": reason,
            **(kind_of(error) | outbox_head(error.outbox) if error else {}),
        },
        check_results=[*results_without_images(), not_compared("there were no images")],
    )
