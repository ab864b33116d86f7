from __future__ import annotations

import numpy as np
import torch
from scipy import stats

from fed_assets.privacy.secret_draws import SecretDraws

MANY = 200_000


def test_noise_is_standard_normal_and_uncorrelated() -> None:
    drawn = SecretDraws().normal(MANY)
    assert drawn.shape == (MANY,)
    assert stats.kstest(drawn, "norm").pvalue > 1e-6
    assert abs(np.corrcoef(drawn[:-1], drawn[1:])[0, 1]) < 0.015
    assert stats.kstest(1.05 * drawn, "norm").pvalue < 1e-6  # five per cent off would show


def test_uniform_numbers_are_even_and_never_zero() -> None:
    drawn = SecretDraws().uniform(MANY)
    assert drawn.min() > 0
    assert drawn.max() <= 1
    assert stats.kstest(drawn, "uniform").pvalue > 1e-6


def test_each_image_is_tossed_for_by_itself() -> None:
    draws = SecretDraws()
    batches = [draws.poisson_batch(200, 0.1) for _ in range(500)]
    sizes = np.array([len(batch) for batch in batches])
    # Of batches of one size the variance would be 0; of Poisson sampling it is n q (1 - q) = 18.
    assert 13 < sizes.var() < 24
    assert abs(sizes.mean() - 20) < 1.2
    often = np.bincount(np.concatenate(batches), minlength=200)
    assert often.min() > 20
    assert draws.poisson_batch(5, 1.0).tolist() == [0, 1, 2, 3, 4]
    assert len(draws.poisson_batch(5, 0.0)) == 0


def test_no_seed_repeats_them_as_it_repeats_those_of_torch_and_numpy() -> None:
    def drawn_after_seeds() -> np.ndarray:
        torch.manual_seed(0)
        np.random.seed(0)
        return SecretDraws().normal(8)

    assert not np.array_equal(drawn_after_seeds(), drawn_after_seeds())


def test_why_the_generator_of_torch_will_not_do() -> None:
    one, other = (torch.Generator().manual_seed(seed) for seed in (5, 5 + 2**32))
    assert torch.equal(torch.randn(9, generator=one), torch.randn(9, generator=other))
