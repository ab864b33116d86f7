"""What an attack by the loss shows: of made-up losses, and of networks that did learn by heart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fed_assets.errors import DisclosureRefused, NotValidated, RunConfigError, StorageError
from fed_assets.hospital.dataset import open_dataset
from fed_assets.hospital.files import Store
from fed_assets.hospital.images import prepare_images
from fed_assets.hospital.loss_attack import Known, attack
from fed_assets.hospital.membership import membership
from fed_assets.hospital.network import initial_weights
from fed_assets.hospital.reference import train_reference
from fed_assets.hospital.store import current_digest, set_validated
from fed_assets.hospital.suppression import disclosed
from fed_assets.hospital.weights import read_weights
from fed_assets.privacy.digests import weights_digest
from fed_assets.sandboxes.presets import REFERENCE, SANDBOX_NAMES
from fed_assets_tests.hospital.samples import write_npz
from fed_assets_tests.networks import SMALL_RESNET

HOSPITALS = ("north", "south")


def made_up(
    members: np.ndarray[Any, Any],
    others: np.ndarray[Any, Any],
    *,
    labels: np.ndarray[Any, Any] | None = None,
    hospital: int = 0,
) -> Known:
    losses = np.concatenate([members, others])
    learned = np.arange(len(losses)) < len(members)
    label = np.zeros(len(losses), dtype=np.int64) if labels is None else labels
    return Known(losses, learned, np.full(len(losses), hospital), label)


def together(*parts: Known) -> Known:
    columns = ("losses", "learned", "hospital", "label")
    return Known(*(np.concatenate([getattr(each, name) for each in parts]) for name in columns))


def advantage(known: Known, **changes: Any) -> dict[str, Any]:
    arguments: dict[str, Any] = {"hospitals": 1, "resamples": 200, "seed": 0}
    return dict(attack(known, **arguments | changes).figures()[-1])


def test_losses_that_lie_apart_give_nearly_every_member_away() -> None:
    # A threshold that is chosen on other images may lie below the highest member that it judges.
    found = advantage(made_up(np.linspace(0, 1, 50), np.linspace(2, 3, 10)))
    assert (found["members"], found["others"]) == (50, 10)
    assert 0.85 < found["low"] <= found["value"] <= found["high"] <= 1.0
    assert found["value"] > 0.95


def test_members_with_the_higher_loss_are_not_found() -> None:
    found = advantage(made_up(np.linspace(2, 3, 50), np.linspace(0, 1, 10)))
    assert found["value"] == found["low"] == found["high"] == 0.0


def test_images_of_one_loss_are_called_alike() -> None:
    assert advantage(made_up(np.full(50, 0.5), np.full(10, 0.5)))["value"] == 0.0


def test_where_there_is_nothing_to_find_nothing_is_found_on_average() -> None:
    def found(seed: int) -> float:
        drawn = np.random.default_rng(seed)
        members, others = drawn.exponential(size=30), drawn.exponential(size=10)
        return float(advantage(made_up(members, others), resamples=0, seed=seed)["value"])

    def gained(seed: int) -> float:
        """The largest gap of all thresholds, judged on what it was chosen by."""
        drawn = np.random.default_rng(seed)
        members, others = drawn.exponential(size=30), drawn.exponential(size=10)
        cuts = np.concatenate([members, others])
        return float(max((members <= cut).mean() - (others <= cut).mean() for cut in cuts))

    seeds = range(300)
    assert abs(np.mean([found(seed) for seed in seeds])) < 0.03
    assert np.mean([gained(seed) for seed in seeds]) > 0.2


@pytest.mark.parametrize(("gain", "true"), [(0.0, 0.0), (1.0, 0.383)])
def test_the_interval_holds_the_true_advantage_about_as_often_as_it_says(
    gain: float, true: float
) -> None:
    # Of two normals one apart, the best threshold gains 2 * Phi(1/2) - 1.
    def holds(seed: int) -> bool:
        drawn = np.random.default_rng(seed)
        known = made_up(drawn.normal(size=120) - gain, drawn.normal(size=60))
        found = advantage(known, seed=seed)
        return bool(found["low"] <= true <= found["high"])

    assert np.mean([holds(seed) for seed in range(100)]) > 0.85


def test_another_mix_of_classes_is_no_membership() -> None:
    # The loss depends on the class alone, and the rarer one was held out more often.
    labels = np.repeat([0, 1, 0, 1], [90, 10, 10, 10])
    known = made_up(*np.split(labels.astype(float), [100]), labels=labels)
    assert advantage(known)["value"] == pytest.approx(0.0, abs=1e-9)
    naive = made_up(*np.split(labels.astype(float), [100]))
    assert advantage(naive)["value"] == pytest.approx(0.4)


def test_a_class_that_was_not_held_out_is_left_out() -> None:
    labels = np.repeat([0, 1, 0], [20, 5, 10])
    found = advantage(made_up(*np.split(np.ones(35), [25]), labels=labels))
    assert (found["members"], found["others"]) == (20, 10)


def test_each_hospital_has_a_figure_of_its_own_and_one_without_images_has_none() -> None:
    told = made_up(np.linspace(0, 1, 40), np.linspace(2, 3, 10))
    mixed = made_up(np.linspace(0, 3, 40), np.linspace(0, 3, 10), hospital=1)
    few = made_up(np.linspace(0, 3, 40), np.ones(1), hospital=2)
    first, second, third, pooled = attack(
        together(told, mixed, few), hospitals=3, resamples=100, seed=0
    ).figures()
    assert first["value"] > 0.9
    assert -0.1 < second["value"] < 0.2
    assert third == {"value": None, "low": None, "high": None, "members": 40, "others": 1}
    assert second["value"] < pooled["value"] < first["value"]
    nothing = made_up(np.empty(0), np.empty(0))
    assert attack(nothing, hospitals=1, resamples=10, seed=0).figures()[-1]["value"] is None


def test_two_models_are_attacked_in_pairs_on_the_same_images_by_one_seed() -> None:
    drawn = np.random.default_rng(0)
    noise, other = drawn.normal(size=180), drawn.normal(size=180)
    learned = np.arange(180) < 120

    def attacked(alike: float, seed: int = 0) -> tuple[Any, Any]:
        both = (noise - learned, np.sqrt(alike) * noise + np.sqrt(1 - alike) * other - learned)
        found = [attack(of_losses(each), hospitals=1, resamples=400, seed=seed) for each in both]
        return found[0], found[1]

    def of_losses(losses: np.ndarray[Any, Any]) -> Known:
        zeros = np.zeros(len(losses), dtype=np.int64)
        return Known(losses, learned, zeros, zeros)

    apart = {}
    for alike in (0.98, 0.0):
        one, two = attacked(alike)
        assert (one.first == two.first).all() and one.first.shape == (10, 180)
        apart[alike] = (one.drawn - two.drawn)[:, -1].std() / one.drawn[:, -1].std()
    # As if apart it would be about the root of two.
    assert apart[0.98] < 0.75 and apart[0.0] > 1.0
    assert (attacked(0.0)[0].first != attacked(0.0, seed=1)[0].first).any()


def test_the_order_of_the_losses_changes_nothing_of_what_is_drawn() -> None:
    drawn = np.random.default_rng(0)
    known = made_up(drawn.normal(size=40), drawn.normal(size=20))
    turned = made_up(-known.losses[:40], -known.losses[40:])
    one, two = (attack(each, hospitals=1, resamples=20, seed=0) for each in (known, turned))
    assert (one.first == two.first).all()
    assert (one.drawn != two.drawn).any()


def test_the_same_seed_gives_the_same_interval() -> None:
    drawn = np.random.default_rng(0)
    known = made_up(drawn.normal(size=50), drawn.normal(size=20))
    assert advantage(known) == advantage(known) != advantage(known, seed=1)


@pytest.fixture
def stores(tmp_path: Path) -> dict[str, Path]:
    """Returns two hospitals' stores of open images, which can be learned by heart alone."""
    found = {}
    for number, name in enumerate(HOSPITALS):
        folder = tmp_path / name
        folder.mkdir()
        path = write_npz(folder / "open.npz", train=160, val=0, test=0, side=(28, 28))
        store = Store(folder / REFERENCE)
        share = {"index": number, "of": len(HOSPITALS), "how": "iid"}
        fractions = {"train": 0.5, "validation": 0.2, "test": 0.3}
        source = {"kind": "medmnist", "path": str(path)}
        asked = {"source": source, "image_size": 28, "share": share, "split_fractions": fractions}
        prepare_images(asked, store)
        set_validated(store, current_digest(store))
        found[name] = store.folder
    return found


