from __future__ import annotations

import torch

from fed_assets.hospital.augmentation import augment


def a_batch() -> torch.Tensor:
    return torch.rand(8, 3, 28, 28, generator=torch.Generator().manual_seed(1)) * 4 - 2


def test_the_same_generator_gives_the_same_views() -> None:
    views = [augment(a_batch(), torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    assert torch.equal(views[0], views[1])
    assert not torch.equal(views[0], views[2])


def test_every_image_is_moved_on_its_own_and_the_batch_given_is_left_alone() -> None:
    batch = a_batch()[:1].repeat(4, 1, 1, 1)
    before = batch.clone()
    views = augment(batch, torch.Generator().manual_seed(0))
    assert torch.equal(batch, before)
    assert views.shape == batch.shape
    assert not torch.equal(views[0], views[1])


def test_views_stay_near_their_image() -> None:
    # A smooth image: views are small moves, so each is closer to it than to its mirror image.
    ramp = torch.linspace(-2, 2, 28).expand(16, 1, 28, 28)
    views = augment(ramp, torch.Generator().manual_seed(0))
    near = (views - ramp).square().mean(dim=(1, 2, 3))
    far = (views - ramp.flip(3)).square().mean(dim=(1, 2, 3))
    assert (near * 5 < far).all()
    assert views.isfinite().all()


def test_a_batch_of_one_and_images_that_are_not_square_are_fine() -> None:
    assert augment(torch.zeros(1, 1, 20, 30), torch.Generator()).shape == (1, 1, 20, 30)
