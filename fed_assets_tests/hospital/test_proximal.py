from __future__ import annotations

import torch

from fed_assets.hospital.proximal import proximal_pull
from fed_assets.hospital.weights import weights_of
from fed_assets_tests.hospital.test_training import bright_and_dark, digest_of, trained


def small_network() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))


def test_what_is_added_is_the_gradient_of_the_term() -> None:
    network = small_network()
    origin = [parameter.detach().clone() for parameter in network.parameters()]
    pull = proximal_pull(network, 0.3)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += torch.randn_like(parameter)
    pairs = list(zip(network.parameters(), origin, strict=True))
    term = 0.15 * sum(((parameter - start) ** 2).sum() for parameter, start in pairs)
    wanted = torch.autograd.grad(term, list(network.parameters()))
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    pull()
    for parameter, gradient in zip(network.parameters(), wanted, strict=True):
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad, 1 + gradient)


def test_without_a_term_nothing_is_added_and_none_is_held_where_nothing_is_trained() -> None:
    network = small_network()
    proximal_pull(network, 0.0)()
    proximal_pull(network, 0.5)()
    assert all(parameter.grad is None for parameter in network.parameters())


def test_a_round_stays_the_nearer_the_stronger_the_term() -> None:
    images, labels = bright_and_dark()
    given = {"images": images, "labels": labels}
    start = weights_of(trained(**given, recipe={"learning_rate": 1e-9})[0])

    def moved(proximal_mu: float) -> float:
        recipe = {"local_epochs": 4, "proximal_mu": proximal_mu}
        weights = weights_of(trained(**given, recipe=recipe)[0])
        return float(
            sum(
                ((weights[name] - start[name]) ** 2).sum()
                for name in start
                if name.endswith(("weight", "bias"))
            )
        )

    assert moved(100.0) < 0.5 * moved(0.0)


def test_mu_of_zero_changes_no_bit_of_a_round() -> None:
    images, labels = bright_and_dark()
    plain, _ = trained(images=images, labels=labels)
    zero, _ = trained(images=images, labels=labels, recipe={"proximal_mu": 0})
    some, _ = trained(images=images, labels=labels, recipe={"proximal_mu": 0.1})
    assert digest_of(plain) == digest_of(zero) != digest_of(some)
