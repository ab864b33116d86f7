from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle.config_item import ComponentLocator

from fed_assets.errors import RunConfigError
from fed_assets.hospital.files import Store
from fed_assets.hospital.network import build_network, initial_weights, scores
from fed_assets.hospital.weights import load_weights, read_weights, weights_of
from fed_assets.privacy.digests import weights_digest
from fed_assets_tests.networks import SMALL_RESNET


def test_a_networks_class_is_not_looked_for_in_all_of_monai(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked_in: list[str] = []
    found = ComponentLocator._find_classes_or_functions

    def look(self: ComponentLocator, modules: Sequence[str]) -> dict[str, list[str]]:
        looked_in.extend(modules)
        return found(self, modules)

    monkeypatch.setattr(ComponentLocator, "_find_classes_or_functions", look)
    build_network(SMALL_RESNET, channels=1, classes=2)
    assert not looked_in
    ComponentLocator().get_component_module_name("ResNet")  # as a parser's own does
    assert "monai.networks.nets.resnet" in looked_in


@pytest.mark.parametrize(("channels", "classes"), [(1, 2), (3, 9)])
def test_channels_and_classes_are_filled_in(channels: int, classes: int) -> None:
    network = build_network(SMALL_RESNET, channels=channels, classes=classes, seed=0)
    output = scores(network, torch.zeros(2, channels, 28, 28), classes=classes)
    assert output.shape == (2, classes)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others() -> None:
    digests = [
        weights_digest(weights_of(build_network(SMALL_RESNET, channels=1, classes=2, seed=seed)))
        for seed in (0, 0, 1)
    ]
    assert digests[0] == digests[1] != digests[2]


def test_no_activation_works_in_place() -> None:
    network = build_network(SMALL_RESNET, channels=1, classes=2)
    assert any(hasattr(module, "inplace") for module in network.modules())
    assert not any(getattr(module, "inplace", False) for module in network.modules())


def test_a_networks_norm_holds_in_every_block() -> None:
    network = build_network(SMALL_RESNET, channels=1, classes=2)
    norms = [type(m) for m in network.modules() if "Norm" in type(m).__name__]
    assert len(norms) == 12
    assert set(norms) == {torch.nn.GroupNorm}
    assert not list(network.buffers())


def test_batch_normalisation_stays_where_the_config_asks_for_it() -> None:
    network = build_network({**SMALL_RESNET, "norm": "batch"}, channels=1, classes=2)
    assert any(isinstance(m, torch.nn.BatchNorm2d) for m in network.modules())
    weights = weights_of(network)
    assert weights["layer1.0.bn1.num_batches_tracked"].shape == ()
    load_weights(network, weights)


def test_another_monai_network_drops_in() -> None:
    config = {
        "_target_": "monai.networks.nets.DenseNet",
        "spatial_dims": 2,
        "in_channels": "@channels",
        "out_channels": "@classes",
        "init_features": 8,
        "growth_rate": 4,
        "block_config": [2, 2],
    }
    network = build_network(config, channels=3, classes=4, seed=0)
    assert scores(network, torch.zeros(2, 3, 28, 28), classes=4).shape == (2, 4)


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "subprocess.Popen",
        "torch.nn.functional.torch.hub.load",
        "torch.nn.modules.module.warnings.warn",
        "monai.networks.nets.resnet.torch.load",
        "monai.networks.nets.resnet18",
        "torch.nn.Parameter",
        "torch.nn.NoSuchLayer",
        "",
        None,
        7,
    ],
)
def test_a_target_that_is_no_network_class_is_refused(target: Any) -> None:
    with pytest.raises(RunConfigError, match="_target_"):
        build_network({**SMALL_RESNET, "_target_": target}, channels=1, classes=2)


