from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from fed_assets.errors import DisclosureRefused, IdentityRefused, JobFailed, RunConfigError
from fed_assets.federation.aggregation import Update, fedavg
from fed_assets.hospital.peers import Peers
from fed_assets.hospital.secure_aggregation import SecureAggregation
from fed_assets.privacy.fixed_point import WEIGHT, changes, decoded, encoded, rounded_up
from fed_assets.privacy.masking import Turn
from fed_assets_tests.hospital.masking_peers import BOUNDS, Together, peers_of

NAMES = ["east", "middle", "north", "south", "west"]
RNG = np.random.default_rng(0)
RECEIVED = {
    "layer.weight": RNG.normal(size=(8, 4)).astype(np.float32),
    "norm.running_mean": RNG.normal(size=8).astype(np.float32),
    "norm.num_batches_tracked": np.array(7, np.int64),
}
LOCAL = {
    name: {
        "layer.weight": RECEIVED["layer.weight"] + RNG.normal(size=(8, 4)).astype(np.float32) / 9,
        "norm.running_mean": RECEIVED["norm.running_mean"] + np.float32(0.1),
        "norm.num_batches_tracked": np.array(7 + at, np.int64),
    }
    for at, name in enumerate(NAMES)
}
EXAMPLES = {"east": 1, "middle": 64, "north": 388, "south": 3, "west": 1000}
TURN = Turn("job-1", 2)


@pytest.fixture(scope="module")
def peers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Peers]:
    return peers_of(tmp_path_factory.mktemp("sites"), NAMES)


@pytest.fixture
def together(peers: dict[str, Peers]) -> Together:
    return Together(peers, TURN)


def run_round(together: Together, *phases: list[str]) -> None:
    told, shared, updated, revealed = phases
    together.tell_keys(told)
    together.share(shared, EXAMPLES)
    together.update(updated, RECEIVED, LOCAL, EXAMPLES)
    together.reveal(revealed)


def plain_mean(names: Any) -> Any:
    return fedavg(
        [
            Update(hospital=name, examples=EXAMPLES[name], weights=LOCAL[name], report={})
            for name in names
        ]
    )


# Per hospital the step before which it drops out; 4 is none.
PATTERNS = [pattern for pattern in itertools.product(range(5), repeat=5) if pattern.count(4) >= 3]


def test_the_sum_is_that_of_the_updates_whoever_drops_out_and_when(
    peers: dict[str, Peers],
) -> None:
    assert len(PATTERNS) == 181
    for pattern in PATTERNS:
        phases = [
            [name for name, until in zip(NAMES, pattern, strict=True) if until > step]
            for step in range(4)
        ]
        together = Together(peers, TURN)
        run_round(together, *phases)
        mean = decoded(together.total(RECEIVED), RECEIVED, BOUNDS)
        plain = plain_mean(phases[2])
        for name in RECEIVED:
            assert np.abs(mean[name] - plain[name]).max() < 1e-5, (pattern, name)


def test_no_update_can_be_seen_in_what_a_hospital_sends(together: Together) -> None:
    run_round(together, NAMES, NAMES, NAMES, NAMES)
    denominator = sum(rounded_up(count) for count in EXAMPLES.values())
    total, refused = together.total(RECEIVED), 0
    for name, sent in together.words.items():
        changed = changes(LOCAL[name], RECEIVED, BOUNDS)
        open_ = encoded(changed, EXAMPLES[name] / denominator, RECEIVED, BOUNDS)
        assert (sent["layer.weight"] != open_["layer.weight"]).all()
        assert sent[WEIGHT] != open_[WEIGHT]
        # By chance so few words pass for a sum, one time in a hundred; for the update never.
        try:
            seen = decoded(sent, RECEIVED, BOUNDS)["layer.weight"]
            assert np.abs(seen - LOCAL[name]["layer.weight"]).max() > 0.1
        except JobFailed as refusal:
            assert "no sum of updates" in str(refusal)
            refused += 1
        # The control: the same words are what the sum without its masks consists of.
        total = {at: total[at] - open_[at] for at in total}
    assert all(not words.any() for words in total.values())
    assert refused > len(NAMES) / 2


