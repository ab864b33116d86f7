"""Expressions of the template language, read into trees and worked out."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from fed_assets.azure.expressions import Call, Fault, Literal, Member, read
from fed_assets.azure.functions import FUNCTIONS, OF_TEMPLATE, Later, Place, call
from fed_assets.sandboxes.presets import SANDBOX_NAMES
from fed_assets_tests.azure.deployments import template

PLACE = Place("11111111-1111-1111-1111-111111111111", "tenant", "rg-one")
GROUP = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups"


def test_calls_parts_texts_and_numbers_become_a_tree() -> None:
    node = read("[concat('it''s ', parameters('hospitals')[copyIndex()].short, -3)]")
    hospitals = Call("parameters", (Literal("hospitals"),))
    assert node == Call(
        "concat",
        (
            Literal("it's "),
            Member(Member(hospitals, Call("copyIndex", ())), Literal("short")),
            Literal(-3),
        ),
    )


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[concat('a']", "the end where `,`"),
        ("[concat('a' 'b')]", "`'b'` where `,`"),
        ("[parameters('a').]", "the end where a name"),
        ("[parameters('a'))]", "`)` where the end"),
        ("[variables['a']]", "`[` where `(`"),
        ("['a]", "where a name"),
        ("[]", "the end where a name"),
    ],
)
def test_what_is_not_well_formed_is_refused_where_it_breaks(text: str, found: str) -> None:
    with pytest.raises(Fault, match=re.escape(found)):
        read(text)


@pytest.mark.parametrize(
    ("name", "given", "result"),
    [
        ("concat", ["kv-", "north"], "kv-north"),
        ("concat", [["a"], [], ["b", "c"]], ["a", "b", "c"]),
        ("replace", ["east-end", "-", ""], "eastend"),
        ("length", [["a", "b"]], 2),
        ("string", [8002], "8002"),
        ("base64", ["key"], "a2V5"),
        ("cidrSubnet", ["10.1.4.0/22", 24, 2], "10.1.6.0/24"),
        (
            *("resourceId", ["Microsoft.KeyVault/vaults/keys", "kv", "store"]),
            f"{GROUP}/rg-one/providers/Microsoft.KeyVault/vaults/kv/keys/store",
        ),
        (
            *("resourceId", ["rg-two", "Microsoft.KeyVault/vaults", "kv"]),
            f"{GROUP}/rg-two/providers/Microsoft.KeyVault/vaults/kv",
        ),
        (
            *("extensionResourceId", ["/x", "Microsoft.Authorization/roleAssignments", "g"]),
            "/x/providers/Microsoft.Authorization/roleAssignments/g",
        ),
    ],
)
def test_functions_do_what_azures_do(name: str, given: list[Any], result: Any) -> None:
    assert call(name, given, PLACE) == result


def test_a_guid_is_the_same_each_time_and_another_for_another_seed() -> None:
    one = call("guid", ["a", "b"], PLACE)
    assert one == call("guid", ["a", "b"], PLACE) == "2d796349-8c7e-55ec-9624-54ece82ed031"
    assert one != call("guid", ["a", "c"], PLACE)


@pytest.mark.parametrize(
    ("name", "given", "found"),
    [
        ("uniqueString", ["a"], "the function uniqueString is none of those"),
        ("concat", ["a", 1], "1 is no text"),
        ("string", [True], "a number or a text is wanted"),
        ("length", [Later("/x", "items")], "known after the deployment alone"),
        ("cidrSubnet", ["10.1.4.0/22", 24, 4], "cidrSubnet does not take"),
        ("cidrSubnet", ["10.1.4.1/22", 24, 0], "has host bits set"),
        ("resourceId", ["Microsoft.KeyVault/vaults", "kv", "store"], "wants 1 names, and has 2"),
        ("resourceId", ["kv"], "is given no type"),
        ("resourceGroup", ["x"], "resourceGroup does not take"),
    ],
)
def test_what_a_function_does_not_take_is_refused(name: str, given: list[Any], found: str) -> None:
    with pytest.raises(Fault, match=re.escape(found)):
        call(name, given, PLACE)


def test_what_is_known_later_says_so_in_any_text_that_it_becomes_part_of() -> None:
    later = Later("/x").part("ipConfigurations").part(0).part("address")
    assert (later.resource, later.path) == ("/x", "ipConfigurations[0].address")
    assert call("concat", ["https://", later], PLACE) == (
        "https://<ipConfigurations[0].address of /x>"
    )


def test_only_the_functions_that_templates_use_are_known() -> None:
    written = "".join(json.dumps(template(name)) for name in SANDBOX_NAMES)
    used = set(re.findall(r"\b([a-zA-Z]\w*)\(", " ".join(re.findall(r"\"\[(.*?)\]\"", written))))
    assert used - {"CopyIndex"} == set(FUNCTIONS) | set(OF_TEMPLATE)
