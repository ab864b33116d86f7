"""The jobs: the lifecycle, whole and from what is new, training anew, attempts, comparisons."""

from __future__ import annotations

from dagster import AssetSelection, define_asset_job

from fed_assets.resources.jobs import (
    AUDIT,
    COMPARISON,
    DEPLOYMENT,
    LIFECYCLE,
    NEW_IMAGES,
    REFERENCES,
    RETRAIN,
)

POSTURE = AssetSelection.assets("security_posture")
MODELS_ALONE = AssetSelection.assets("reference_models")
ALL_SANDBOXES = AssetSelection.assets("membership_inference", "sandbox_comparison")

federated_lifecycle = define_asset_job(
    LIFECYCLE,
    selection=AssetSelection.all() - POSTURE - MODELS_ALONE - ALL_SANDBOXES,
    description="From every hospital's images to the report, in one sandbox (the partition).",
)

retrain = define_asset_job(
    RETRAIN,
    selection=AssetSelection.assets("global_model").required_multi_asset_neighbors().downstream()
    - ALL_SANDBOXES,
    description="Trains and reports anew on the images that were validated last; "
    "where the last training failed, from its last round on.",
)

take_up_new_images = define_asset_job(
    NEW_IMAGES,
    selection=AssetSelection.all()
    - POSTURE
    - MODELS_ALONE
    - ALL_SANDBOXES
    - AssetSelection.assets("sandbox_controls"),
    description="From the images of the hospitals that have new ones to the report; the images of "
    "the others are taken as they stand. The sensors `<hospital>_new_images` ask for it, and the "
    "schedules `retrain_<sandbox>`.",
)

deployment = define_asset_job(
    DEPLOYMENT,
    selection=AssetSelection.assets("registered_model", "deployed_model"),
    description="Judges the last model anew, such as after an audit, packages it, and has it serve "
    "where every gate is open.",
)

security_audit = define_asset_job(
    AUDIT,
    selection=AssetSelection.assets("sandbox_controls") | POSTURE,
    description="Makes every attempt on one sandbox (the partition), and judges what it promises.",
)

references = define_asset_job(
    REFERENCES,
    selection=MODELS_ALONE,
    description="Trains what the federation is compared with: on pooled open data, and alone.",
)

comparison = define_asset_job(
    COMPARISON,
    selection=ALL_SANDBOXES,
    description="Attacks the models of the sandboxes' last runs, where that was not done yet, and "
    "compares the sandboxes by all that runs, audits and attacks measured.",
)

JOBS = (
    federated_lifecycle,
    retrain,
    deployment,
    take_up_new_images,
    security_audit,
    references,
    comparison,
)