def test_masks_are_new_in_each_round(peers: dict[str, Peers]) -> None:
    sent = []
    for number in (1, 2):
        together = Together(peers, Turn("job-1", number))
        run_round(together, NAMES, NAMES, NAMES, NAMES)
        sent.append(together.words["north"]["layer.weight"])
    assert (sent[0] != sent[1]).all()


def test_fewer_hospitals_than_the_threshold_are_not_added_up(together: Together) -> None:
    together.tell_keys(NAMES[:2])
    with pytest.raises(DisclosureRefused, match="Fewer hospitals than the 3"):
        together.share(NAMES[:2], EXAMPLES)
    together = Together(together.peers, TURN)
    together.tell_keys(NAMES)
    together.share(NAMES[:2], EXAMPLES)
    with pytest.raises(DisclosureRefused, match="Fewer hospitals than the 3"):
        together.update(NAMES[:2], RECEIVED, LOCAL, EXAMPLES)
    together = Together(together.peers, TURN)
    together.tell_keys(NAMES)
    together.share(NAMES, EXAMPLES)
    together.update(NAMES[:2], RECEIVED, LOCAL, EXAMPLES)
    with pytest.raises(DisclosureRefused, match="Fewer hospitals than the 3"):
        together.reveal(NAMES[:1])


def test_a_list_is_not_made_longer_by_strangers(together: Together) -> None:
    together.tell_keys(NAMES[:2])
    together.keys |= {"sybil": together.keys["east"], "other": together.keys["middle"]}
    with pytest.raises(DisclosureRefused, match="2 of this federation, 2 others"):
        together.share(NAMES[:2], EXAMPLES)


def up_to_the_update(together: Together) -> SecureAggregation:
    together.tell_keys(NAMES)
    together.share(NAMES, EXAMPLES)
    together.update(NAMES, RECEIVED, LOCAL, EXAMPLES)
    return together.hospitals["north"]


def test_both_secrets_of_one_hospital_are_never_revealed(together: Together) -> None:
    north = up_to_the_update(together)
    told = north.reveal(TURN, NAMES)
    assert told["seeds"].keys() == set(NAMES)
    assert told["keys"] == {}
    # The server says now that east dropped out, whose seed it was told a share of.
    for survivors in (NAMES[1:], NAMES):
        with pytest.raises(DisclosureRefused, match="in a round that is over"):
            north.reveal(TURN, survivors)


def test_one_of_both_secrets_is_revealed_of_each_that_took_part(together: Together) -> None:
    told = up_to_the_update(together).reveal(TURN, NAMES[1:])
    assert told["seeds"].keys() == set(NAMES[1:])
    assert told["keys"].keys() == {"east"}


@pytest.mark.parametrize(
    ("survivors", "reason"),
    [
        (["east", "middle", "south"], "said not to have come"),  # north itself sent its update
        ([*NAMES, "sybil"], "did not take part"),
        (["north", "north", "east"], "Fewer hospitals"),
        ("north", "said not to have come"),
        (None, "said not to have come"),
    ],
)
def test_survivors_that_cannot_be_are_refused_and_end_the_round(
    together: Together, survivors: Any, reason: str
) -> None:
    north = up_to_the_update(together)
    with pytest.raises(DisclosureRefused, match=reason):
        north.reveal(TURN, survivors)
    with pytest.raises(DisclosureRefused, match="in a round that is over"):
        north.reveal(TURN, NAMES)


def test_a_round_that_is_over_is_not_begun_again(peers: dict[str, Peers]) -> None:
    north = SecureAggregation()
    first = north.keys(peers["north"], Turn("job-1", 2))
    for turn in (Turn("job-1", 2), Turn("job-1", 1), Turn("job-2", 3)):
        with pytest.raises(DisclosureRefused, match="A round was asked for that is over"):
            north.keys(peers["north"], turn)
    assert north.keys(peers["north"], Turn("job-1", 3)) != first


def test_a_step_is_taken_once_and_in_its_turn(together: Together) -> None:
    up_to_the_update(together)
    with pytest.raises(DisclosureRefused, match=r"out of its turn\. .*SHARES"):
        together.share(NAMES, EXAMPLES)
    together = Together(together.peers, TURN)
    together.tell_keys(NAMES)
    with pytest.raises(DisclosureRefused, match=r"out of its turn\. .*UPDATE"):
        together.update(NAMES, RECEIVED, LOCAL, EXAMPLES)
    together = Together(together.peers, TURN)
    with pytest.raises(DisclosureRefused, match="in a round that is over"):
        together.share(NAMES, EXAMPLES)
    together.tell_keys(NAMES)
    together.share(NAMES, EXAMPLES)
    with pytest.raises(DisclosureRefused, match="in a round that is over"):
        together.hospitals["north"].reveal(Turn("job-1", 1), NAMES)


