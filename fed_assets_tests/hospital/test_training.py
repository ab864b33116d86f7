from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fed_assets.errors import NoImages, RunConfigError
from fed_assets.hospital.network import build_network
from fed_assets.hospital.recipe import Recipe
from fed_assets.hospital.training import (
    RoundMetrics,
    Stopped,
    draw_epoch,
    even_batches,
    half_precision,
    log_prior,
    round_seed,
    to_pixels,
    train_round,
)
from fed_assets.hospital.weights import weights_of
from fed_assets.privacy.digests import weights_digest
from fed_assets_tests.networks import SMALL_RESNET


def bright_and_dark(images: int = 48, *, classes: int = 2) -> tuple[Any, Any]:
    """Images whose brightness says their class."""
    generator = np.random.default_rng(0)
    labels = np.arange(images) % classes
    levels = 40 + 170 * labels / max(1, classes - 1)
    noise = generator.normal(0, 20, size=(images, 1, 16, 16))
    return (levels[:, None, None, None] + noise).clip(0, 255).astype(np.uint8), labels


def trained(
    *,
    images: Any,
    labels: Any,
    rows: Any = None,
    recipe: dict[str, Any] | None = None,
    hospital: str = "hospital_01",
    round_number: int = 1,
    classes: int = 2,
    config: dict[str, Any] = SMALL_RESNET,
    **more: Any,
) -> tuple[torch.nn.Module, RoundMetrics]:
    network = build_network(config, channels=1, classes=classes, seed=0)
    metrics = train_round(
        network,
        images,
        labels,
        np.arange(len(images)) if rows is None else rows,
        Recipe.of(recipe or {}),
        classes=classes,
        hospital=hospital,
        round_number=round_number,
        rounds=15,
        seed=0,
        **more,
    )
    return network, metrics


def digest_of(network: torch.nn.Module) -> str:
    return weights_digest(weights_of(network))


def test_a_few_epochs_learn_to_tell_bright_from_dark() -> None:
    images, labels = bright_and_dark()
    _, first = trained(images=images, labels=labels)
    _, metrics = trained(images=images, labels=labels, recipe={"local_epochs": 5, "batch_size": 8})
    assert metrics.examples == 48
    assert metrics.seconds > 0
    assert metrics.loss < 0.8 * first.loss


def test_a_round_is_the_same_again_and_differs_by_hospital_and_round() -> None:
    images, labels = bright_and_dark()
    again = [digest_of(trained(images=images, labels=labels)[0]) for _ in range(2)]
    hospital = digest_of(trained(images=images, labels=labels, hospital="hospital_02")[0])
    later = digest_of(trained(images=images, labels=labels, round_number=2)[0])
    assert again[0] == again[1]
    assert len({again[0], hospital, later}) == 3


@pytest.mark.parametrize(("supported", "half"), [(True, torch.bfloat16), (False, None)])
def test_a_processor_takes_16_bits_where_it_has_instructions_for_them(
    monkeypatch: pytest.MonkeyPatch, supported: bool, half: torch.dtype | None
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: supported)
    assert half_precision(torch.device("cpu")) is half


def test_with_16_bits_weights_stay_float32_and_learn_the_same_but_for_rounding(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    images, labels = bright_and_dark()
    seen = {}
    for supported in (True, False):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: supported)  # noqa: B023
        network, metrics = trained(images=images, labels=labels, recipe={"local_epochs": 4})
        seen[supported] = weights_of(network), metrics.loss
    (rounded, loss), (exact, exact_loss) = seen[True], seen[False]
    assert {array.dtype for array in rounded.values()} == {np.dtype("float32")}
    assert any((rounded[name] != exact[name]).any() for name in exact)
    assert loss == pytest.approx(exact_loss, abs=0.05)


def test_only_the_rows_given_are_learned_from() -> None:
    images, labels = bright_and_dark()
    rows = np.arange(0, 20)
    spoiled = images.copy()
    spoiled[20:] = 255
    one, metrics = trained(images=images, labels=labels, rows=rows)
    other, _ = trained(images=spoiled, labels=labels, rows=rows)
    assert metrics.examples == 20
    assert digest_of(one) == digest_of(other)


@pytest.mark.parametrize("norm", [["group", {"num_groups": 4}], "batch"])
@pytest.mark.parametrize("images", [1, 2, 33])
def test_very_few_images_and_one_more_than_a_batch_are_fine(images: int, norm: Any) -> None:
    pixels, labels = bright_and_dark(images)
    network, metrics = trained(images=pixels, labels=labels, config={**SMALL_RESNET, "norm": norm})
    assert metrics.examples == images
    assert all(np.isfinite(w).all() for w in weights_of(network).values())


def test_a_hospital_with_one_class_alone_learns_finite_weights() -> None:
    images, _ = bright_and_dark()
    network, metrics = trained(images=images, labels=np.ones(48, np.int64))
    assert np.isfinite(metrics.loss)
    assert all(np.isfinite(w).all() for w in weights_of(network).values())


