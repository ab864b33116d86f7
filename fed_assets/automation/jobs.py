"""The jobs: the whole lifecycle, training anew on what is validated already, and the attempts."""

from __future__ import annotations

from dagster import AssetSelection, define_asset_job

from fed_assets.assets.resuming import RETRAIN
from fed_assets.resources.templates import AUDIT_JOB

POSTURE = AssetSelection.assets("security_posture")

federated_lifecycle = define_asset_job(
    "federated_lifecycle",
    selection=AssetSelection.all() - POSTURE,
    description="From every hospital's images to the report, in one sandbox (the partition).",
)

retrain = define_asset_job(
    RETRAIN,
    selection=AssetSelection.assets("global_model").required_multi_asset_neighbors().downstream(),
    description="Trains and reports anew on the images that were validated last; "
    "where the last training failed, from its last round on.",
)

security_audit = define_asset_job(
    AUDIT_JOB,
    selection=AssetSelection.assets("sandbox_controls") | POSTURE,
    description="Makes every attempt on one sandbox (the partition), and judges what it promises.",
)
