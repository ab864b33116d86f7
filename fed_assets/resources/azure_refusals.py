"""What Azure answers instead of doing what it was asked, in words that show no secret.

Its own texts are not passed on: they may hold addresses with signatures, or the end of a job's log.
"""

from __future__ import annotations

import re

from azure.core.exceptions import AzureError, ClientAuthenticationError

from fed_assets.errors import CloudRefused

_CODE = re.compile(r"[A-Za-z0-9_.]{1,60}")
_CURES = {
    401: "Log in anew: by `az login`, or by the AZURE_ variables of a service principal or managed "
    "identity; a container's token may have expired",
    403: "Have the hospital grant this identity `AzureML Data Scientist` in its workspace, and "
    "`Storage Blob Data Contributor` on the container of its messages, or issue a new token",
    404: "Correct the hospital's `azure_ml` in the roster: subscription, resource_group, "
    "workspace, compute, environment, messages",
    429: "Wait, or have the hospital's subscription's limit raised; the request was repeated as "
    "often as Azure asked for",
}


def refused(error: AzureError, hospital: str, what: str, came: str = "") -> CloudRefused:
    """Returns what an error of Azure's clients means.

    Args:
        error: The error.
        hospital: Whose machine was asked for.
        what: What it was asked for, as a noun.
        came: What became of it, if anything.
    """
    status = getattr(error, "status_code", None)
    if status is None and isinstance(error, ClientAuthenticationError):
        status = 401
    seen = [f"status {status}" if status else type(error).__name__]
    code = getattr(error, "error_code", None) or getattr(
        getattr(error, "error", None), "code", None
    )
    if isinstance(code, str) and _CODE.fullmatch(code):
        seen.append(code)
    said = f"Azure refused {what}" if status else f"Azure gave no answer to {what}"
    return CloudRefused(
        "; ".join(filter(None, [said, came])),
        where=f"hospital {hospital}",
        seen=", ".join(seen),
        cure=_CURES.get(status or 0, ""),
    )