def test_a_hospital_may_lack_classes_that_the_federation_has() -> None:
    images, labels = bright_and_dark(classes=3)
    _, metrics = trained(images=images, labels=labels, classes=9)
    assert np.isfinite(metrics.loss)


def test_prior_correction_takes_the_hospitals_class_balance_out_of_the_scores() -> None:
    # Images that say nothing of their class, nine in ten of it the second: without the
    # correction, learning can only find the balance.
    images = np.full((100, 1, 16, 16), 128, np.uint8)
    labels = (np.arange(100) % 10 > 0).astype(np.int64)

    def lean(prior_correction: bool) -> float:
        recipe = {
            "prior_correction": prior_correction,
            "local_epochs": 20,
            "learning_rate": 0.01,
            "augment": False,
        }
        network, _ = trained(images=images, labels=labels, recipe=recipe)
        network.eval()
        with torch.inference_mode():
            output = network(to_pixels(images[:1], torch.device("cpu"))).softmax(dim=1)
        return float(output[0, 1])

    assert lean(prior_correction=False) == pytest.approx(0.9, abs=0.07)
    assert lean(prior_correction=True) == pytest.approx(0.5, abs=0.1)


def test_an_epoch_draws_classes_by_the_root_of_their_images_and_repeats_none_too_soon() -> None:
    labels = np.array([0] * 4 + [2] * 64)
    drawn = draw_epoch(labels, torch.Generator().manual_seed(0), balanced=True)
    assert np.bincount(labels[drawn]).tolist() == [14, 0, 54]  # 68 in shares of 2 to 8
    assert np.bincount(drawn[labels[drawn] == 0]).max() == 4  # 14 draws of four images
    assert np.bincount(drawn).max() == 4
    assert len(set(drawn[labels[drawn] == 2].tolist())) == 54


def test_an_epoch_without_balance_draws_every_image_once() -> None:
    labels = np.array([0] * 4 + [1] * 64)
    drawn = draw_epoch(labels, torch.Generator().manual_seed(0), balanced=False)
    assert sorted(drawn.tolist()) == list(range(68))


def test_an_epoch_of_one_class_or_one_image_draws_all_of_it() -> None:
    generator = torch.Generator().manual_seed(0)
    for images in (1, 5):
        drawn = draw_epoch(np.ones(images, np.int64), generator, balanced=True)
        assert sorted(drawn.tolist()) == list(range(images))


def test_a_class_without_images_counts_as_one_in_the_prior() -> None:
    prior = log_prior(np.array([0, 0, 0, 2]), 3).exp()
    assert prior.tolist() == pytest.approx([3 / 5, 1 / 5, 1 / 5])


def test_no_image_to_learn_from_is_refused() -> None:
    with pytest.raises(NoImages, match="no training image"):
        trained(images=np.zeros((0, 1, 16, 16), np.uint8), labels=np.zeros(0, np.int64))


def test_batches_are_even_so_that_none_is_too_small_for_batch_statistics() -> None:
    assert [len(batch) for batch in even_batches(np.arange(33), 32)] == [17, 16]
    assert [len(batch) for batch in even_batches(np.arange(64), 32)] == [32, 32]
    assert np.concatenate(even_batches(np.arange(33), 8)).tolist() == list(range(33))


def test_a_round_stops_between_batches_when_asked() -> None:
    images, labels = bright_and_dark()
    asked: list[int] = []

    def after_two_batches() -> bool:
        asked.append(1)
        return len(asked) > 2

    with pytest.raises(Stopped):
        trained(
            images=images,
            labels=labels,
            recipe={"batch_size": 8},
            should_stop=after_two_batches,
        )
    assert len(asked) == 3


def test_training_that_diverges_says_so() -> None:
    images, labels = bright_and_dark()
    network = build_network(SMALL_RESNET, channels=1, classes=2, seed=0)
    with torch.no_grad():
        network.get_parameter("fc.weight").fill_(float("inf"))
    with pytest.raises(RunConfigError, match="diverged"):
        train_round(
            network,
            images,
            labels,
            np.arange(48),
            Recipe(),
            classes=2,
            hospital="hospital_01",
            round_number=1,
            rounds=1,
            seed=0,
        )


def test_every_hospital_and_round_has_a_seed_of_its_own() -> None:
    seeds = {round_seed(s, h, r) for s in range(3) for h in "ab" for r in range(1, 5)}
    assert len(seeds) == 24


def test_pixels_are_centred_and_leave_the_memory_map_alone(tmp_path: Path) -> None:
    images = np.array([0, 255], np.uint8).reshape(2, 1, 1, 1)
    np.save(tmp_path / "images.npy", images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    pixels = to_pixels(mapped[[0, 1]], torch.device("cpu"))
    assert pixels.flatten().tolist() == [-2, 2]
    assert np.array_equal(mapped, images)