def a_model(folder: Path, stores: dict[str, Path], *, rounds: int) -> Path:
    """Returns weights that learned so long from the stores' training images; first ones for 0."""
    initial, weights = folder / "initial.safetensors", folder / "weights.safetensors"
    shape = {"network": SMALL_RESNET, "channels": 1, "classes": 2}
    initial_weights({**shape, "seed": 0, "path": initial}, Store(folder))
    if not rounds:
        return initial
    train_reference(
        {
            "name": "pooled",
            "stores": [str(each) for each in stores.values()],
            "network": SMALL_RESNET,
            "recipe": {"batch_size": 16, "augment": False, "schedule": "constant"},
            "rounds": rounds,
            "seed": 0,
            "initial": initial,
            "weights": weights,
        },
        Store(stores["north"]),
    )
    return weights


def asked_of(stores: dict[str, Path], weights: Path, **changes: Any) -> dict[str, Any]:
    return {
        "hospitals": {
            name: {"store": str(folder), "digest": open_dataset(Store(folder)).digest}
            for name, folder in stores.items()
        },
        "weights": str(weights),
        "digest": weights_digest(read_weights(weights)),
        "network": SMALL_RESNET,
        "resamples": 200,
        "seed": 0,
        **changes,
    }


@pytest.mark.slow
def test_a_network_that_learned_by_heart_gives_its_members_away_and_a_fresh_one_none(
    tmp_path: Path, stores: dict[str, Path]
) -> None:
    place = Store(stores["north"])
    by_heart = membership(asked_of(stores, a_model(tmp_path, stores, rounds=60)), place)
    fresh = membership(asked_of(stores, a_model(tmp_path, stores, rounds=0)), place)
    assert by_heart["pooled"]["low"] > 0.3
    assert fresh["pooled"]["low"] <= 0 <= fresh["pooled"]["high"]
    for answer in (by_heart, fresh):
        assert list(answer["hospitals"]) == list(HOSPITALS)
        assert answer["pooled"]["members"] == 80
        assert answer["pooled"]["others"] == 80
        drawn = answer["resampled"]["values"]["membership_advantage"]
        low, high = np.quantile(drawn, [0.025, 0.975])
        told = answer["pooled"]["low"], answer["pooled"]["high"]
        assert told == pytest.approx((low, high), abs=1e-6)
    assert by_heart["resampled"]["of"] == fresh["resampled"]["of"]
    other = membership(asked_of(stores, a_model(tmp_path, stores, rounds=0), seed=1), place)
    assert other["resampled"]["of"] != fresh["resampled"]["of"]


