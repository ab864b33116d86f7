"""How hospitals keep their files in a sandbox, and where: what each of their processes is told."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fed_assets.resources.home import COORDINATOR, Home
from fed_assets.sandboxes.controls import KeyCustody
from fed_assets.sandboxes.sandbox import Sandbox


def kept(home: Home, sandbox: Sandbox, hospital: str) -> dict[str, Any]:
    """Returns one hospital's store, how files are kept there, and which counts stay in it."""
    place: dict[str, Any] = {
        "store": str(home.store(hospital, sandbox.name)),
        "storage": str(sandbox.storage),
        "key_custody": str(sandbox.key_custody),
        "suppress_below": sandbox.suppressed_below,
    }
    if sandbox.key_custody in (KeyCustody.HOSPITAL, KeyCustody.ATTESTED):
        place["key_file"] = str(home.key_file(hospital, sandbox.name))
    if sandbox.key_custody is KeyCustody.ATTESTED:
        place["approval"] = str(home.approval(hospital, sandbox.name))
    if sandbox.key_custody is KeyCustody.AZURE_KEY_VAULT:
        place["vault_key"] = sandbox.vault_key(hospital)
    if home.on_containers:
        place["container"] = str(home.container(hospital))
    return place


def kept_by_all(home: Home, sandbox: Sandbox, hospitals: Iterable[str]) -> dict[str, Any]:
    """Returns the fields of a federation's plan that say it of all its hospitals."""
    places = {name: kept(home, sandbox, name) for name in hospitals}
    return {
        "stores": {name: place["store"] for name, place in places.items()},
        "revocations": str(home.revocations),
        "storage": str(sandbox.storage),
        "key_custody": str(sandbox.key_custody),
        "suppress_below": sandbox.suppressed_below,
        "update_protection": sandbox.protection.as_record(),
        "key_files": {
            name: place["key_file"] for name, place in places.items() if "key_file" in place
        },
        "approvals": {
            name: place["approval"] for name, place in places.items() if "approval" in place
        },
        "vault_keys": {
            name: place["vault_key"] for name, place in places.items() if "vault_key" in place
        },
        "containers": {
            name: place["container"] for name, place in places.items() if "container" in place
        },
    }


def identity_of(home: Home, sandbox: Sandbox, names: Iterable[str], peer: str) -> dict[str, Any]:
    """Returns the first line that a worker is sent: whom it acts for, and what it may show."""
    places = {name: kept(home, sandbox, name) for name in names}
    if COORDINATOR in places:
        places[COORDINATOR]["suppress_below"] = 0  # the coordinator's images are open
    return {"hospitals": places, "previews": sandbox.previews, "peer": peer}
