"""Whoever owns a storage account gives a party its container, and tokens that open that one alone.

What the party works with is signed by a stored policy of the container: whoever removes the policy
revokes the token at once, without a new key for anybody else. Beside it come tokens that must open
nothing, for the attempts of an audit.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from fed_assets.containers.place import TIMES, Place, fault_of_address, read_own
from fed_assets.containers.refusals import asking
from fed_assets.errors import AccessRefused, ContainerRefused

POLICY = "fed-assets"
_RETIRED = "fed-assets-retired"
# Tokens that must not open a container to a reader, by why.
EXPIRED, REVOKED, WRITE_ONLY = DEAD = ("expired", "revoked", "write_only")


@dataclass(frozen=True)
class Issued:
    """A container, and what opens it.

    Attributes:
        own: For the party to work with.
        dead: By why they must not let anybody read: tokens for an audit to try.
    """

    own: Place
    dead: dict[str, Place]


def container_name(party: str) -> str:
    """Returns what a party's container is called: Azure takes no underscore."""
    return f"fed-assets-{party.replace('_', '-')}"


def read_key(path: Path) -> str:
    """Returns the account's key, of a file that nobody but its owner may read.

    Raises:
        ContainerRefused: Others may read it, it cannot be read, or holds no key.
    """
    key = read_own(path, _no_key).strip()
    try:
        if binascii.a2b_base64(key, strict_mode=True):
            return key
    except ValueError:
        pass
    raise _no_key(path, "no key in base64")


def issue(account_url: str, key: str, party: str, *, days: int) -> Issued:
    """Makes a party's container, if there is none, and tokens for it.

    Earlier tokens of the party end with it: their policy is replaced by a new one.

    Args:
        account_url: The account's, such as https://ACCOUNT.blob.core.windows.net.
        key: One of the account's two keys, in base64.
        party: A hospital's id, or `orchestrator`.
        days: How long the token is valid.

    Raises:
        ContainerRefused: The URL is not an account's, Azure cannot be reached, or refuses the key.
    """
    if fault := fault_of_address(account_url):
        raise ContainerRefused(
            "It cannot be told which storage account is meant",
            where="the account's URL",
            seen=fault,
            cure="Give its address alone, such as https://ACCOUNT.blob.core.windows.net: without a "
            "token, and by https unless it is on this machine",
        )
    from azure.core.credentials import AzureNamedKeyCredential
    from azure.core.exceptions import ResourceExistsError
    from azure.storage.blob import AccessPolicy, BlobServiceClient, ContainerSasPermissions

    url = f"{account_url.rstrip('/')}/{container_name(party)}"
    account = _account(account_url)
    now = datetime.now(UTC)
    policy = f"{POLICY}-{now:%Y%m%dT%H%M%S%f}"
    ends = now + timedelta(days=days)
    may = ContainerSasPermissions(read=True, write=True, create=True, delete=True, list=True)
    signed = {"account": account, "key": key, "container": container_name(party)}
    with (
        _asking_as_owner(url),
        BlobServiceClient(account_url, AzureNamedKeyCredential(account, key), **TIMES) as service,
        service.get_container_client(container_name(party)) as container,
    ):
        with suppress(ResourceExistsError):
            container.create_container()
        working = AccessPolicy(may, expiry=ends, start=now - timedelta(minutes=15))
        container.set_container_access_policy({policy: working, _RETIRED: working})
        revoked = _sign(**signed, policy_id=_RETIRED)
        container.set_container_access_policy({policy: working})
    past = now - timedelta(days=1)
    dead = {
        EXPIRED: _sign(**signed, permission=may, start=past - timedelta(days=1), expiry=past),
        REVOKED: revoked,
        WRITE_ONLY: _sign(
            **signed, permission=ContainerSasPermissions(write=True, create=True), expiry=ends
        ),
    }
    return Issued(
        Place(url, token=_sign(**signed, policy_id=policy)),
        {why: Place(url, token=token) for why, token in dead.items()},
    )


@contextmanager
def _asking_as_owner(url: str) -> Iterator[None]:
    try:
        with asking(url):
            yield
    except AccessRefused as refusal:
        raise AccessRefused(
            "Azure does not take the account's key",
            where=url,
            seen=refusal.seen,
            cure="See that --key-file holds one of this account's two keys, and that the account "
            "lets this address in and takes keys: where it takes none, parties need identities, or "
            "tokens by user delegation",
        ) from None


def _no_key(path: Path, seen: str) -> ContainerRefused:
    return ContainerRefused(
        "The account's key cannot be used",
        where=str(path),
        seen=seen,
        cure="One of the account's two keys stands there as Azure shows it, and nothing else, "
        f"readable by its owner alone: `chmod 600 {path}`",
    )


def _sign(*, account: str, key: str, container: str, **what: Any) -> str:
    from azure.storage.blob import generate_container_sas

    return str(generate_container_sas(account, container, account_key=key, **what))


def _account(account_url: str) -> str:
    """Returns an account's name: the first part of its host, or where that is ours, of its path."""
    host, _, path = account_url.partition("://")[2].partition("/")
    return path.strip("/") or host.partition(".")[0]
