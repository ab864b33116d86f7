"""What Azure's clients raise, as one message that never holds a token."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fed_assets.errors import AccessRefused, ContainerRefused

if TYPE_CHECKING:
    from azure.core.exceptions import AzureError


@contextmanager
def asking(url: str) -> Iterator[None]:
    """Turns what Azure's clients raise into one message, which never holds a token.

    Raises:
        ContainerRefused: What it was.
        AccessRefused: Azure does not let the party.
    """
    from azure.core.exceptions import AzureError

    try:
        yield
    except AzureError as error:
        raise _refusal(error, url) from None


def _refusal(error: AzureError, url: str) -> ContainerRefused:
    from azure.core.exceptions import ClientAuthenticationError, HttpResponseError

    status, code = getattr(error, "status_code", None), error_code(error)
    kind = ContainerRefused
    seen = " ".join(str(each) for each in (type(error).__name__, status, code) if each)
    stays = "; what was to be put there lies on this machine, and the next task puts it there"
    if code in ("ContainerNotFound", "ContainerBeingDeleted", "ContainerDisabled"):
        what, cure = "The container is gone", f"Make it again{stays}"
    elif status in (401, 403) or isinstance(error, ClientAuthenticationError):
        # Where a stored policy signs the token, it is gone together with its container.
        kind, what = (
            AccessRefused,
            "Azure does not let this party do that, or the container is gone",
        )
        cure = AccessRefused.cure.rstrip(".") + stays
    elif isinstance(error, HttpResponseError) and status:
        what, cure = "Azure's storage does not answer as it should", f"Run again later{stays}"
    else:
        what, cure = "Azure's storage cannot be reached", f"Look at network and address{stays}"
    return kind(what, where=url, seen=seen, cure=cure)


def error_code(error: AzureError) -> str:
    """Returns Azure's own name of an error; nothing where it has none."""
    code = getattr(error, "error_code", "") or ""
    return str(getattr(code, "value", code))
