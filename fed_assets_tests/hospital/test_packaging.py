"""A model's package: each export says what torch says on real images, or there is no package."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from fed_assets.errors import DisclosureRefused, ExportDiffers, RunConfigError, StorageError
from fed_assets.hospital import exports, packaging
from fed_assets.hospital.files import Store
from fed_assets.hospital.images import prepare_images
from fed_assets.hospital.network import build_network
from fed_assets.hospital.open_images import open_test_images
from fed_assets.hospital.packaging import package_model
from fed_assets.hospital.store import current_digest, set_validated
from fed_assets.hospital.suppression import disclosed
from fed_assets.hospital.weights import weights_of, write_weights
from fed_assets.resources.settings import SHIPPED_ROSTER
from fed_assets_tests.networks import SMALL_RESNET

SHIPPED: dict[str, Any] = yaml.safe_load(SHIPPED_ROSTER.read_text())["network"]
FILES = {
    *("weights.safetensors", "model.onnx", "bundle/models/model.safetensors"),
    *("bundle/configs/metadata.json", "bundle/configs/inference.json"),
}


@pytest.fixture(scope="module")
def coordinator(real_data: Path) -> Iterator[Store]:
    """Yields the coordinator's store with the real common test set."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "store", "coordinator")
        source = {"kind": "medmnist", "path": str(real_data / "pneumoniamnist.npz")}
        prepare_images({"source": source, "image_size": 28, "only_split": "test"}, store)
        set_validated(store, current_digest(store))
        yield store


def weights(folder: Path, network: dict[str, Any]) -> Path:
    import torch

    made = build_network(network, channels=1, classes=2, seed=3)
    with torch.no_grad():
        for weight in made.parameters():  # so that a normalisation left out would show
            weight.add_(torch.randn_like(weight) * 0.1)
    write_weights(weights_of(made), folder / "global.safetensors")
    return folder / "global.safetensors"


def arguments(folder: Path, network: dict[str, Any]) -> dict[str, Any]:
    return {
        "weights": str(weights(folder, network)),
        "network": network,
        "channels": 1,
        "classes": ["normal", "pneumonia"],
        "image_size": 28,
        "about": "A model of a test.",
        "folder": str(folder / "v1" / "package"),
    }


def files_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("network", [SHIPPED, SMALL_RESNET], ids=["shipped", "group-norm"])
def test_both_exports_say_what_torch_says_on_real_images(
    tmp_path: Path, coordinator: Store, network: dict[str, Any]
) -> None:
    asked = arguments(tmp_path, network)

    answer = package_model(asked, coordinator)

    assert (answer["images"], answer["checked_on"]) == (64, "common test")
    assert set(answer["differences"]) == {"onnx", "bundle"}
    assert all(0 <= difference <= 1e-5 for difference in answer["differences"].values())
    package = Path(asked["folder"])
    assert files_below(package) == FILES == set(answer["sizes"])
    assert (package / "weights.safetensors").read_bytes() == Path(asked["weights"]).read_bytes()
    assert answer == json.loads(json.dumps(answer))


def test_nothing_in_a_package_is_a_pickle_or_an_archive_of_one(
    tmp_path: Path, coordinator: Store
) -> None:
    asked = arguments(tmp_path, SHIPPED)
    package_model(asked, coordinator)
    for path in Path(asked["folder"]).rglob("*"):
        if path.is_file():
            assert path.suffix in {".safetensors", ".onnx", ".json"}
            assert not path.read_bytes().startswith((b"\x80", b"PK"))


def test_onnx_takes_any_number_of_images(tmp_path: Path, coordinator: Store) -> None:
    import onnxruntime

    asked = arguments(tmp_path, SHIPPED)
    package_model(asked, coordinator)
    session = onnxruntime.InferenceSession(f"{asked['folder']}/model.onnx")
    for images in (1, 5):
        (answer,) = session.run(None, {"pixels": np.zeros((images, 1, 28, 28), np.float32)})
        assert answer.shape == (images, 2)
        np.testing.assert_allclose(answer.sum(axis=1), 1, atol=1e-6)


@pytest.mark.slow
def test_monais_own_check_takes_the_bundle(tmp_path: Path, coordinator: Store) -> None:
    from monai.bundle import verify_net_in_out

    asked = arguments(tmp_path, SHIPPED)
    package_model(asked, coordinator)
    configs = Path(asked["folder"]) / "bundle" / "configs"
    verify_net_in_out(
        net_id="network_def",
        meta_file=str(configs / "metadata.json"),
        config_file=str(configs / "inference.json"),
        device="cpu",
    )
    with pytest.raises(ValueError, match="channel"):
        verify_net_in_out(
            net_id="network_def",
            meta_file=str(configs / "metadata.json"),
            config_file=str(configs / "inference.json"),
            device="cpu",
            classes=3,
        )


