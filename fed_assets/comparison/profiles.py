"""Weight profiles: how much each group of criteria, and each criterion within it, weighs for whom.

The shipped ones stand in profiles.yaml. A user's own file has the same form, and is read strictly.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from fed_assets.comparison.criteria import OF_SANDBOXES
from fed_assets.comparison.criterion import GROUPS, Criterion
from fed_assets.comparison.forms import is_number
from fed_assets.errors import ProfileError
from fed_assets.sandboxes.yaml_file import read_entries

ENTRIES = ("groups", "criteria", "reasons", "source")
LONGEST_NAME = 40  # letters, which a phone's page and a picture still hold
MOST_WEIGHT = 1_000_000  # far from where sums of weights lose the small ones, or overflow
IN_GROUP = {
    group: tuple(each.name for each in OF_SANDBOXES if each.group == group) for group in GROUPS
}


@dataclass(frozen=True)
class Profile:
    """What weighs how much for one kind of reader.

    Attributes:
        name: its name.
        groups: weight of each group; their sum is 1.
        criteria: weight of each criterion within its group, by group; their sum is 1 in each.
        reasons: why, for a person to read.
        source: what was published on it; empty where there is none.
    """

    name: str
    groups: Mapping[str, float]
    criteria: Mapping[str, Mapping[str, float]]
    reasons: str = ""
    source: str = ""

    def weights_of(self, measured: Iterable[Criterion]) -> dict[str, float]:
        """Returns the weight of each measured criterion, with a sum of 1.

        A group keeps its weight, shared among those of its criteria that were measured; the weight
        of a group of which none was goes to the others. The sum is 0 where nothing that the profile
        weighs was measured.
        """
        names = [each.name for each in measured]
        shares = {group: self.shares_of(group, names) for group in GROUPS}
        left = sum(self.groups[group] for group in GROUPS if any(shares[group].values()))
        return {
            name: self.groups[group] * share / left if left else 0.0
            for group in GROUPS
            for name, share in shares[group].items()
        }

    def shares_of(self, group: str, names: Sequence[str]) -> dict[str, float]:
        """Returns the weights within a group of its criteria among these, with a sum of 1 or 0."""
        known = {name: of for name, of in self.criteria[group].items() if name in names}
        total = sum(known.values())
        return {name: of / total if total else 0.0 for name, of in known.items()}

    def weighs_like(self, other: Profile) -> bool:
        """Returns whether everything weighs in it what it weighs in the other."""
        return (self.groups, self.criteria) == (other.groups, other.criteria)

    def as_record(self) -> dict[str, Any]:
        """Returns it as JSON-ready values."""
        return {
            "name": self.name,
            "groups": dict(self.groups),
            "criteria": {group: dict(of) for group, of in self.criteria.items()},
            "reasons": self.reasons,
            "source": self.source,
        }


def shipped_profiles() -> dict[str, Profile]:
    """Returns the profiles that come with fed_assets, by name."""
    text = resources.files(__package__).joinpath("profiles.yaml").read_text(encoding="utf-8")
    return profiles_from(yaml.safe_load(text), where="profiles.yaml")


def read_profiles(path: Path) -> dict[str, Profile]:
    """Returns the profiles of a file of the form of profiles.yaml, by name.

    Raises:
        ProfileError: the file cannot be read, one of them cannot be used, or has the name of a
            shipped one and other weights.
    """
    entries = read_entries(
        path, what="The file of weight profiles", variable="--profiles", error_class=ProfileError
    )
    found, shipped = profiles_from(entries, where=str(path)), shipped_profiles()
    for name, profile in found.items():
        if name in shipped and not profile.weighs_like(shipped[name]):
            raise ProfileError(
                "A profile of your own has the name of a shipped one, and other weights",
                where=str(path),
                seen=name,
                cure=f"Give it another name, such as our_{name}, or the weights of profiles.yaml.",
            )
    return found


def profiles_from(entries: Mapping[str, Any], *, where: str) -> dict[str, Profile]:
    """Returns the profiles that a file of the form of profiles.yaml holds, by name.

    Args:
        entries: the file's entries.
        where: how messages name the file.

    Raises:
        ProfileError: one of them cannot be used; the message names it, and what was seen.
    """
    if not entries:
        raise ProfileError("There is no profile", where=where, seen="no entries")
    return {name: _profile(name, entry, where) for name, entry in entries.items()}


def _profile(name: str, entry: Any, where: str) -> Profile:
    here = f"{where}, {name}"
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or len(name) > LONGEST_NAME:
        raise ProfileError(
            f"The name of a profile is of at most {LONGEST_NAME} small letters, digits and "
            "underscores, a letter first",
            where=where,
            seen=f"{name!r}, of {len(name)}",
            cure="Give it another name, such as our_hospital.",
        )
    _known(entry, ENTRIES, "entry of a profile", here)
    groups = _weights(entry.get("groups"), GROUPS, "group", f"{here}, groups")
    within = entry.get("criteria") or {}
    _known(within, GROUPS, "group", f"{here}, criteria")
    for group in within:
        if not groups[group]:
            raise ProfileError(
                "Criteria are weighed within a group that weighs nothing",
                where=f"{here}, criteria",
                seen=group,
                cure="Give the group a weight above 0, or leave its criteria out.",
            )
    criteria = {
        group: _weights(within[group], names, "criterion", f"{here}, criteria, {group}")
        if group in within
        else {each: 1 / len(names) for each in names}
        for group, names in IN_GROUP.items()
    }
    texts = {key: entry.get(key) or "" for key in ("reasons", "source")}
    for key, text in texts.items():
        if not isinstance(text, str):
            raise ProfileError(f"The {key} of a profile are no text", where=here, seen=repr(text))
    return Profile(name, groups, criteria, **texts)


def _known(entry: Any, allowed: Sequence[str], what: str, where: str) -> None:
    if not isinstance(entry, Mapping):
        raise ProfileError(
            "There are no entries where there have to be some",
            where=where,
            seen=type(entry).__name__,
            cure="Write `name: value` for each; profiles.yaml shows how.",
        )
    for name in entry:
        if name not in allowed:
            raise ProfileError(
                f"There is no {what} of this name",
                where=where,
                seen=repr(name),
                cure=f"Write one of {', '.join(allowed)}.",
            )


def _weights(entry: Any, allowed: Sequence[str], what: str, where: str) -> dict[str, float]:
    """Returns the weight of each allowed name, with a sum of 1; one that is not named weighs 0."""
    _known(entry, allowed, what, where)
    for name, weight in entry.items():
        # Of what is no number (nan), neither holds.
        if not is_number(weight) or not 0 <= weight <= MOST_WEIGHT:
            raise ProfileError(
                f"The weight of a {what} is a number from 0 to {MOST_WEIGHT:,}",
                where=f"{where}, {name}",
                seen=repr(weight),
                cure="Write how much it counts beside the others, such as 2; 0 leaves it out.",
            )
    total = sum(map(float, entry.values()))
    if total <= 0:
        raise ProfileError(
            f"No {what} weighs anything",
            where=where,
            seen="all weights are 0",
            cure=f"Give at least one of {', '.join(allowed)} a weight above 0.",
        )
    return {name: entry.get(name, 0) / total for name in allowed}
