"""What a hospital's machine looks at before it serves: the way to the door, disk, and images."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Mapping
from typing import Any

from fed_assets.errors import FedAssetsError
from fed_assets.hosts.identity import Identity
from fed_assets.hosts.steps import Step, try_steps
from fed_assets.resources.hospital_runner import LocalHospitalRunner
from fed_assets.resources.host_settings import HostSettings, own_arguments, own_paths
from fed_assets.resources.machine import GIB, NEEDED_DISK_BYTES
from fed_assets.resources.settings import Settings
from fed_assets.sandboxes.enforcement import require_enforced
from fed_assets.sandboxes.presets import find_sandbox

PEER = "fed-assets hospital join"


def preflight(chosen: Settings, identity: Identity, settings: HostSettings) -> list[Step]:
    """Tries all that a run will need, in its order; images are looked at in the first sandbox.

    They are read into the hospital's store and validated there as in a run, on the terms that the
    door tells: what a run would find, the hospital knows before.
    """
    found, said = preflight_way(chosen, identity)
    terms = dict(said.get("terms") or {})
    if not all(step.passed for step in found):
        return [*found, Step("images", "not tried")]
    if "images" not in terms:
        cure = "Ask who runs the federation to enter the hospital, with `remote`"
        return [*found, Step("images", "failed", "the roster there does not know it", cure)]
    return [*found, _images(chosen, identity, settings, terms)]


def preflight_way(chosen: Settings, identity: Identity) -> tuple[list[Step], Mapping[str, Any]]:
    """Tries the way to the door, and looks at the disk; returns that, and what the door said."""
    found, said = try_steps(identity)
    return [*found, _disk(chosen)], said


def _disk(chosen: Settings) -> Step:
    free = shutil.disk_usage(chosen.home.root).free
    seen = f"{free / GIB:.1f} GiB free"
    if free >= NEEDED_DISK_BYTES:
        return Step("disk", "ok", seen)
    return Step("disk", "failed", seen, "Free 2 GiB, or set FED_ASSETS_HOME to another disk")


def _images(
    chosen: Settings, identity: Identity, settings: HostSettings, terms: Mapping[str, Any]
) -> Step:
    name = settings.accepts[0]
    try:
        sandbox = require_enforced(find_sandbox(name, configurable=chosen.configurable))
        asked = own_arguments(settings, "prepare_images", terms["images"], chosen)
        runner = LocalHospitalRunner(
            home_folder=str(chosen.home.root),
            hospitals=[identity.hospital],
            network="",
            configurable=str(chosen.configurable),
            sources={identity.hospital: own_paths(settings, chosen)},
        )
        with contextlib.closing(runner):
            who = (PEER, sandbox, identity.hospital)
            prepared = runner.ask_for(*who, "prepare_images", asked)
            expected = {
                "expectations": terms["expectations"],
                "required_classes": prepared["classes"],
            }
            report = runner.ask_for(*who, "validate_images", expected)
    except FedAssetsError as error:
        seen = f"{error.what} ({error.seen})" if error.seen else error.what
        return Step("images", "failed", f"{name}: {seen}", error.cure)
    failed = [
        str(each["description"]).rstrip(".")
        for each in report["findings"]
        if not each["passed"] and each["severity"] == "error"
    ]
    seen = f"{name}: {prepared['images']} images, {'validated' if report['passed'] else 'refused'}"
    if report["passed"]:
        return Step("images", "ok", seen)
    return Step(
        "images",
        "failed",
        f"{seen}: {'; '.join(failed)}",
        "Correct the images, or agree on other `data.expectations` with whoever runs it",
    )
