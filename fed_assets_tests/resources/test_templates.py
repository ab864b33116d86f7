"""Which template a task's process is forked from, and which a job has load."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from fed_assets.federation.forked import Forked
from fed_assets.federation.origin import Origin
from fed_assets.federation.spawned import Spawned
from fed_assets.resources.jobs import AUDIT, COMPARISON, LIFECYCLE, REFERENCES, RETRAIN
from fed_assets.resources.templates import PLANT, Templates

LOADED_BYTES = 100 << 20  # an interpreter with what the template itself imports takes 50 MB


@pytest.fixture
def templates(tmp_path: Path) -> Iterator[Templates]:
    found = Templates(tmp_path, "monai.networks.nets.ResNet")
    yield found
    found.close()


def test_an_audit_has_no_more_load_than_stores_need(templates: Templates) -> None:
    templates.open(AUDIT)
    assert templates.for_task(PLANT) is templates.for_task("show_outbox")


def test_a_comparison_has_nothing_load_before_it_is_wanted(templates: Templates) -> None:
    templates.open(COMPARISON)
    assert not templates.opened
    templates.for_task("show_outbox")
    assert templates.opened


def test_any_other_run_plants_canaries_from_what_it_has_open(templates: Templates) -> None:
    prepared = templates.for_task("prepare_images")
    assert templates.for_task(PLANT) is prepared
    assert templates.for_task("show_outbox") is not prepared


@pytest.mark.parametrize(("job", "beside"), [(LIFECYCLE, False), (RETRAIN, True)])
def test_what_learns_loads_beside_the_images_only_where_those_do_not_come_first(
    templates: Templates, job: str, beside: bool
) -> None:
    templates.open(job)
    learning, data = templates.for_federation(), templates.for_task("prepare_images")
    assert loads_within(data, seconds=30)
    assert loads_within(learning, seconds=30 if beside else 3) is beside
    templates.load()
    assert loads_within(learning, seconds=30)


def loads_within(origin: Origin, *, seconds: float) -> bool:
    """Returns whether a template has more in memory soon than an interpreter that waits."""
    assert isinstance(origin, Forked) and origin._template is not None
    process, deadline = psutil.Process(origin._template.pid), time.monotonic() + seconds
    while process.memory_info().rss < LOADED_BYTES:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@pytest.mark.parametrize(
    ("job", "task", "training"),
    [(REFERENCES, "train_reference", True), (COMPARISON, "membership", False)],
)
def test_what_has_no_federation_loads_none(
    job: str, task: str, training: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []

    def opens(modules: Iterable[str], *_: Any, **__: Any) -> Spawned:
        loaded[:] = modules
        return Spawned()

    monkeypatch.setattr("fed_assets.resources.templates.open_origin", opens)
    templates = Templates(tmp_path, "monai.networks.nets.ResNet")
    templates.open(job)
    templates.for_task(task)
    assert {"torch", "monai.networks.nets", "pyarrow.dataset"} <= set(loaded)
    assert ("torch._dynamo" in loaded) == training
    assert not any("nvflare" in each or ".federation." in each for each in loaded)
    templates = Templates(tmp_path, "monai.networks.nets.ResNet")
    templates.open()
    templates.for_task(task)
    assert "nvflare.fuel.flare_api.flare_api" in loaded
    assert "torch._dynamo" in loaded
