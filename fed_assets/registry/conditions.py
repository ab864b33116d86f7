"""The gates that compare no figures: the sandbox kept its word, budget, quorum, the same data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fed_assets.registry.gate import EPSILON, POSTURE, QUORUM, ROUNDING, SAME_DATA, Gate, Terms
from fed_assets.registry.version import ModelVersion

# What of a network's config says what it takes in.
INPUTS = ("spatial_dims", "in_shape", "img_size", "n_input_channels", "in_channels", "num_channels")


def posture_kept(version: ModelVersion, posture: Mapping[str, Any] | None, terms: Terms) -> Gate:
    """Judges the last attempts on the sandbox: made, of the same controls, and withstood.

    The rule by which updates meet is not among them: a roster may refine it.
    """
    sandbox = version.sandbox
    cure = f"run `fed-assets posture {sandbox}`, then `fed-assets run {sandbox} --job deployment`"
    limit = "kept its word"
    if not terms.require_posture:
        return Gate(POSTURE, True, None, None, "the roster does not ask for it")
    if posture is None:
        said = f"the sandbox was never attacked; {cure}"
        return Gate(POSTURE, False, "never attacked", limit, said)
    changed = [
        f"{name} was {value} and is {version.controls.get(name)}"
        for name, value in posture["controls"].items()
        if name != "aggregation" and version.controls.get(name) != value
    ]
    if changed:
        said = f"the sandbox was attacked with other controls ({', '.join(changed)}); {cure}"
        return Gate(POSTURE, False, "other controls", limit, said)
    if not posture["keeps_its_word"]:
        said = f"the sandbox did not keep its word: {'; '.join(posture['shortfalls'])}"
        return Gate(POSTURE, False, "did not keep its word", limit, said)
    said = (
        "the last attempts on the sandbox came to what its controls declare: what one of them has "
        "to withstand failed, and what none does may have succeeded"
    )
    return Gate(POSTURE, True, limit, limit, said)


def epsilon(version: ModelVersion) -> Gate:
    """Judges what each participant has spent of its images' privacy budget."""
    budget, spent = version.epsilon_budget, version.epsilon
    if budget is None or spent is None:
        return Gate(EPSILON, True, None, None, "privacy is not differential in this sandbox")
    untold = [name for name in version.participants if spent.get(name) is None]
    told = {name: value for name, value in spent.items() if value is not None}
    most = max(told, key=lambda name: told[name], default=None)
    over = {name: value for name, value in told.items() if value > budget + ROUNDING}
    faults = [
        f"{name} spent {value:.2f} of {budget:g}, {value - budget:.2f} too much"
        for name, value in over.items()
    ]
    faults += [f"{name} does not tell what it spent" for name in untold]
    said = "; ".join(faults)
    if not faults and most is not None:
        said = f"{most} spent most: {told[most]:.2f} of {budget:g}"
    return Gate(EPSILON, not faults, told[most] if most else None, budget, said or "nobody spent")


def quorum(version: ModelVersion) -> Gate:
    """Judges whether every hospital of the roster was there in every round."""
    absent = len(version.absent)
    whole = len(version.participants) + sum(
        name not in version.participants for name in version.absent
    )
    said = f"all {whole} hospitals took part in every round, and were tested"
    if absent:
        said = f"{absent} of {whole} hospitals: {'; '.join(version.absent.values())}"
    return Gate(QUORUM, not absent, whole - absent, whole, said, waivable=True)


def same_data(version: ModelVersion, champion: ModelVersion | None) -> Gate:
    """Judges whether both look at the same kind of image, and name the same classes."""
    if champion is None:
        return Gate(SAME_DATA, True, None, None, "there is no champion to compare with")
    own, other = _kind(version), _kind(champion)
    differs = [
        f"{name} is {own[name]}, and {other[name]} in version {champion.version}"
        for name in own
        if name in other and own[name] != other[name]
    ]
    said = "; ".join(differs) or f"images and classes are as in version {champion.version}"
    return Gate(SAME_DATA, not differs, "other" if differs else "the same", "the same", said)


def _kind(version: ModelVersion) -> dict[str, Any]:
    network = {
        f"the network's {name}": version.network[name] for name in INPUTS if name in version.network
    }
    return {
        "classes": ", ".join(version.classes),
        "channels": version.channels,
        "image_size": version.image_size,
        **network,
    }
