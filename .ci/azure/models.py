"""Holds resources to the models of Microsoft's own packages: no unknown property, value or type.

Microsoft's JSON schemas of templates are in no package. The models of its management packages are
made from the same descriptions of each interface, newer versions of it than templates ask for.
"""

from __future__ import annotations

import datetime
import enum
import importlib
import re
import sys
import typing
from collections.abc import Iterator, Mapping
from typing import Any

_MANAGEMENT = "azure.mgmt"
_LEARNING = "azure.ai.ml._restclient.arm_ml_service.models"  # its own package is years behind
# By type, the module and the class of what is sent to make it.
MODELS = {
    "Microsoft.Authorization/roleAssignments": (
        f"{_MANAGEMENT}.authorization.v2022_04_01.models",
        "RoleAssignmentCreateParameters",
    ),
    "Microsoft.Authorization/roleDefinitions": (
        f"{_MANAGEMENT}.authorization.v2022_04_01.models",
        "RoleDefinition",
    ),
    "Microsoft.Compute/virtualMachines": (f"{_MANAGEMENT}.compute.models", "VirtualMachine"),
    "Microsoft.ContainerRegistry/registries": (
        f"{_MANAGEMENT}.containerregistry.models",
        "Registry",
    ),
    "Microsoft.Insights/components": (
        f"{_MANAGEMENT}.applicationinsights.v2020_02_02.models",
        "ApplicationInsightsComponent",
    ),
    "Microsoft.KeyVault/vaults": (
        f"{_MANAGEMENT}.keyvault.models",
        "VaultCreateOrUpdateParameters",
    ),
    "Microsoft.KeyVault/vaults/keys": (f"{_MANAGEMENT}.keyvault.models", "KeyCreateParameters"),
    "Microsoft.MachineLearningServices/workspaces": (_LEARNING, "Workspace"),
    "Microsoft.MachineLearningServices/workspaces/computes": (_LEARNING, "ComputeResource"),
    "Microsoft.MachineLearningServices/workspaces/datastores": (_LEARNING, "Datastore"),
    "Microsoft.ManagedIdentity/userAssignedIdentities": (
        f"{_MANAGEMENT}.msi.v2024_11_30.models",
        "Identity",
    ),
    "Microsoft.Network/loadBalancers": (f"{_MANAGEMENT}.network.models", "LoadBalancer"),
    "Microsoft.Network/natGateways": (f"{_MANAGEMENT}.network.models", "NatGateway"),
    "Microsoft.Network/networkInterfaces": (f"{_MANAGEMENT}.network.models", "NetworkInterface"),
    "Microsoft.Network/networkSecurityGroups": (
        f"{_MANAGEMENT}.network.models",
        "NetworkSecurityGroup",
    ),
    "Microsoft.Network/privateDnsZones": (f"{_MANAGEMENT}.privatedns.models", "PrivateZone"),
    "Microsoft.Network/privateDnsZones/A": (f"{_MANAGEMENT}.privatedns.models", "RecordSet"),
    "Microsoft.Network/privateDnsZones/virtualNetworkLinks": (
        f"{_MANAGEMENT}.privatedns.models",
        "VirtualNetworkLink",
    ),
    "Microsoft.Network/privateEndpoints": (f"{_MANAGEMENT}.network.models", "PrivateEndpoint"),
    "Microsoft.Network/privateEndpoints/privateDnsZoneGroups": (
        f"{_MANAGEMENT}.network.models",
        "PrivateDnsZoneGroup",
    ),
    "Microsoft.Network/privateLinkServices": (
        f"{_MANAGEMENT}.network.models",
        "PrivateLinkService",
    ),
    "Microsoft.Network/publicIPAddresses": (f"{_MANAGEMENT}.network.models", "PublicIPAddress"),
    "Microsoft.Network/serviceEndpointPolicies": (
        f"{_MANAGEMENT}.network.models",
        "ServiceEndpointPolicy",
    ),
    "Microsoft.Network/virtualNetworks": (f"{_MANAGEMENT}.network.models", "VirtualNetwork"),
    "Microsoft.OperationalInsights/workspaces": (f"{_MANAGEMENT}.loganalytics.models", "Workspace"),
    "Microsoft.Storage/storageAccounts": (
        f"{_MANAGEMENT}.storage.models",
        "StorageAccountCreateParameters",
    ),
    "Microsoft.Storage/storageAccounts/blobServices": (
        f"{_MANAGEMENT}.storage.models",
        "BlobServiceProperties",
    ),
    "Microsoft.Storage/storageAccounts/blobServices/containers": (
        f"{_MANAGEMENT}.storage.models",
        "BlobContainer",
    ),
    "Microsoft.Storage/storageAccounts/managementPolicies": (
        f"{_MANAGEMENT}.storage.models",
        "ManagementPolicy",
    ),
}
# What every resource of a template may say beside its model.
OF_TEMPLATE = {"type", "apiVersion", "name", "dependsOn", "metadata"}
PLAIN = {"str": str, "bool": bool, "int": int, "float": float}
AS_TEXT = (bytes, datetime.timedelta, datetime.datetime)  # what JSON writes as one
OPEN = {"VirtualMachineSizeTypes"}  # Microsoft's list of it ended years ago