@pytest.mark.parametrize("sandbox", SANDBOX_NAMES)
def test_no_store_of_a_sandbox_is_attacked(
    tmp_path: Path, stores: dict[str, Path], sandbox: str
) -> None:
    asked = asked_of(stores, a_model(tmp_path, stores, rounds=0))
    protected = stores["south"].rename(stores["south"].with_name(sandbox))
    asked["hospitals"]["south"]["store"] = str(protected)
    with pytest.raises(DisclosureRefused, match="open data alone"):
        membership(asked, Store(stores["north"]))
    del asked["hospitals"]["south"]
    with pytest.raises(DisclosureRefused):
        membership(asked, Store(protected))
    assert membership(asked, Store(stores["north"]))["pooled"]["members"] > 0


def test_other_images_or_weights_than_were_measured_are_refused(
    tmp_path: Path, stores: dict[str, Path]
) -> None:
    place, weights = Store(stores["north"]), a_model(tmp_path, stores, rounds=0)
    asked = asked_of(stores, weights)
    with pytest.raises(StorageError, match="not those that were measured"):
        membership(asked | {"digest": "0" * 64}, place)
    asked["hospitals"]["south"]["digest"] = "0" * 64
    with pytest.raises(RunConfigError, match=r"not the ones that were learned from\. Where: south"):
        membership(asked, place)
    set_validated(Store(stores["south"]), None)
    with pytest.raises(NotValidated):
        membership(asked, place)


def test_where_counts_are_suppressed_nothing_of_the_attack_leaves() -> None:
    answer = {"pooled": {"value": 0.1}, "hospitals": {}}
    assert disclosed("membership", answer, 0) == answer
    with pytest.raises(DisclosureRefused):
        disclosed("membership", answer, 10)
