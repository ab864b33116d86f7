"""A template's files: what its parameters are given, and the template worked out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fed_assets.azure.arm import CONTENT_VERSION, SCHEMA, Body
from fed_assets.azure.deployment import Deployment
from fed_assets.azure.template import NOBODY

PARAMETERS_SCHEMA = (
    "https://schema.management.azure.com/schemas/2019-04-01/deploymentParameters.json#"
)
OPEN = {"viewers": NOBODY}


def parameters_file(template: Mapping[str, Any]) -> Body:
    """Returns the file of parameters that goes with a template, for the consortium to fill in.

    What is still open stands there in a form that Azure refuses.
    """
    said = template["parameters"]
    wanted = [name for name in said if "defaultValue" not in said[name] or name == "hospitals"]
    return {
        "$schema": PARAMETERS_SCHEMA,
        "contentVersion": CONTENT_VERSION,
        "parameters": {
            name: {"value": said[name].get("defaultValue", OPEN.get(name, f"FILL IN: {name}"))}
            for name in wanted
        },
    }


def written(deployment: Deployment) -> Body:
    """Returns a template of one level in which every expression is worked out.

    For tools that look at templates and for people who read them; what is known after a deployment
    alone stands as `<principalId of …>`. It is not for deploying: its resources belong to several
    resource groups.
    """
    return {
        "$schema": SCHEMA,
        "contentVersion": CONTENT_VERSION,
        "resources": [
            {
                "type": each.kind,
                "name": each.name,
                "metadata": {"id": each.id, "template": each.template},
                "dependsOn": list(each.needs),
                **each.body,
            }
            for each in deployment.resources
        ],
    }