def strangers(resource: Mapping[str, Any]) -> Iterator[str]:
    """Yields what a resource says that its model does not know: where, and what."""
    kind = resource["type"]
    if kind == "Microsoft.Resources/deployments":
        return
    module, name = MODELS[kind]
    model = getattr(importlib.import_module(module), name)
    said = {key: value for key, value in resource.items() if key not in OF_TEMPLATE}
    yield from _against(said, model, kind)


def _against(value: Any, kind: Any, where: str) -> Iterator[str]:
    kind = _wanted(kind, value)
    if kind is None or kind is Any or getattr(kind, "__name__", "") in OPEN:
        return
    if kind in AS_TEXT:
        kind = str
    if kind is float and type(value) is int:
        return
    origin, inside = typing.get_origin(kind), typing.get_args(kind)
    if origin in (list, dict):
        if not isinstance(value, origin):
            yield f"{where}: {value!r} is no {origin.__name__}"
            return
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _against(each, inside[-1], f"{where}[{key}]")
    elif isinstance(kind, type) and issubclass(kind, enum.Enum):
        allowed = {str(each.value).lower() for each in kind}
        if str(value).lower() not in allowed:
            yield f"{where}: {value!r} is none of {', '.join(sorted(allowed))}"
    elif isinstance(kind, type) and kind in PLAIN.values():
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            yield f"{where}: {value!r} is no {kind.__name__}"
    elif isinstance(kind, type):
        yield from _against_model(value, kind, where)


def _wanted(kind: Any, value: Any) -> Any:
    """Returns the type that counts: an enumeration rather than the text that it also allows."""
    if typing.get_origin(kind) is not typing.Union:
        return kind
    choices = [each for each in typing.get_args(kind) if each is not type(None)]
    enums = [each for each in choices if isinstance(each, type) and issubclass(each, enum.Enum)]
    return (enums or [each for each in choices if type(value) is each] or choices)[0]


def _against_model(value: Any, model: type, where: str) -> Iterator[str]:
    if not isinstance(value, Mapping):
        yield f"{where}: {value!r} is no {model.__name__}"
        return
    model = _by_discriminator(model, value)
    fields = _fields(model)
    for key, each in value.items():
        if key not in fields:
            yield f"{where}.{key}: {model.__name__} knows no such property"
        elif fields[key] == "read":
            yield f"{where}.{key}: it is Azure's to say"
        else:
            yield from _against(each, fields[key], f"{where}.{key}")


def _by_discriminator(model: Any, value: Mapping[str, Any]) -> Any:
    for field, kinds in getattr(model, "_subtype_map", {}).items():
        name = getattr(model, "_attribute_map", {}).get(field, {}).get("key", field)
        if value.get(name) in kinds:
            return getattr(sys.modules[model.__module__], kinds[value[name]])
    for name in ("computeType", "datastoreType", "credentialsType"):
        if value.get(name) in getattr(model, "__mapping__", {}):
            return model.__mapping__[value[name]]
    return model


def _fields(model: Any) -> dict[str, Any]:
    """Returns by name in the interface what a property holds, or `read` where one only reads it."""
    if "_ours" in vars(model):
        return dict(model._ours)
    if hasattr(model, "_attribute_map"):
        return _older_fields(model)
    found: dict[str, Any] = {}
    for each in reversed(model.__mro__):
        fields = {n: f for n, f in vars(each).items() if type(f).__name__ == "_RestField"}
        if not fields:
            continue
        space = {**vars(sys.modules[each.__module__])}
        space["_models"] = sys.modules[each.__module__.rpartition(".")[0]]
        for name, field in fields.items():
            own = type("Own", (), {"__annotations__": {name: each.__annotations__[name]}})
            read_only = field._visibility == ["read"]
            kind = "read" if read_only else typing.get_type_hints(own, space)[name]
            found[field._rest_name_input or name] = kind
    return found


def _older_fields(model: Any) -> dict[str, Any]:
    """Returns the same of a model of the older form, which flattens what lies in `properties`."""
    space = vars(sys.modules[model.__module__.rpartition(".")[0]])
    found: dict[str, Any] = {}
    nested: dict[str, dict[str, Any]] = {}
    validation = getattr(model, "_validation", {})
    for name, said in model._attribute_map.items():
        read_only = validation.get(name, {}).get("readonly", False)
        kind = "read" if read_only else _older_kind(said["type"], space)
        outer, dot, inner = said["key"].replace("\\.", "\0").partition(".")
        if dot:
            nested.setdefault(outer, {})[inner.replace("\0", ".")] = kind
        else:
            found[outer.replace("\0", ".")] = kind
    for outer, fields in nested.items():
        found[outer] = type(f"{model.__name__}.{outer}", (), {"_ours": fields})
    return found


def _older_kind(text: str, space: Mapping[str, Any]) -> Any:
    if inside := re.fullmatch(r"\[(.*)\]", text):
        return list[_older_kind(inside[1], space)]
    if inside := re.fullmatch(r"\{(.*)\}", text):
        return dict[str, _older_kind(inside[1], space)]
    return PLAIN.get(text) or space.get(text)
