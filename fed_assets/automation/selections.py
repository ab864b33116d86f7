"""Which assets of the job `take_up_new_images` a run is asked for."""

from __future__ import annotations

from collections.abc import Iterable

from dagster import AssetKey, DagsterInstance, RepositoryDefinition

from fed_assets.assets.reused_lanes import LANE
from fed_assets.automation.runs import lanes_without_images
from fed_assets.resources.jobs import NEW_IMAGES, RETRAIN


def training_alone(repository: RepositoryDefinition | None) -> list[AssetKey]:
    """Returns what a training on the images as they stand makes: the assets of the job `retrain`.

    Raises:
        ValueError: The tick does not know its repository.
    """
    return sorted(_assets_of(repository, RETRAIN))


def with_lanes(
    repository: RepositoryDefinition | None,
    instance: DagsterInstance,
    sandbox: str,
    hospitals: Iterable[str],
) -> list[AssetKey]:
    """Returns the lanes of these hospitals, who takes part, and the training.

    A lane that was never run in the sandbox is run too: without its images nothing could follow.

    Raises:
        ValueError: The tick does not know its repository.
    """
    keys = _assets_of(repository, NEW_IMAGES)
    lanes = [tuple(key.path) for key in keys if len(key.path) == 2 and key.path[1] in LANE]
    run = {*hospitals, *lanes_without_images(instance, sandbox, lanes)}
    return sorted(keys - {AssetKey(list(lane)) for lane in lanes if lane[0] not in run})


def _assets_of(repository: RepositoryDefinition | None, job: str) -> set[AssetKey]:
    if repository is None:
        raise ValueError("a tick needs to know its repository")
    return {*repository.get_job(job).asset_layer.executable_asset_keys}