def test_the_server_cannot_put_keys_of_its_own_in_a_peers_place(peers: dict[str, Peers]) -> None:
    """It joins a second federation of the same names, whose authority it is."""
    honest, server = Together(peers, TURN), Together(peers, TURN)
    honest.tell_keys(NAMES)
    server.tell_keys(NAMES)
    swapped = {**honest.keys["east"], "mask_key": server.keys["east"]["mask_key"]}
    honest.keys["east"] = swapped
    with pytest.raises(IdentityRefused, match="keys that east is said to mask its update with"):
        honest.share(["north"], EXAMPLES)


def test_other_keys_in_the_hospitals_own_name_are_refused(peers: dict[str, Peers]) -> None:
    one, other = Together(peers, TURN), Together(peers, TURN)
    one.tell_keys(NAMES)
    other.tell_keys(NAMES)
    one.keys["north"] = other.keys["north"]
    with pytest.raises(DisclosureRefused, match="Other keys are told of this hospital"):
        one.share(["north"], EXAMPLES)


def test_shares_that_are_not_the_senders_end_the_hospitals_round(together: Together) -> None:
    together.tell_keys(NAMES)
    together.share(NAMES, EXAMPLES)
    together.sealed["east"], together.sealed["west"] = (
        together.sealed["west"],
        together.sealed["east"],
    )
    with pytest.raises(DisclosureRefused, match=r"The shares said to be (east|west)'s are not"):
        together.update(["north"], RECEIVED, LOCAL, EXAMPLES)


def test_peers_learn_a_power_of_two_and_the_server_nothing_of_how_many_images(
    together: Together,
) -> None:
    up_to_the_update(together)
    held = together.hospitals["north"]._round.held
    assert {name: 1 << part.power for name, part in held.items()} == {
        "east": 1,
        "middle": 64,
        "north": 512,
        "south": 4,
        "west": 1024,
    }
    # As long whatever they hold: the server sees as much of 1 image as of 1000.
    lengths = {len(sealed) for each in together.sealed.values() for sealed in each.values()}
    assert len(lengths) == 1


def test_more_images_than_were_told_are_refused(together: Together) -> None:
    together.tell_keys(NAMES)
    together.share(NAMES, EXAMPLES)
    with pytest.raises(DisclosureRefused, match="more images now"):
        together.update(["north"], RECEIVED, LOCAL, EXAMPLES | {"north": 513})


def test_an_update_that_cannot_be_masked_does_not_leave(together: Together) -> None:
    together.tell_keys(NAMES)
    together.share(NAMES, EXAMPLES)
    spoiled = {**LOCAL["north"], "norm.running_mean": np.full(8, np.nan, np.float32)}
    with pytest.raises(RunConfigError, match="cannot be hidden in a sum"):
        together.update(["north"], RECEIVED, {"north": spoiled}, EXAMPLES)


def test_a_wrong_share_is_found_out_and_done_without_where_others_suffice(
    together: Together,
) -> None:
    run_round(together, NAMES, NAMES, NAMES[1:], NAMES[1:])
    right = together.total(RECEIVED)
    good = together.revealed["west"]
    together.revealed["west"] = {
        kind: dict.fromkeys(shares, b"\1" * 66) for kind, shares in good.items()
    }
    again = together.total(RECEIVED)
    assert all(np.array_equal(right[name], again[name]) for name in right)
    del together.revealed["south"]  # three are left, of which one is wrong
    with pytest.raises(JobFailed, match="cannot be taken out of the sum"):
        together.total(RECEIVED)


def test_fewer_shares_than_the_threshold_unmask_nothing(together: Together) -> None:
    run_round(together, NAMES, NAMES, NAMES, NAMES[:2])
    with pytest.raises(JobFailed, match="2 shares of its seeds, 3 of which must be right"):
        together.total(RECEIVED)
