"""What the signed package of a version tells of its records, and whether they are that still."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fed_assets.errors import FedAssetsError
from fed_assets.resources.home import Home
from fed_assets.resources.model_folders import folder_of
from fed_assets.resources.settled_files import ReadOnce

if TYPE_CHECKING:
    from fed_assets.serving.manifest import ModelFacts
    from fed_assets.serving.package import Package

PACKAGE = "package"
Signed = tuple["ModelFacts | None", str]


def read_signed(home: Home, sandbox: str, version: int) -> Signed:
    """Returns what a version's package says, and else why it cannot be believed.

    Nothing of both where the version has no package: then it serves nowhere. Of the package's files
    none is read but the manifest and its signature.
    """
    folder = folder_of(home.models(sandbox), version) / PACKAGE
    if not folder.exists():
        return None, ""
    key = home.models_key.with_suffix(".pub")
    files = folder / "manifest.json", folder / "manifest.sig", key
    return _signed(files, folder, key, sandbox, version)


def open_signed(home: Home, sandbox: str, version: int) -> Package:
    """Returns a version's package, after checking each of its files.

    Raises:
        PackageRefused: it is not there, or not what was signed for that version.
    """
    from fed_assets.serving.keys import public_key
    from fed_assets.serving.package import open_package

    folder = folder_of(home.models(sandbox), version) / PACKAGE
    key = public_key(home.models_key.with_suffix(".pub"))
    return open_package(folder, key, sandbox=sandbox, version=version)


def _read(folder: Path, key: Path, sandbox: str, version: int) -> Signed:
    from fed_assets.serving.keys import public_key
    from fed_assets.serving.manifest import read_manifest

    try:
        manifest = read_manifest(folder, public_key(key), sandbox=sandbox, version=version)
        return manifest.facts, ""
    except FedAssetsError as error:
        return None, str(error)


_signed = ReadOnce(_read)
