"""What Azure ML's REST interface takes as a command job, of API version 2025-01-01-preview.

Written by its reference, `Jobs - Create Or Update`, of `CommandJob`: what is not named there, and
what the service itself sets, is refused.
"""

from __future__ import annotations

from typing import Any

from jsonschema import Draft202012Validator

WORKSPACE = (
    r"/subscriptions/[0-9a-f-]{36}/resourceGroups/[A-Za-z0-9_.()-]+/providers/"
    r"Microsoft\.MachineLearningServices/workspaces/[A-Za-z0-9_-]{3,33}"
)
_TEXT = {"type": "string", "minLength": 1}
_TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
_BINDING = {
    "type": "object",
    "properties": {
        "uri": {"type": "string", "pattern": r"^azureml://datastores/\w+/paths/\S+$"},
        "description": _TEXT,
    },
    "unevaluatedProperties": False,
}
JOB: dict[str, Any] = {
    "type": "object",
    "required": ["properties"],
    "additionalProperties": False,
    "properties": {
        "properties": {
            "type": "object",
            "required": ["jobType", "command", "environmentId"],
            "additionalProperties": False,
            "properties": {
                "jobType": {"const": "Command"},
                "command": {"type": "string", "pattern": "[A-Za-z0-9_]"},
                "environmentId": {
                    "type": "string",
                    "pattern": rf"^{WORKSPACE}/environments/[\w.-]+/versions/[\w.-]+$",
                },
                "computeId": {"type": "string", "pattern": rf"^{WORKSPACE}/computes/[\w-]+$"},
                "displayName": _TEXT,
                "experimentName": _TEXT,
                "description": _TEXT,
                "isArchived": {"type": "boolean"},
                "properties": _TEXTS,
                "tags": _TEXTS,
                "environmentVariables": _TEXTS,
                "identity": {
                    "type": "object",
                    "required": ["identityType"],
                    "additionalProperties": False,
                    "properties": {
                        "identityType": {"const": "Managed"},
                        "clientId": {"type": "string", "format": "uuid"},
                        "objectId": {"type": "string", "format": "uuid"},
                        "resourceId": _TEXT,
                    },
                },
                "inputs": {
                    "type": "object",
                    "additionalProperties": {
                        **_BINDING,
                        "required": ["jobInputType", "uri"],
                        "allOf": [
                            {
                                "properties": {
                                    "jobInputType": {"enum": ["uri_folder", "uri_file"]},
                                    "mode": {"enum": ["ReadOnlyMount", "Download", "Direct"]},
                                }
                            }
                        ],
                    },
                },
                "outputs": {
                    "type": "object",
                    "additionalProperties": {
                        **_BINDING,
                        "required": ["jobOutputType"],
                        "allOf": [
                            {
                                "properties": {
                                    "jobOutputType": {"enum": ["uri_folder", "uri_file"]},
                                    "mode": {"enum": ["ReadWriteMount", "Upload", "Direct"]},
                                }
                            }
                        ],
                    },
                },
                "limits": {
                    "type": "object",
                    "required": ["jobLimitsType"],
                    "additionalProperties": False,
                    "properties": {
                        "jobLimitsType": {"const": "Command"},
                        "timeout": {"type": "string", "pattern": r"^P(?=.)(\d+D)?(T(\d+[HMS])+)?$"},
                    },
                },
            },
        }
    },
}
_VALIDATOR = Draft202012Validator(JOB, format_checker=Draft202012Validator.FORMAT_CHECKER)


def complaints(body: Any) -> list[str]:
    """Returns what the service would not take of a job."""
    return [f"{error.json_path}: {error.message}" for error in _VALIDATOR.iter_errors(body)]
