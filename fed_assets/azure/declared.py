"""The parameters and variables of templates: each declares what its resources use, and no other."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from fed_assets.azure.arm import Body, template

PORT = 8002
# Microsoft's own in the region East US: nobody of the consortium can change what it attests.
ATTESTATION = "https://sharedeus.eus.attest.azure.net"

_NAMES = "variables('letters')"
VARIABLES: Mapping[str, str] = {
    "short": "[parameters('short')]",
    "letters": "[concat(parameters('base'), replace(variables('short'), '-', ''))]",
    "dashed": "[concat(parameters('base'), '-', variables('short'))]",
    "key": "[parameters('key')]",
    "store": f"[concat('st', {_NAMES})]",
    "workspaceStore": f"[concat('sw', {_NAMES})]",
    "registry": f"[concat('cr', {_NAMES})]",
    "vault": "[concat('kv-', variables('dashed'))]",
    "workspaceVault": "[concat('kw-', variables('dashed'))]",
    "workspace": "[concat('mlw-', variables('dashed'))]",
    "machine": "[concat('id-', variables('dashed'))]",
    "storeIdentity": "[concat('id-', variables('dashed'), '-store')]",
    "workspaceIdentity": "[concat('id-', variables('dashed'), '-workspace')]",
}

PARAMETERS: Mapping[str, Mapping[str, Any]] = {
    "base": {
        "type": "string",
        "minLength": 3,
        "maxLength": 8,
        "metadata": {
            "description": "Begins every name that must be unique in all of Azure: lower-case "
            "letters and digits. A vault that was deleted keeps its name for 90 days: take "
            "another base then."
        },
    },
    "location": {"type": "string", "metadata": {"description": "The party's region."}},
    "short": {"type": "string", "metadata": {"description": "What its resources are called by."}},
    "key": {"type": "string", "metadata": {"description": "The name of its key in its vault."}},
    "network": {
        "type": "string",
        "metadata": {"description": "The addresses of its network, a /22."},
    },
    "hospitals": {
        "type": "array",
        "metadata": {"description": "The roster: of each hospital what is its own."},
    },
    "officers": {
        "type": "string",
        "metadata": {
            "description": "Object id of the group of the hospital's people who put its images "
            "into its store and, where it has a workspace, start its jobs."
        },
    },
    "officerAddresses": {
        "type": "array",
        "metadata": {
            "description": "Public addresses from which they put images there: [{value: ADDRESS, "
            "action: Allow}]."
        },
    },
    "viewers": {
        "type": "string",
        "metadata": {
            "description": "Object id of the group of people who may look at hospitals' images."
        },
    },
    "viewerAddresses": {
        "type": "array",
        "metadata": {
            "description": "Public addresses from which they do: [{value: ADDRESS, action: Allow}]."
        },
    },
    "serverPort": {
        "type": "int",
        "defaultValue": PORT,
        "metadata": {"description": "The roster's `federation.port`."},
    },
    "attestation": {
        "type": "string",
        "defaultValue": ATTESTATION,
        "metadata": {
            "description": "The attestation service whose word releases keys: the shared one of "
            "the region."
        },
    },
    "machineSize": {"type": "string", "metadata": {"description": "The size of machines."}},
    "machineImage": {
        "type": "string",
        "metadata": {
            "description": "Id of the image that virtual machines start from, in which fed_assets "
            "is installed and starts by itself: they reach no package index."
        },
    },
    "adminKey": {
        "type": "string",
        "metadata": {"description": "The public SSH key that Azure wants for every machine."},
    },
    "coordinator": {
        "type": "string",
        "metadata": {"description": "The coordinator's principal, who may submit jobs."},
    },
    "dropStore": {
        "type": "string",
        "metadata": {"description": "Id of the store in which the hospital has its drop box."},
    },
    "serverService": {
        "type": "string",
        "metadata": {"description": "Id of the service that the federation's server is behind."},
    },
}


def declared_template(
    resources: Iterable[Body],
    *,
    outputs: Mapping[str, str],
    parameters: Mapping[str, Mapping[str, Any]] | None = None,
    variables: Mapping[str, str] | None = None,
) -> Body:
    """Returns a template that declares what its resources use.

    Args:
        resources: what it deploys.
        outputs: by name, text values.
        parameters: what its parameters say beyond `PARAMETERS`.
        variables: what takes the place of `VARIABLES`.
    """
    bodies = list(resources)
    known = dict(VARIABLES) | dict(variables or {})
    used = set(_used("variables", [bodies, dict(outputs)]))
    while more := set(_used("variables", [known[name] for name in used])) - used:
        used |= more
    chosen = {name: value for name, value in known.items() if name in used}
    asked = set(_used("parameters", [bodies, dict(outputs), chosen]))
    more_said = parameters or {}
    return template(
        bodies,
        parameters={
            name: {**said, **more_said.get(name, {})}
            for name, said in PARAMETERS.items()
            if name in asked
        },
        variables=chosen,
        outputs={name: {"type": "string", "value": value} for name, value in outputs.items()},
    )


def _used(what: str, part: object) -> list[str]:
    """Returns the names of parameters or variables in a template, but for what is nested in it."""
    if isinstance(part, Mapping):
        if "$schema" in part:
            return []
        return [name for each in part.values() for name in _used(what, each)]
    if isinstance(part, list):
        return [name for each in part for name in _used(what, each)]
    return re.findall(rf"{what}\('(\w+)'\)", json.dumps(part))
