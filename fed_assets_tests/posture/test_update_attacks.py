"""What can be made of numbers: of those that say something, and of those that say nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fed_assets.hospital.network import build_network
from fed_assets.hospital.training import to_pixels
from fed_assets.hospital.weights import load_weights, weights_of
from fed_assets.posture.canary_pictures import MEMBERS, members_and_others, single
from fed_assets.posture.dense_network import (
    CLASSES,
    CONFIG,
    SIZE,
    flat,
    initial_weights,
    losses,
    parts,
)
from fed_assets.posture.update_attacks import inverted, likeness, sums, told_apart
from fed_assets.posture.updates import AUC, CORRELATION, LIKENESS
from fed_assets.privacy.fixed_point import ROOM

NOISE = np.random.default_rng(0)
UPDATE = NOISE.normal(size=SIZE)
PICTURE = single(3, "north")


def network(seed: int = 0) -> torch.nn.Module:
    built = build_network(CONFIG, channels=1, classes=CLASSES)
    load_weights(built, initial_weights(seed))
    return built


def gradient(seed: int = 0) -> np.ndarray:
    """Returns that of the loss of one picture, as one vector."""
    built = network(seed)
    pixels = to_pixels(PICTURE[None, None], torch.device("cpu"))
    torch.nn.functional.cross_entropy(built(pixels), torch.tensor([1])).backward()
    return np.concatenate([each.grad.numpy().ravel() for each in built.parameters()])


def test_the_network_is_the_one_that_hospitals_build():
    weights = weights_of(network())
    assert flat(weights).shape == (SIZE,)
    assert list(parts(flat(weights))) == list(weights)
    members, _ = members_and_others(3, "north")
    pixels = to_pixels(members.images[:, None], torch.device("cpu"))
    theirs = torch.nn.functional.cross_entropy(
        network()(pixels), torch.from_numpy(members.labels), reduction="none"
    )
    ours = losses(flat(weights), members.images, members.labels)
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [1e-3, 1.0, 60.0])
def test_an_update_is_known_again_however_it_was_clipped_or_weighed(size):
    assert likeness(size * UPDATE, UPDATE) == pytest.approx(1)


def test_an_update_is_known_again_in_fixed_point_and_under_a_little_noise():
    words = np.rint(UPDATE / np.abs(UPDATE).max() * ROOM * 0.1).astype(np.int32)
    assert likeness(words.astype(np.float64), UPDATE) > 0.999_999
    assert likeness(UPDATE + 0.2 * NOISE.normal(size=SIZE), UPDATE) >= LIKENESS


def test_numbers_that_say_nothing_of_an_update_are_unlike_it():
    assert likeness(NOISE.integers(-(2**31), 2**31, SIZE).astype(np.float64), UPDATE) < 0.04
    assert likeness(np.zeros(SIZE), UPDATE) == 0


def test_a_sum_of_three_is_none_of_them():
    three = [UPDATE, *NOISE.normal(size=(2, SIZE))]
    found = sums(three)
    assert len(found) == 4  # of two and two, thrice, and of all
    assert max(likeness(each, UPDATE) for each in found) < 0.8 < LIKENESS


@pytest.mark.parametrize(
    ("changed", "reached"),
    [
        (lambda slope: -0.01 * slope, 0.999),  # a step of gradient descent leaves all of it
        (lambda slope: -0.002 * np.sign(slope), 0.8),  # and one of AdamW the signs
        (lambda slope: 1e-4 * slope / np.linalg.norm(slope), 0.999),  # clipping changes no quotient
    ],
)
def test_a_picture_is_read_from_one_step_on_it(changed, reached):
    assert inverted(changed(gradient()), PICTURE) > reached > CORRELATION


@pytest.mark.parametrize("seed", range(3))
def test_no_picture_is_read_from_what_says_nothing_of_it(seed):
    noise = np.random.default_rng(seed).normal(size=SIZE)
    assert inverted(noise, PICTURE) < 0.4 < CORRELATION
    assert inverted(-0.002 * np.sign(gradient()), single(3, f"hospital_{seed}")) < 0.4
    assert inverted(np.zeros(SIZE), PICTURE) == 0


def learned_by_heart(members):
    """Returns weights under which a picture's loss is low if it was among these."""
    torch.manual_seed(0)
    built = network()
    optimizer = torch.optim.AdamW(built.parameters(), lr=0.004)
    pixels, labels = to_pixels(members.images[:, None], torch.device("cpu")), members.labels
    for _ in range(60):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(built(pixels), torch.from_numpy(labels)).backward()
        optimizer.step()
    return flat(weights_of(built))


def test_members_are_told_from_others_by_who_learned_them_by_heart_and_by_nobody_else():
    members, others = members_and_others(3, "north")
    by_heart = told_apart([(learned_by_heart(members), members, others)], seed=0)
    assert AUC < by_heart.low < by_heart.value < by_heart.high
    innocent = told_apart([(flat(initial_weights(0)), members, others)], seed=0)
    assert innocent.low < 0.5 < innocent.high < AUC


def test_more_pictures_make_a_narrower_interval():
    known = [(flat(initial_weights(0)), *members_and_others(3, f"h{n}")) for n in range(4)]
    few, many = told_apart(known[:1], seed=0), told_apart(known, seed=0)
    assert many.high - many.low < 0.7 * (few.high - few.low)


def test_losses_that_are_all_alike_tell_nothing():
    """As where numbers without a meaning make every score infinitely sure."""
    members, others = members_and_others(3, "north")
    alike = told_apart([(np.zeros(SIZE), members, others)], seed=0)
    assert (alike.low, alike.value, alike.high) == (0.5, 0.5, 0.5)


def test_pictures_are_drawn_anew_for_each_hospital_and_seed_and_none_is_on_both_sides():
    members, others = members_and_others(3, "north")
    assert len(members.labels) == len(others.labels) == MEMBERS
    everything = {each.tobytes() for each in (*members.images, *others.images)}
    everything |= {each.tobytes() for each in members_and_others(4, "north")[0].images}
    everything |= {each.tobytes() for each in members_and_others(3, "east")[0].images}
    assert len(everything) == 4 * MEMBERS
