from __future__ import annotations

from pathlib import Path

import pytest

from fed_assets.comparison.criteria import OF_SANDBOXES, criteria_of
from fed_assets.comparison.criterion import GROUPS
from fed_assets.comparison.profiles import (
    IN_GROUP,
    LONGEST_NAME,
    profiles_from,
    read_profiles,
    shipped_profiles,
)
from fed_assets.errors import ProfileError
from fed_assets.sandboxes.yaml_file import read_entries

GROUPS_ALIKE = dict.fromkeys(GROUPS, 1)


def test_the_shipped_profiles_give_their_reasons() -> None:
    shipped = shipped_profiles()
    assert list(shipped) == ["clinician", "security_officer", "operations", "equal"]
    for profile in shipped.values():
        assert len(profile.reasons) > 40
        assert sum(profile.groups.values()) == pytest.approx(1)
        assert sum(profile.weights_of(OF_SANDBOXES).values()) == pytest.approx(1)
    assert [name for name, each in shipped.items() if not each.source] == ["operations"]


@pytest.mark.parametrize(
    "name, group",
    [("clinician", "quality"), ("security_officer", "security"), ("operations", "efficiency")],
)
def test_each_shipped_profile_weighs_its_own_matter_most(name: str, group: str) -> None:
    groups = shipped_profiles()[name].groups
    assert max(groups, key=lambda each: groups[each]) == group


def test_equal_means_equal_groups_and_equal_criteria_within() -> None:
    weights = shipped_profiles()["equal"].weights_of(OF_SANDBOXES)
    for names in IN_GROUP.values():
        for name in names:
            assert weights[name] == pytest.approx(0.25 / len(names))


def test_a_group_keeps_its_weight_when_one_of_its_criteria_was_not_measured() -> None:
    profile = shipped_profiles()["operations"]
    measured = [each for each in OF_SANDBOXES if each.name not in ("energy_joules", "cost")]
    weights = profile.weights_of(measured)
    assert "cost" not in weights
    efficiency = sum(weights[n] for n in IN_GROUP["efficiency"] if n in weights)
    assert efficiency == pytest.approx(0.5)
    assert weights["wall_seconds"] / weights["cpu_seconds"] == pytest.approx(25 / 15)


def test_a_group_that_was_not_measured_at_all_leaves_its_weight_to_the_others() -> None:
    profile = shipped_profiles()["equal"]
    weights = profile.weights_of([each for each in OF_SANDBOXES if each.group != "security"])
    assert sum(weights[n] for n in IN_GROUP["quality"]) == pytest.approx(1 / 3)


def test_nothing_measured_of_what_a_profile_weighs_weighs_nothing() -> None:
    mine = profiles_from({"mine": {"groups": {"quality": 1}}}, where="mine.yaml")["mine"]
    assert sum(mine.weights_of(criteria_of(["wall_seconds"])).values()) == 0


def test_a_users_own_profile_is_brought_to_a_sum_of_1() -> None:
    entries = {"mine": {"groups": {"quality": 3, "effort": 1}, "criteria": {"quality": {"f1": 7}}}}
    mine = profiles_from(entries, where="mine.yaml")["mine"]
    assert mine.groups == {"efficiency": 0, "security": 0, "quality": 0.75, "effort": 0.25}
    assert mine.weights_of(OF_SANDBOXES)["f1"] == 0.75
    assert mine.weights_of(OF_SANDBOXES)["auroc"] == 0


@pytest.mark.parametrize(
    "entry, what, where",
    [
        (None, "no entries", "mine.yaml, mine"),
        ({}, "no entries", "mine.yaml, mine, groups"),
        ({"groups": [1, 2]}, "no entries", "mine.yaml, mine, groups"),
        ({"groups": {"speed": 1}}, "no group of this name", "mine.yaml, mine, groups"),
        ({"weights": GROUPS_ALIKE}, "no entry of a profile of this name", "mine.yaml, mine"),
        ({"groups": {"quality": -1, "effort": 2}}, "number from 0 to", "groups, quality"),
        ({"groups": {"quality": "much"}}, "number from 0 to", "groups, quality"),
        ({"groups": {"quality": True}}, "number from 0 to", "groups, quality"),
        ({"groups": {"quality": float("nan")}}, "number from 0 to", "groups, quality"),
        # Their sum would be infinite, and each share of it 0.
        ({"groups": {"quality": 1e308, "effort": 1e308}}, "to 1,000,000", "groups, quality"),
        ({"groups": {"quality": 10**400}}, "to 1,000,000", "groups, quality"),
        ({"groups": dict.fromkeys(GROUPS, 0)}, "No group weighs anything", "mine, groups"),
        (
            {"groups": GROUPS_ALIKE, "criteria": {"quality": {"beauty": 1}}},
            "no criterion of this name",
            "mine.yaml, mine, criteria, quality",
        ),
        (
            {"groups": GROUPS_ALIKE, "criteria": {"quality": {"wall_seconds": 1}}},
            "no criterion of this name",  # it is one of efficiency
            "criteria, quality",
        ),
        (
            {"groups": GROUPS_ALIKE, "criteria": {"quality": {"f1": 0}}},
            "No criterion weighs anything",
            "criteria, quality",
        ),
        (
            {"groups": {"quality": 1}, "criteria": {"effort": {"setup_seconds": 1}}},
            "within a group that weighs nothing",
            "mine, criteria",
        ),
        ({"groups": GROUPS_ALIKE, "reasons": 3}, "are no text", "mine.yaml, mine"),
    ],
)
def test_a_profile_that_cannot_be_used_is_refused_with_a_cure(entry, what, where) -> None:
    with pytest.raises(ProfileError) as refused:
        profiles_from({"mine": entry}, where="mine.yaml")
    assert what in refused.value.what or what in refused.value.what.lower()
    assert refused.value.where.endswith(where)
    assert refused.value.cure


def test_a_name_that_would_not_fit_a_file_or_a_page_is_refused() -> None:
    with pytest.raises(ProfileError, match="small letters"):
        profiles_from({"My profile!": {"groups": GROUPS_ALIKE}}, where="mine.yaml")
    longest = "w" * LONGEST_NAME
    assert list(profiles_from({longest: {"groups": GROUPS_ALIKE}}, where="mine.yaml")) == [longest]
    with pytest.raises(ProfileError, match=f"at most {LONGEST_NAME} small.*of {LONGEST_NAME + 1}"):
        profiles_from({longest + "w": {"groups": GROUPS_ALIKE}}, where="mine.yaml")
    with pytest.raises(ProfileError, match="There is no profile"):
        profiles_from({}, where="mine.yaml")


def test_the_name_of_a_shipped_profile_goes_with_its_weights_alone(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("equal: {groups: {efficiency: 1, security: 100}}")
    with pytest.raises(ProfileError, match=r"Seen: equal\. To mend it: .* such as our_equal"):
        read_profiles(file)
    # A copy of a shipped one may stand beside a user's own.
    alike = "{efficiency: 2, security: 2, quality: 2, effort: 2}"
    file.write_text(f"equal: {{groups: {alike}}}\nother: {{groups: {{quality: 1}}}}")
    assert list(read_profiles(file)) == ["equal", "other"]


def test_a_users_file_that_names_a_weight_twice_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("mine:\n  groups:\n    quality: 1\n    quality: 2\n")
    with pytest.raises(ProfileError, match=r"line 4\. Seen: quality stands there twice"):
        read_entries(
            file, what="The profiles", variable="FED_ASSETS_PROFILES", error_class=ProfileError
        )
