from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fed_assets.errors import NoImages, RunConfigError
from fed_assets.hospital import private_training
from fed_assets.hospital.dataset import open_dataset
from fed_assets.hospital.files import Store
from fed_assets.hospital.network import build_network
from fed_assets.hospital.outbox_log import OutboxLog, text
from fed_assets.hospital.privacy_ledger import PrivacyLedger, read_charges
from fed_assets.hospital.private_fit import require_private_fit, require_small_delta
from fed_assets.hospital.private_training import (
    parts_of,
    private_optimizer,
    schedule_of,
    take_gradients,
    train_privately,
)
from fed_assets.hospital.recipe import PrivateRecipe
from fed_assets.hospital.training import Stopped
from fed_assets.privacy.secret_draws import SecretDraws
from fed_assets.sandboxes.controls import UpdateProtection
from fed_assets.sandboxes.protection import Protection
from fed_assets_tests.hospital.test_evaluation import a_validated_store
from fed_assets_tests.networks import SMALL_RESNET

RECIPE = PrivateRecipe(learning_rate=0.1, local_epochs=1, sample_rate=1 / 3, augment=False)
BUDGET = Protection(
    kind=UpdateProtection.DIFFERENTIAL_PRIVACY, epsilon=8.0, delta=1e-5, max_grad_norm=1.0
)


def a_ledger(store: Store, run: str = "job-1") -> PrivacyLedger:
    outbox = OutboxLog(store, f"job {run}")
    outbox.asked(text("update", b""))
    return PrivacyLedger(store, outbox, run)


def a_network(**changes: Any) -> torch.nn.Module:
    return build_network({**SMALL_RESNET, **changes}, channels=1, classes=2, seed=0)


def trained(store: Store, **changes: Any) -> torch.nn.Module:
    dataset = open_dataset(store)
    network = a_network()
    asked = {"protection": BUDGET, "ledger": a_ledger(store), "round_number": 1, "rounds": 2}
    train_privately(network, dataset, dataset.split("train"), RECIPE, **{**asked, **changes})
    return network


def weights(network: torch.nn.Module) -> torch.Tensor:
    return torch.cat([each.detach().flatten() for each in network.parameters()])


def summed_gradients(pixels: torch.Tensor, truth: torch.Tensor, norm: float) -> torch.Tensor:
    """Returns what a step would be made of, without noise."""
    network = a_network()
    take_gradients(network, pixels, truth, classes=2)
    optimizer = private_optimizer(
        network,
        RECIPE,
        SecretDraws(),
        noise_multiplier=0.0,
        max_grad_norm=norm,
        images_per_step=1.0,
    )
    optimizer.pre_step()
    return torch.cat(
        [each.grad.flatten() for each in network.parameters() if each.grad is not None]
    )


@pytest.mark.parametrize("norm", [0.5, 2.0])
def test_no_record_moves_the_sum_by_more_than_the_norm(norm: float) -> None:
    generator = torch.Generator().manual_seed(0)
    pixels = 4 * torch.randn(9, 1, 28, 28, generator=generator)
    truth = torch.arange(9) % 2
    whole = summed_gradients(pixels, truth, norm)
    for left_out in (0, 5):
        others = [index for index in range(9) if index != left_out]
        moved = (whole - summed_gradients(pixels[others], truth[others], norm)).norm()
        assert 0.2 * norm < moved <= norm * (1 + 1e-5)
    # Without clipping it does: the norms asked for are small enough to show it.
    unclipped = summed_gradients(pixels[:1], truth[:1], 1e9)
    assert unclipped.norm() > norm


def test_each_image_has_the_gradient_that_it_would_have_alone() -> None:
    pixels, truth = torch.randn(3, 1, 28, 28), torch.tensor([0, 1, 1])
    together, alone = a_network(), a_network()
    take_gradients(together, pixels, truth, classes=2)
    loss = torch.nn.functional.cross_entropy(alone(pixels[1:2]), truth[1:2])
    loss.backward()  # type: ignore[no-untyped-call]
    for one, other in zip(together.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(one.grad_sample[1], other.grad, rtol=1e-3, atol=1e-5)


def test_the_noise_has_the_scale_that_was_paid_for() -> None:
    network = torch.nn.Linear(100, 500)
    for each in network.parameters():
        each.grad_sample = torch.zeros((0, *each.shape))  # type: ignore[attr-defined]
    optimizer = private_optimizer(
        network,
        RECIPE,
        SecretDraws(),
        noise_multiplier=3.0,
        max_grad_norm=0.5,
        images_per_step=10.0,
    )
    optimizer.pre_step()
    noise = torch.cat(
        [each.grad.flatten() for each in network.parameters() if each.grad is not None]
    )
    # 50,500 draws: their standard deviation has a standard error of 0.3 %.
    assert float(noise.std()) == pytest.approx(3.0 * 0.5 / 10, rel=0.02)
    assert abs(float(noise.mean())) < 0.004


def test_parts_of_a_batch_make_the_step_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    network = a_network()
    assert [(len(part), last) for part, last in parts_of(np.arange(5), network)] == [(5, True)]
    assert [(len(part), last) for part, last in parts_of(np.arange(0), network)] == [(0, True)]
    few = 2 * sum(each.numel() for each in network.parameters())
    monkeypatch.setattr(private_training, "GRADIENTS_AT_ONCE", few)
    parts = list(parts_of(np.arange(5), network))
    assert [(len(part), last) for part, last in parts] == [(2, False), (2, False), (1, True)]
    pixels, truth = torch.randn(5, 1, 28, 28), torch.tensor([0, 1, 0, 1, 1])
    whole = summed_gradients(pixels, truth, 1.0)
    optimizer = private_optimizer(
        network,
        RECIPE,
        SecretDraws(),
        noise_multiplier=0.0,
        max_grad_norm=1.0,
        images_per_step=1.0,
    )
    for part, last in parts:
        take_gradients(network, pixels[part], truth[part], classes=2)
        optimizer.signal_skip_step(do_skip=not last)
        if last:
            optimizer.pre_step()
        else:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
    summed = [each.grad.flatten() for each in network.parameters() if each.grad is not None]
    torch.testing.assert_close(torch.cat(summed), whole, rtol=1e-3, atol=1e-5)


def test_a_round_learns_tells_no_loss_and_says_what_it_cost(tmp_path: Path) -> None:
    store = a_validated_store(tmp_path)
    dataset = open_dataset(store)
    network = a_network()
    before = weights(network)
    metrics = train_privately(
        network,
        dataset,
        dataset.split("train"),
        RECIPE,
        protection=BUDGET,
        ledger=a_ledger(store),
        round_number=1,
        rounds=1,
    )
    assert metrics.loss is None
    assert metrics.examples == 48
    assert metrics.privacy["epsilon"] == pytest.approx(8.0, rel=0.01)
    assert metrics.privacy["delta"] == 1e-5
    assert metrics.privacy["noise_multiplier"] > 0
    assert not torch.equal(weights(network), before)


def test_no_seed_of_the_federation_repeats_a_round(tmp_path: Path) -> None:
    store = a_validated_store(tmp_path)
    drawn = []
    for _ in range(2):
        torch.manual_seed(0)
        np.random.seed(0)
        drawn.append(weights(trained(store)))
    assert not torch.equal(*drawn)


def test_a_step_into_which_no_image_came_is_noise_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SecretDraws, "poisson_batch", lambda *_: np.arange(0))
    network = trained(a_validated_store(tmp_path))
    assert not torch.equal(weights(network), weights(a_network()))


