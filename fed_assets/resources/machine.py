"""What this machine lacks, and how to mend it: one finding per thing that a run needs."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import psutil

from fed_assets.errors import FedAssetsError
from fed_assets.federation.agreed_rule import agreed_rule
from fed_assets.federation.data_sources import MedMnistSource
from fed_assets.federation.landlock import LEAST_ABI, SIGNALS_ABI, landlock_abi
from fed_assets.federation.roster import Roster, read_roster
from fed_assets.resources.capabilities import TO_BE_OTHERS, lacking
from fed_assets.resources.settings import Settings
from fed_assets.resources.source_location import locate_source
from fed_assets.sandboxes.enforcement import unenforced_controls
from fed_assets.sandboxes.presets import SANDBOX_NAMES, find_sandbox
from fed_assets.sandboxes.sandbox import Sandbox

GIB = 1 << 30
NEEDED_DISK_BYTES = 2 * GIB
NEEDED_MEMORY_BYTES = 6 * GIB
AUTHORITY = "authority of hospitals' hosts"
PACKAGES = ("dagster", "nvflare", "torch", "monai", "great-expectations", "mlflow")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: `ok`, a `warning` to live with, or `missing`."""

    what: str
    state: Literal["ok", "warning", "missing"]
    seen: str
    cure: str = ""


def examine(settings: Settings) -> list[Finding]:
    """Returns a finding per thing that a run needs, in the order in which to mend them."""
    findings = [_python(), *(_package(name) for name in PACKAGES), _home(settings)]
    if findings[-1].state == "ok":
        findings.append(_guarded("Dagster's records", partial(_records, settings)))
    findings += [_disk(settings), _memory(), _cores(), _walls(), _chromium()]
    roster: Roster | None = None
    try:
        roster = read_roster(settings.roster)
        seen = f"{len(roster.hospitals)} hospitals, {settings.roster}"
        findings.append(Finding("roster", "ok", seen))
    except FedAssetsError as error:
        findings.append(_from_error("roster", error))
    if roster is not None:
        findings.append(_guarded("public data", partial(_data, roster, settings)))
        if roster.remote_ids:
            findings.append(_guarded(AUTHORITY, partial(_authority, settings)))
    for name in SANDBOX_NAMES:
        findings.append(_guarded(f"sandbox {name}", partial(_sandbox, name, roster, settings)))
    return findings


def _guarded(what: str, look: Callable[[], Finding]) -> Finding:
    try:
        return look()
    except FedAssetsError as error:
        return _from_error(what, error)


def _from_error(what: str, error: FedAssetsError) -> Finding:
    return Finding(what, "missing", f"{error.what}. {error.where} {error.seen}".strip(), error.cure)


def _python() -> Finding:
    seen = ".".join(str(part) for part in sys.version_info[:3])
    if (3, 11) <= sys.version_info[:2] <= (3, 12):
        return Finding("Python", "ok", seen)
    return Finding("Python", "missing", seen, "Install Python 3.11 or 3.12 and run `make install`.")


def _package(name: str) -> Finding:
    try:
        return Finding(name, "ok", version(name))
    except PackageNotFoundError:
        return Finding(name, "missing", "not installed", "Run `make install`.")


def _home(settings: Settings) -> Finding:
    try:
        settings.home.prepare()
    except FedAssetsError as error:
        return _from_error("home", error)
    return Finding("home", "ok", str(settings.home.root))


def _records(settings: Settings) -> Finding:
    from fed_assets.resources.instance import open_instance

    with open_instance(settings.home) as instance:
        count = instance.get_runs_count()
    named = settings.home.instance_settings
    return Finding("Dagster's records", "ok", f"{count} runs, as {named} says")


def _disk(settings: Settings) -> Finding:
    existing = next(p for p in (settings.home.root, *settings.home.root.parents) if p.exists())
    free = shutil.disk_usage(existing).free
    seen = f"{free / GIB:.1f} GiB free"
    if free >= NEEDED_DISK_BYTES:
        return Finding("disk", "ok", seen)
    return Finding("disk", "missing", seen, "Free 2 GiB, or set FED_ASSETS_HOME to another disk.")