def test_an_export_that_says_something_else_is_refused_and_leaves_nothing(
    tmp_path: Path, coordinator: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = arguments(tmp_path, SHIPPED)
    other = build_network(SHIPPED, channels=1, classes=2, seed=9).eval()
    monkeypatch.setattr(packaging, "as_onnx", lambda _, **shape: exports.as_onnx(other, **shape))

    with pytest.raises(ExportDiffers, match="onnx export says something else than torch"):
        package_model(asked, coordinator)

    assert files_below(tmp_path) == {"global.safetensors"}
    assert list((tmp_path / "v1").iterdir()) == []


def test_a_bundle_that_normalises_otherwise_is_refused(
    tmp_path: Path, coordinator: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        packaging,
        "bundle_configs",
        lambda *given, **more: {
            name: text.replace(b"/ 0.25", b"/ 0.26")
            for name, text in exports.bundle_configs(*given, **more).items()
        },
    )
    with pytest.raises(ExportDiffers, match="bundle export"):
        package_model(arguments(tmp_path, SHIPPED), coordinator)
    assert list((tmp_path / "v1").iterdir()) == []


def test_without_open_images_noise_is_compared_and_it_is_said(tmp_path: Path) -> None:
    empty = Store(tmp_path / "store", "coordinator")
    answer = package_model(arguments(tmp_path, SHIPPED), empty)
    assert (answer["images"], answer["checked_on"]) == (64, "noise")


def test_weights_of_another_network_are_refused(tmp_path: Path, coordinator: Store) -> None:
    asked = arguments(tmp_path, SHIPPED) | {"network": SMALL_RESNET}
    with pytest.raises(RunConfigError, match="do not fit"):
        package_model(asked, coordinator)
    assert not (tmp_path / "v1").exists()


def test_a_package_that_is_there_stays(tmp_path: Path, coordinator: Store) -> None:
    asked = arguments(tmp_path, SHIPPED)
    package_model(asked, coordinator)
    with pytest.raises(RunConfigError, match="there already"):
        package_model(asked, coordinator)
    assert files_below(Path(asked["folder"])) == FILES


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """Yields a file system of 2 MB; skips where this user may not mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_leaves_nothing_half_written(
    tmp_path: Path, coordinator: Store, tiny_disk: Path
) -> None:
    # The weights fit on it, and the ONNX file beside them no more.
    asked = arguments(tmp_path, SHIPPED) | {"folder": str(tiny_disk / "v1" / "package")}
    with pytest.raises(StorageError, match=r"^The disk is full\..*To mend it: Free disk space"):
        package_model(asked, coordinator)
    assert files_below(tiny_disk) == set()
    assert list((tiny_disk / "v1").iterdir()) == []


def test_a_process_that_may_write_no_large_file_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    asked = arguments(tmp_path, SHIPPED)
    script = textwrap.dedent("""
        import json, resource, sys
        from pathlib import Path
        from fed_assets.errors import StorageError
        from fed_assets.hospital.files import Store
        from fed_assets.hospital.packaging import package_model
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
        try:
            package_model(json.loads(sys.argv[1]), Store(Path(sys.argv[2]), "coordinator"))
        except StorageError as error:
            print(error)
    """)
    store = str(tmp_path / "store")
    ran = subprocess.run(
        [sys.executable, "-c", script, json.dumps(asked), store],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert ran.stdout.startswith("The model's package cannot be written."), ran.stderr
    assert "File too large" in ran.stdout
    assert list((tmp_path / "v1").iterdir()) == []


@pytest.mark.parametrize("hospital", ["", "north"])
def test_no_hospital_gives_its_images_or_packages_a_model(tmp_path: Path, hospital: str) -> None:
    store = Store(tmp_path / "store", hospital)
    for task in (package_model, open_test_images):
        with pytest.raises(DisclosureRefused, match="never a hospital's"):
            task(arguments(tmp_path, SHIPPED) | {"most": 3}, store)


def test_pictures_leave_no_hospital_that_suppresses_counts() -> None:
    answer = {"pictures": [], "labels": [], "probabilities": [], "of": 0}
    with pytest.raises(DisclosureRefused, match="no rule of suppression"):
        disclosed("open_test_images", answer, 10)


def test_open_test_images_are_the_sets_own_with_torchs_probabilities(
    tmp_path: Path, coordinator: Store
) -> None:
    import base64

    from fed_assets.hospital.dataset import open_dataset
    from fed_assets.pictures.picture import read_picture

    asked = arguments(tmp_path, SHIPPED) | {"most": 10}
    answer = open_test_images(asked, coordinator)
    dataset = open_dataset(coordinator)
    assert answer["of"] == 624
    assert (len(answer["pictures"]), len(answer["labels"])) == (10, 10)
    for place, row in ((0, 0), (9, 623)):
        shown = read_picture(base64.b64decode(answer["pictures"][place]))
        assert np.array_equal(shown.pixels, dataset.images[row][0])
        assert answer["labels"][place] == dataset.labels[row]
    np.testing.assert_allclose(np.sum(answer["probabilities"], axis=1), 1, atol=1e-9)
    assert open_test_images(asked | {"most": 5000}, coordinator)["of"] == 624


def test_without_a_common_test_set_there_are_no_pictures(tmp_path: Path) -> None:
    asked = arguments(tmp_path, SHIPPED) | {"most": 10}
    answer = open_test_images(asked, Store(tmp_path / "store", "coordinator"))
    assert answer == {"pictures": [], "labels": [], "probabilities": [], "of": 0}