@pytest.mark.parametrize(
    "extra",
    [
        {"act": "$__import__('os').system('true')"},
        {"norm": ["group", {"num_groups": "$print('ran')"}]},
        {"norm": "%other.yaml::norm"},
        {"act": "@network"},
        {"_mode_": "debug"},
        {"_requires_": "$__import__('os')"},
        {"pretrained": True},
        {"act": {"_target_": "os.system", "command": "true"}},
    ],
)
def test_a_config_cannot_run_read_or_fetch_anything_else(
    extra: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(RunConfigError):
        build_network({**SMALL_RESNET, **extra}, channels=1, classes=2)
    assert "ran" not in capsys.readouterr().out


def test_a_config_that_does_not_build_names_its_target_and_the_reason() -> None:
    with pytest.raises(RunConfigError, match=r"monai\.networks\.nets\.ResNet .*nonesuch"):
        build_network({**SMALL_RESNET, "block": "nonesuch"}, channels=1, classes=2)


def test_a_config_without_target_is_refused() -> None:
    with pytest.raises(RunConfigError, match="_target_"):
        build_network({"block": "basic"}, channels=1, classes=2)


def test_a_network_that_scores_other_classes_is_refused() -> None:
    network = build_network({**SMALL_RESNET, "num_classes": 3}, channels=1, classes=2)
    with pytest.raises(RunConfigError, match="one score per class"):
        scores(network, torch.zeros(2, 1, 28, 28), classes=2)


def test_a_network_for_other_channels_is_refused() -> None:
    network = build_network({**SMALL_RESNET, "n_input_channels": 3}, channels=1, classes=2)
    with pytest.raises(RunConfigError, match="cannot take the images"):
        scores(network, torch.zeros(2, 1, 28, 28), classes=2)


def test_initial_weights_answers_with_digest_and_parameters(tmp_path: Path) -> None:
    path = tmp_path / "initial.safetensors"
    arguments = {"network": SMALL_RESNET, "channels": 1, "classes": 2, "seed": 3, "path": str(path)}
    answer = initial_weights(arguments, tmp_path)
    weights = read_weights(path)
    assert answer["digest"] == weights_digest(weights)
    assert answer["parameters"] == sum(w.size for w in weights.values())


CLASSIFIER: dict[str, Any] = {
    "_target_": "monai.networks.nets.Classifier",
    "in_shape": ["@channels", 28, 28],
    "classes": "@classes",
    "channels": [4],
    "strides": [2],
    "num_res_units": 0,
    "norm": ["group", {"num_groups": 4}],
}


def first_weights(folder: Path, network: dict[str, Any], **changes: Any) -> dict[str, Any]:
    asked = {"network": network, "channels": 1, "classes": 2, "image_size": 28, "seed": 0}
    path = folder / "initial.safetensors"
    return initial_weights({**asked, "path": str(path), **changes}, Store(folder))


@pytest.mark.parametrize("entry", ["network", "differential_privacy.network"])
def test_a_network_for_images_of_another_size_is_refused_before_a_weight_is_written(
    tmp_path: Path, entry: str
) -> None:
    wrong = {**CLASSIFIER, "in_shape": ["@channels", 32, 32]}
    with pytest.raises(RunConfigError, match="made for images of another size") as refused:
        first_weights(tmp_path, wrong, entry=entry)
    assert refused.value.where == f"the roster's `{entry}.in_shape`"
    assert refused.value.seen.startswith("['@channels', 32, 32], and images of shape [1, 28, 28]: ")
    assert "`data.image_size`" in str(refused.value)
    assert list(tmp_path.iterdir()) == []
    assert first_weights(tmp_path, CLASSIFIER, entry=entry)["parameters"] > 0
    assert first_weights(tmp_path, wrong, image_size=32)["parameters"] > 0


@pytest.mark.parametrize(
    ("change", "place", "seen"),
    [
        ({"n_input_channels": 3}, "", "images of shape [1, 28, 28]"),
        ({"num_classes": 3}, "", "[3] an image instead of [2]"),
        ({"_target_": "os.system"}, "._target_", "os.system"),
    ],
)
def test_what_else_does_not_go_with_the_images_is_refused_there_too(
    tmp_path: Path, change: dict[str, Any], place: str, seen: str
) -> None:
    with pytest.raises(RunConfigError) as refused:
        first_weights(tmp_path, {**SMALL_RESNET, **change}, entry="differential_privacy.network")
    assert refused.value.where == f"the roster's `differential_privacy.network{place}`"
    assert seen in refused.value.seen
    assert list(tmp_path.iterdir()) == []


def test_blank_images_change_nothing_of_the_first_weights(tmp_path: Path) -> None:
    network = {**SMALL_RESNET, "norm": "batch"}
    untried = first_weights(tmp_path, network, image_size=0)
    assert first_weights(tmp_path, network) == untried


class Talkative(torch.nn.Module):
    """Quotes what it cannot take, as a layer might."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        raise ValueError(f"cannot take {pixels.flatten()[:4].tolist()} of {len(pixels)} images")


def test_what_a_network_says_of_real_images_is_not_quoted() -> None:
    with pytest.raises(RunConfigError, match=r"cannot take \[0\.0, 0\.0, .* of 2 images") as caught:
        scores(Talkative(), torch.full((7, 1, 28, 28), 0.123), classes=2)
    assert "0.123" not in str(caught.value)
    assert "7 images" not in str(caught.value)


def test_how_many_images_a_batch_has_is_not_told() -> None:
    network = build_network({**SMALL_RESNET, "num_classes": 3}, channels=1, classes=2)
    with pytest.raises(RunConfigError, match=r"\[3\] an image instead of \[2\]"):
        scores(network, torch.zeros(7, 1, 28, 28), classes=2)