def _memory() -> Finding:
    available = psutil.virtual_memory().available
    seen = f"{available / GIB:.1f} GiB available"
    if available >= NEEDED_MEMORY_BYTES:
        return Finding("memory", "ok", seen)
    return Finding(
        "memory", "warning", seen, "Ten hospitals take up to 6 GiB; shorten the roster if it fails."
    )


def _cores() -> Finding:
    cores = os.cpu_count() or 1
    if cores >= 2:
        return Finding("cores", "ok", str(cores))
    return Finding("cores", "warning", str(cores), "Runs take about twice as long.")


def _walls() -> Finding:
    abi = landlock_abi()
    if os.geteuid() == 0 and (missing := lacking(TO_BE_OTHERS)):
        return Finding(
            "walls of confined hospitals",
            "warning",
            f"root lacks the capabilities {', '.join(missing)} here",
            "`process: confined` is refused: let the container's root have what Docker's has.",
        )
    if os.geteuid() == 0:
        return Finding("walls of confined hospitals", "ok", "a Unix user each")
    if abi >= SIGNALS_ABI:
        return Finding("walls of confined hospitals", "ok", f"Landlock, ABI {abi}")
    return Finding(
        "walls of confined hospitals",
        "warning",
        f"Landlock, ABI {abi}",
        f"Below {SIGNALS_ABI} signals are not held, and below {LEAST_ABI} `process: confined` is "
        "refused: run as root, or on Linux 6.12 with `landlock` in its `lsm=`.",
    )


def _chromium() -> Finding:
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path:
        return Finding("Chromium", "ok", path)
    return Finding(
        "Chromium",
        "warning",
        "not installed",
        "Only the tests of pages need it: `apt-get install chromium chromium-driver`.",
    )


def _data(roster: Roster, settings: Settings) -> Finding:
    source = roster.data.source
    located, _ = locate_source(source, data=settings.data, cache=settings.home.cache)
    if isinstance(source, MedMnistSource) and located["kind"] == "phantom":
        return Finding(
            "public data",
            "warning",
            "not here: runs use SYNTHETIC DATA",
            f"Run `fed-assets data fetch {source.dataset}`, or set FED_ASSETS_DATA to its folder.",
        )
    path = located.get("path")
    if path is None or Path(path).exists():
        return Finding("public data", "ok", str(path or source.kind))
    return Finding("public data", "missing", str(path), "Correct the roster's `data.source`.")


def _authority(settings: Settings) -> Finding:
    from fed_assets.hosts.authority import CERTIFICATE_FILE, open_authority
    from fed_assets.hosts.succession import outlook

    if not (settings.home.hosts / CERTIFICATE_FILE).exists():
        return Finding(AUTHORITY, "ok", "none yet: the first kit makes it")
    seen, cure = outlook(open_authority(settings.home.hosts))
    return Finding(AUTHORITY, "warning" if cure else "ok", seen, cure)


def _sandbox(name: str, roster: Roster | None, settings: Settings) -> Finding:
    sandbox = find_sandbox(name, configurable=settings.configurable)
    unenforced = unenforced_controls(sandbox)
    if not unenforced:
        return _agreement(sandbox, roster)
    declared = ", ".join(f"{control}={value}" for control, value in unenforced.items())
    return Finding(
        f"sandbox {name}",
        "warning",
        f"refused: it declares {declared}",
        "This version does not enforce these; choose another sandbox.",
    )


def _agreement(sandbox: Sandbox, roster: Roster | None) -> Finding:
    """Returns whether an enforced sandbox and the roster, if it could be read, go together."""
    try:
        if roster is not None:
            agreed_rule(roster, sandbox)
    except FedAssetsError as error:
        return Finding(f"sandbox {sandbox.name}", "warning", error.what, error.cure)
    return Finding(f"sandbox {sandbox.name}", "ok", "every control is enforced")
