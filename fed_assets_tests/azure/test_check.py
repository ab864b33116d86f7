"""The check of templates without Azure finds what Azure would refuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fed_assets.azure.arm import API_VERSIONS
from fed_assets.azure.check import require_sound, worked_out
from fed_assets.azure.evaluation import evaluate
from fed_assets.azure.functions import Place
from fed_assets.azure.name_rules import RULES
from fed_assets.errors import AzureTemplateError
from fed_assets.sandboxes.presets import SANDBOX_NAMES
from fed_assets_tests.azure.deployments import deployment, nested, resource, template

Made = dict[str, Any]
ACCOUNT = "Microsoft.Storage/storageAccounts"
CARD = "Microsoft.Network/networkInterfaces"


@pytest.mark.parametrize("name", SANDBOX_NAMES)
def test_nothing_is_found_in_what_is_written(name: str) -> None:
    assert worked_out(template(name)).findings == []
    assert len(deployment(name).resources) > 100


def undeclared_parameter(made: Made) -> None:
    resource(made, CARD)["location"] = "[parameters('region')]"


def undeclared_variable(made: Made) -> None:
    resource(nested(made), ACCOUNT, "'store'")["name"] = "[variables('shop')]"


def unused_variable(made: Made) -> None:
    made["variables"]["spare"] = "x"


def unused_parameter(made: Made) -> None:
    made["parameters"]["spare"] = {"type": "string", "defaultValue": "x"}


def parameter_of_another_type(made: Made) -> None:
    made["parameters"]["serverPort"]["defaultValue"] = "8002"


def size_that_is_not_allowed(made: Made) -> None:
    made["parameters"]["machineSize"]["defaultValue"] = "Standard_NC6"


def base_that_is_too_long(made: Made) -> None:
    made["parameters"]["base"]["defaultValue"] = "heartcenter"


def parameter_that_nobody_gives(made: Made) -> None:
    nested(made)["parameters"]["more"] = {"type": "string"}


def parameter_that_nobody_wants(made: Made) -> None:
    hospital = resource(made, "Microsoft.Resources/deployments")
    hospital["properties"]["parameters"]["more"] = {"value": "x"}


def unknown_function(made: Made) -> None:
    resource(made, CARD)["location"] = "[toLower('X')]"


def part_that_is_not_there(made: Made) -> None:
    resource(made, CARD)["location"] = "[parameters('hospitals')[0].city]"


def name_known_too_late(made: Made) -> None:
    card = resource(made, CARD)
    card["name"] = f"[reference({ID_OF_NETWORK}).name]"


def copies_without_a_copy(made: Made) -> None:
    resource(made, CARD)["tags"] = {"number": "[string(copyIndex())]"}


def too_many_copies(made: Made) -> None:
    resource(made, "Microsoft.Resources/deployments")["copy"]["count"] = 801


def id_of_what_is_not_there(made: Made) -> None:
    network = resource(made, "Microsoft.Network/virtualNetworks")
    network["properties"]["subnets"][0]["name"] = "computers"


def wait_for_what_is_not_there(made: Made) -> None:
    resource(made, CARD)["dependsOn"].append("[resourceId('Microsoft.Network/natGateways', 'x')]")


def no_wait_for_what_is_named(made: Made) -> None:
    del resource(nested(made), "Microsoft.MachineLearningServices/workspaces")["dependsOn"]


def no_wait_for_a_parent(made: Made) -> None:
    del resource(nested(made), f"{ACCOUNT}/blobServices/containers", "home")["dependsOn"]


def no_wait_for_what_a_role_is_on(made: Made) -> None:
    roles = [each for each in made["resources"] if each["type"].endswith("/roleAssignments")]
    roles[0]["dependsOn"] = []


def circle(made: Made) -> None:
    network = resource(made, "Microsoft.Network/virtualNetworks")
    network["dependsOn"].append("[resourceId('Microsoft.Compute/virtualMachines', 'server')]")


def store_with_a_dash(made: Made) -> None:
    nested(made)["variables"]["store"] = "[concat('st-', variables('letters'))]"


def vault_with_a_long_name(made: Made) -> None:
    nested(made)["variables"]["vault"] = "[concat('keyvault-', variables('dashed'))]"


def one_store_for_all(made: Made) -> None:
    nested(made)["variables"]["store"] = "[concat('st', parameters('base'))]"


def role_named_by_hand(made: Made) -> None:
    roles = [each for each in made["resources"] if each["type"].endswith("/roleAssignments")]
    roles[0]["name"] = "reader"


def one_name_for_two(made: Made) -> None:
    groups = [e for e in made["resources"] if e["type"].endswith("/networkSecurityGroups")]
    groups[0]["name"] = groups[1]["name"]


def networks_that_overlap(made: Made) -> None:
    first, second, *_ = made["parameters"]["hospitals"]["defaultValue"]
    second["network"] = first["network"]


def subnets_that_overlap(made: Made) -> None:
    network = resource(made, "Microsoft.Network/virtualNetworks")
    subnets = network["properties"]["subnets"]
    subnets[1]["properties"]["addressPrefix"] = subnets[0]["properties"]["addressPrefix"]


def subnet_outside(made: Made) -> None:
    network = resource(made, "Microsoft.Network/virtualNetworks")
    network["properties"]["subnets"][1]["properties"]["addressPrefix"] = "192.168.0.0/24"


def another_interface(made: Made) -> None:
    resource(made, CARD)["apiVersion"] = "2020-01-01"


def resource_on_a_condition(made: Made) -> None:
    resource(made, CARD)["condition"] = False


def copies_one_by_one(made: Made) -> None:
    resource(made, "Microsoft.Resources/deployments")["copy"]["mode"] = "Serial"


def group_emptied_first(made: Made) -> None:
    resource(made, "Microsoft.Resources/deployments")["properties"]["mode"] = "Complete"


def template_from_elsewhere(made: Made) -> None:
    properties = resource(made, "Microsoft.Resources/deployments")["properties"]
    properties["templateLink"] = {"uri": "https://example.com"}


def nested_in_the_outer_scope(made: Made) -> None:
    properties = resource(made, "Microsoft.Resources/deployments")["properties"]
    properties["expressionEvaluationOptions"]["scope"] = "Outer"


def parameter_with_a_limit_that_is_not_known(made: Made) -> None:
    made["parameters"]["serverPort"]["minValue"] = 1


def word_that_is_not_known(made: Made) -> None:
    resource(made, CARD)["propertys"] = {}


def template_word_that_is_not_known(made: Made) -> None:
    made["functions"] = []


ID_OF_NETWORK = "resourceId('Microsoft.Network/virtualNetworks', 'network')"


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        (undeclared_parameter, "parameters('region') is not declared"),
        (undeclared_variable, "variables('shop') is not declared"),
        (unused_variable, "variables.spare: nothing uses it"),
        (unused_parameter, "parameters.spare: nothing uses it"),
        (parameter_of_another_type, "'8002' is no int"),
        (size_that_is_not_allowed, "'Standard_NC6' is none of Standard_D4ds_v5"),
        (base_that_is_too_long, "has a length of 11, and 3 to 8 is allowed"),
        (parameter_that_nobody_gives, "parameters.more: it has no default and is not given"),
        (parameter_that_nobody_wants, "parameters.more: it is given, and not declared"),
        (unknown_function, "the function toLower is none of those that are known here"),
        (part_that_is_not_there, "there is no part 'city'"),
        (name_known_too_late, "known too late for a name"),
        (copies_without_a_copy, "copyIndex counts the copies"),
        (too_many_copies, "copies count from 0 to 800, and here 801"),
        (id_of_what_is_not_there, "/subnets/machines, and nothing is called so"),
        (wait_for_what_is_not_there, "/natGateways/x, and nothing is called so"),
        (no_wait_for_what_is_named, "and does not wait for it"),
        (no_wait_for_a_parent, "/blobServices/default, and does not wait for it"),
        (no_wait_for_what_a_role_is_on, "and does not wait for it"),
        (circle, "it waits for itself"),
        (store_with_a_dash, "st-heartnorth does not match [a-z0-9]+"),
        (vault_with_a_long_name, "characters, and 3 to 24 are allowed"),
        (one_store_for_all, "3 of Microsoft.Storage/storageAccounts would be called stheart"),
        (role_named_by_hand, "reader has 6 characters, and 36 to 36 are allowed"),
        (one_name_for_two, "2 of Microsoft.Network/networkSecurityGroups would be called"),
        (networks_that_overlap, "share addresses of 10."),
        (subnets_that_overlap, "machines and endpoints share addresses of 10."),
        (subnet_outside, "the subnet endpoints lies outside of 10."),
        (another_interface, "its interface is not 2023-11-01"),
        (resource_on_a_condition, "`condition` is not known here"),
        (copies_one_by_one, "`mode` is not known here in copy"),
        (group_emptied_first, "another mode would empty it first"),
        (template_from_elsewhere, "`templateLink` is not known here in a nested template"),
        (nested_in_the_outer_scope, "worked out in its own scope here"),
        (parameter_with_a_limit_that_is_not_known, "`minValue` is not known here of a parameter"),
        (word_that_is_not_known, "`propertys` is not known here"),
        (template_word_that_is_not_known, "`functions` is not known here"),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_a_planted_fault_is_found(spoil: Callable[[Made], None], found: str) -> None:
    made = template("eyes_off")
    spoil(made)
    told = [str(each) for each in worked_out(made).findings]
    assert any(found in each for each in told), told
    with pytest.raises(AzureTemplateError, match="would not be deployed as it stands"):
        require_sound(made)


def test_a_reference_into_another_template_is_found() -> None:
    made = template("eyes_off")
    store = "resourceId('rg-heart-north', 'Microsoft.Storage/storageAccounts', 'stheartnorth')"
    resource(made, CARD)["tags"] = {"store": f"[reference({store}).location]"}
    told = [each.what for each in worked_out(made).findings]
    assert any("which stands in another template" in each for each in told)


def test_what_two_copies_are_called_and_where_nested_ones_stand() -> None:
    told = {each.name: each for each in deployment("eyes_off").of_kind(ACCOUNT)}
    assert told["stheartnorth"].place.group == "rg-heart-north"
    assert told["stheartcoordinator"].place.group == "rg-heart-coordinator"
    assert told["stheartnorth"].template == "hospital-north"


def test_an_escaped_bracket_is_a_text() -> None:
    made: Made = {
        "resources": [],
        "outputs": {"told": {"type": "string", "value": "[[not an expression]"}},
    }
    assert evaluate(made, {}, Place("s", "t", "g")).outputs == {
        "told": {"value": "[not an expression]"}
    }


def test_every_type_has_a_version_and_a_rule_for_names_and_is_used() -> None:
    used = {each.kind for name in SANDBOX_NAMES for each in deployment(name).resources}
    assert used == set(API_VERSIONS) == set(RULES)
