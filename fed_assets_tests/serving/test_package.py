"""A package is what was signed for its version, or it is refused with what is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fed_assets.errors import PackageRefused, StorageError
from fed_assets.serving.keys import public_key, signing_key
from fed_assets.serving.manifest import MANIFEST, SIGNATURE
from fed_assets.serving.package import (
    Package,
    open_package,
    remove_half_packaged,
    sign_package,
)
from fed_assets_tests.serving.packages import SANDBOX, Exported, Models, facts_of

NOTHING = Exported(b"no onnx is loaded here", b"nor weights", None)


def opened(models: Models, version: int = 1) -> Package:
    return open_package(
        models.folder(version), public_key(models.public), sandbox=SANDBOX, version=version
    )


def test_a_genuine_package_opens_with_its_facts_and_files(models: Models) -> None:
    signed = models.package(1, NOTHING)
    package = opened(models)
    assert package == signed
    assert package.facts == facts_of(NOTHING.weights)
    assert package.facts.name == "fed_assets_minimal"
    assert set(package.files) == {"model.onnx", "weights.safetensors", "bundle/inference.json"}
    assert package.read("model.onnx") == NOTHING.onnx


def change(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(b"something else")


def edit_manifest(folder: Path) -> None:
    manifest = json.loads((folder / MANIFEST).read_bytes())
    manifest["model"]["threshold"] = 0.1
    (folder / MANIFEST).write_text(json.dumps(manifest))


def plant_link(folder: Path) -> None:
    (folder / "model.onnx").rename(folder.parent / "elsewhere")
    (folder / "model.onnx").symlink_to(folder.parent / "elsewhere")


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "changed onnx": (change("model.onnx"), r"was changed.*Seen: model\.onnx"),
    "changed weights": (change("weights.safetensors"), r"was changed.*weights\.safetensors"),
    "changed bundle": (change("bundle/inference.json"), r"was changed.*bundle/inference\.json"),
    "extra file": (change("extra.txt"), r"not signed.*extra\.txt"),
    "extra pickle": (change("bundle/model.pt"), r"not signed.*bundle/model\.pt"),
    "missing file": (
        lambda folder: (folder / "bundle/inference.json").unlink(),
        r"is missing.*bundle/inference\.json",
    ),
    "no signature": (lambda folder: (folder / SIGNATURE).unlink(), "package is not signed"),
    "no manifest": (lambda folder: (folder / MANIFEST).unlink(), "package is not signed"),
    "damaged signature": (change(SIGNATURE), "signature is damaged"),
    "edited manifest": (edit_manifest, "manifest is not what was signed"),
    "a link": (plant_link, r"no plain file.*model\.onnx"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_package_that_is_not_what_was_signed_is_refused(models: Models, case: str) -> None:
    models.package(1, NOTHING)
    tamper, said = BROKEN[case]
    tamper(models.folder(1))
    with pytest.raises(PackageRefused, match=said) as refused:
        opened(models)
    assert "materialize deployed_model" in str(refused.value)


def test_a_package_that_is_not_there_is_refused(models: Models) -> None:
    signing_key(models.key_file)
    with pytest.raises(PackageRefused, match="There is no such package"):
        opened(models)


def test_another_keys_signature_does_not_count(models: Models) -> None:
    models.package(1, NOTHING)
    models.package(2, NOTHING, key=Ed25519PrivateKey.generate())
    with pytest.raises(PackageRefused, match=r"signed by another key.*put them back from a backup"):
        opened(models, 2)


def test_a_stolen_name_of_the_key_does_not_help(models: Models) -> None:
    genuine = models.package(1, NOTHING)
    models.package(2, NOTHING, key=Ed25519PrivateKey.generate())
    claimed = json.loads((genuine.folder / SIGNATURE).read_bytes())["key"]
    forged = json.loads((models.folder(2) / SIGNATURE).read_bytes()) | {"key": claimed}
    (models.folder(2) / SIGNATURE).write_text(json.dumps(forged))
    with pytest.raises(PackageRefused, match="manifest is not what was signed"):
        opened(models, 2)


@pytest.mark.parametrize("changes", [{"version": 1}, {"sandbox": "eyes_off"}])
def test_a_genuine_package_of_another_version_is_refused(
    models: Models, changes: dict[str, object]
) -> None:
    signing_key(models.key_file)
    models.package(2, NOTHING, **changes)
    with pytest.raises(PackageRefused, match=r"of another version.*instead of minimal version 2"):
        opened(models, 2)


def test_a_manifest_of_an_unknown_format_is_refused(
    models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fed_assets.serving.manifest.FORMAT", 1)
    models.package(1, NOTHING)
    monkeypatch.undo()
    with pytest.raises(PackageRefused, match="format that this version does not know"):
        opened(models)


def test_what_is_read_is_what_was_signed_even_if_it_changes_after_it_was_opened(
    models: Models,
) -> None:
    models.package(1, NOTHING)
    package = opened(models)
    (models.folder(1) / "model.onnx").write_bytes(b"swapped")
    with pytest.raises(PackageRefused, match="was changed"):
        package.read("model.onnx")
    (models.folder(1) / "model.onnx").unlink()
    with pytest.raises(PackageRefused, match="is gone"):
        package.read("model.onnx")


def test_weights_of_another_version_are_not_signed(models: Models) -> None:
    folder = models.package(1, NOTHING).folder
    (folder / MANIFEST).unlink()
    facts = replace(facts_of(NOTHING.weights), weights_digest="0" * 64)
    with pytest.raises(PackageRefused, match="weights of another version"):
        sign_package(folder, facts, signing_key(models.key_file))
    assert not (folder / MANIFEST).exists()


def test_a_folder_without_an_onnx_file_is_not_signed(models: Models) -> None:
    folder = models.package(1, NOTHING).folder
    (folder / "model.onnx").unlink()
    with pytest.raises(PackageRefused, match=r"is missing.*model\.onnx"):
        sign_package(folder, facts_of(NOTHING.weights), signing_key(models.key_file))


def test_a_manifest_that_cannot_be_written_is_said(models: Models) -> None:
    folder = models.package(1, NOTHING).folder
    (folder / MANIFEST).unlink()
    (folder / MANIFEST).mkdir()
    with pytest.raises(StorageError, match="manifest cannot be written"):
        sign_package(folder, facts_of(NOTHING.weights), signing_key(models.key_file))


def test_what_a_killed_process_left_is_removed_and_no_more(models: Models) -> None:
    models.package(1, NOTHING)
    half = models.folder(1).with_name(".partial-package-77")
    half.mkdir()
    (half / "model.onnx").write_bytes(b"ha")
    remove_half_packaged(models.folder(1))
    assert [each.name for each in models.folder(1).parent.iterdir()] == ["package"]
    opened(models)