@pytest.mark.parametrize("norm", ["batch", ["batch", {"momentum": 0.5}]])
def test_a_network_with_batch_normalisation_is_refused_with_its_cure(norm: Any) -> None:
    require_private_fit(a_network())
    with pytest.raises(RunConfigError, match="norm: \\[group") as refused:
        require_private_fit(a_network(norm=norm))
    assert "mixes the images of a batch" in str(refused.value)


def test_a_refused_network_costs_nothing(tmp_path: Path) -> None:
    store = a_validated_store(tmp_path)
    dataset = open_dataset(store)
    asked: dict[str, Any] = {"protection": BUDGET, "round_number": 1, "rounds": 1}
    with pytest.raises(RunConfigError):
        train_privately(
            a_network(norm="batch"),
            dataset,
            dataset.split("train"),
            RECIPE,
            ledger=a_ledger(store),
            **asked,
        )
    with pytest.raises(NoImages):
        train_privately(a_network(), dataset, np.arange(0), RECIPE, ledger=a_ledger(store), **asked)
    assert read_charges(store) == ()


def test_a_round_that_was_stopped_is_charged(tmp_path: Path) -> None:
    store = a_validated_store(tmp_path)
    with pytest.raises(Stopped):
        trained(store, should_stop=lambda: True)
    assert len(read_charges(store)) == 1


def test_a_network_whose_weights_left_the_numbers_is_not_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoil(network: torch.nn.Module, *_: Any, **__: Any) -> None:
        for each in network.parameters():
            each.grad_sample = torch.full((1, *each.shape), float("nan"))  # type: ignore[attr-defined]

    monkeypatch.setattr(private_training, "take_gradients", spoil)
    with pytest.raises(RunConfigError, match="diverged"):
        trained(a_validated_store(tmp_path))


@pytest.mark.parametrize(
    ("recipe", "steps"),
    [
        (PrivateRecipe(sample_rate=0.3, local_epochs=1), 3),
        (PrivateRecipe(sample_rate=0.5, local_epochs=2), 4),
        (PrivateRecipe(sample_rate=1.0, local_epochs=1), 1),
    ],
)
def test_a_round_has_the_steps_of_its_epochs(recipe: PrivateRecipe, steps: int) -> None:
    schedule = schedule_of(recipe, round_number=2, rounds=5)
    assert schedule.sample_rate == recipe.sample_rate
    assert schedule.steps == steps
    assert schedule.rounds_to_come == 4


def test_a_proximal_term_holds_the_weights_near_those_received(tmp_path: Path) -> None:
    store = a_validated_store(tmp_path)
    dataset, start = open_dataset(store), weights(a_network())
    moved = {}
    for mu in (0.0, 5.0):
        network = a_network()
        recipe = replace(RECIPE, local_epochs=8, schedule="constant", proximal_mu=mu)
        train_privately(
            network,
            dataset,
            dataset.split("train"),
            recipe,
            protection=replace(BUDGET, epsilon=50.0),
            ledger=a_ledger(store, f"job-{mu:g}"),
            round_number=1,
            rounds=20,
        )
        moved[mu] = float((weights(network) - start).norm())
    assert moved[5.0] < 0.5 * moved[0.0]


@pytest.mark.parametrize("delta", [0.01, 0.25])
def test_a_delta_that_allows_to_give_an_image_away_is_refused(delta: float) -> None:
    require_small_delta(replace(BUDGET, delta=delta), 3 if delta == 0.25 else 99)
    with pytest.raises(RunConfigError, match=f"delta {delta:g}"):
        require_small_delta(replace(BUDGET, delta=delta), round(1 / delta))
