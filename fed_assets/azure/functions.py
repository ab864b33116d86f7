"""The functions of Azure's template language that our templates use; any other is refused."""

from __future__ import annotations

import base64
import ipaddress
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fed_assets.azure.expressions import Fault

# Azure's own: its guid() is a UUID of version 5 in this namespace, of its texts joined by dashes.
_GUIDS = uuid.UUID("11fb06fb-712d-4ddd-98c7-e71bbd588830")


@dataclass(frozen=True)
class Place:
    """Where a template is deployed."""

    subscription: str
    tenant: str
    group: str

    @property
    def subscription_id(self) -> str:
        """The id of the subscription, as a resource."""
        return f"/subscriptions/{self.subscription}"

    @property
    def group_id(self) -> str:
        """The id of the resource group."""
        return f"{self.subscription_id}/resourceGroups/{self.group}"


class Later(str):
    """What is known once `resource` is deployed: its property `path`. As a text it says so."""

    resource: str
    path: str

    def __new__(cls, resource: str, path: str = "") -> Later:
        """Returns it."""
        text = super().__new__(cls, f"<{path or 'state'} of {resource}>")
        text.resource, text.path = resource, path
        return text

    def part(self, name: str | int) -> Later:
        """Returns a part of it."""
        step = f"[{name}]" if isinstance(name, int) else f".{name}"
        return Later(self.resource, f"{self.path}{step}".lstrip("."))


def call(name: str, arguments: list[Any], place: Place) -> Any:
    """Returns what a function makes of its arguments.

    Raises:
        Fault: there is no such function here, or it does not take these arguments.
    """
    if name not in FUNCTIONS:
        raise Fault(
            f"the function {name} is none of those that are known here: {', '.join(FUNCTIONS)}"
        )
    try:
        return FUNCTIONS[name](arguments, place)
    except Fault:
        raise
    except (TypeError, ValueError, IndexError, AttributeError) as error:
        raise Fault(f"{name} does not take {arguments!r}: {error}") from None


def _texts(arguments: list[Any]) -> list[str]:
    for each in arguments:
        if not isinstance(each, str):
            raise TypeError(f"{each!r} is no text")
    return arguments


def _concat(arguments: list[Any], _: Place) -> Any:
    if arguments and all(isinstance(each, list) for each in arguments):
        return [part for each in arguments for part in each]
    return "".join(_texts(arguments))


def _guid(arguments: list[Any], _: Place) -> str:
    return str(uuid.uuid5(_GUIDS, "-".join(_texts(arguments))))


def _string(arguments: list[Any], _: Place) -> str:
    (value,) = arguments
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise TypeError("a number or a text is wanted")
    return str(value)


def _replace(arguments: list[Any], _: Place) -> str:
    whole, old, new = _texts(arguments)
    return whole.replace(old, new)


def _length(arguments: list[Any], _: Place) -> int:
    (value,) = arguments
    if isinstance(value, Later):
        raise TypeError("it is known after the deployment alone")
    return len(value)


def _base64(arguments: list[Any], _: Place) -> str:
    (text,) = _texts(arguments)
    return base64.b64encode(text.encode()).decode()


def _cidr_subnet(arguments: list[Any], _: Place) -> str:
    network, prefix, index = arguments
    return str(list(ipaddress.IPv4Network(network).subnets(new_prefix=prefix))[index])


def joined_id(kind: str, names: list[str]) -> str:
    """Returns what stands behind `providers/` in an id.

    >>> joined_id("Microsoft.KeyVault/vaults/keys", ["kv-north", "store"])
    'Microsoft.KeyVault/vaults/kv-north/keys/store'

    Raises:
        Fault: the type has more or fewer parts than there are names.
    """
    provider, *types = kind.split("/")
    if len(types) != len(names):
        raise Fault(f"the type {kind} wants {len(types)} names, and has {len(names)}: {names}")
    return "/".join([provider, *(part for pair in zip(types, names, strict=True) for part in pair)])


def _resource_id(arguments: list[Any], place: Place) -> str:
    texts = _texts(arguments)
    kind = next((n for n, each in enumerate(texts) if "." in each and "/" in each), None)
    if kind is None or kind > 1:
        raise Fault(f"resourceId is given no type: {texts}")
    group = texts[0] if kind else place.group
    root = f"{place.subscription_id}/resourceGroups/{group}"
    return f"{root}/providers/{joined_id(texts[kind], texts[kind + 1 :])}"


def _of_subscription(arguments: list[Any], place: Place) -> str:
    kind, *names = _texts(arguments)
    return f"{place.subscription_id}/providers/{joined_id(kind, names)}"


def _of_extension(arguments: list[Any], _: Place) -> str:
    extended, kind, *names = _texts(arguments)
    return f"{extended}/providers/{joined_id(kind, names)}"


def _group(arguments: list[Any], place: Place) -> Mapping[str, str]:
    () = arguments
    return {"id": place.group_id, "name": place.group}


def _subscription(arguments: list[Any], place: Place) -> Mapping[str, str]:
    () = arguments
    return {
        "id": place.subscription_id,
        "subscriptionId": place.subscription,
        "tenantId": place.tenant,
    }


FUNCTIONS: Mapping[str, Callable[[list[Any], Place], Any]] = {
    "base64": _base64,
    "cidrSubnet": _cidr_subnet,
    "concat": _concat,
    "extensionResourceId": _of_extension,
    "guid": _guid,
    "length": _length,
    "replace": _replace,
    "resourceGroup": _group,
    "resourceId": _resource_id,
    "string": _string,
    "subscription": _subscription,
    "subscriptionResourceId": _of_subscription,
}
# These look at the template itself, see `evaluation`.
OF_TEMPLATE = ("parameters", "variables", "copyIndex", "reference")
