"""Attempts that only a hospital's own process can make, by credentials that it alone has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fed_assets.containers.intruding import clear_intruders, intrude
from fed_assets.containers.issuing import DEAD, WRITE_ONLY
from fed_assets.containers.place import read_place
from fed_assets.errors import RunConfigError
from fed_assets.hospital.backed import blob_prefix
from fed_assets.hospital.canary import FOLDER, OBJECT
from fed_assets.hospital.files import Store


def knock(arguments: Mapping[str, Any], store: Store) -> dict[str, Any]:
    """Returns whether the hospital's credential opens another's container; `control` is its own.

    Args:
        arguments: `url`, the other's container, and `name`, of a file in it.
        store: The hospital's, with a canary that was put away.

    Raises:
        ContainerRefused: Azure cannot be reached.
    """
    own = read_place(_container(store))
    return {
        **intrude(own, str(arguments["url"]), str(arguments["name"])),
        "control": intrude(own, own.url, _canary(store)),
    }


def use_dead_tokens(_: Any, store: Store) -> dict[str, Any]:
    """Returns which dead tokens of the hospital's let anybody do what none of them may.

    That is to read or list, and but for the one that may only write, to write. `control` is what
    the hospital's own token lets it do, and of the one that may only write, whether that does.

    Raises:
        ContainerRefused: Azure cannot be reached, or there is no such token.
    """
    container = _container(store)
    own = read_place(container)
    allowed = all(intrude(own, own.url, _canary(store)).values())
    told: dict[str, Any] = {"control": dict.fromkeys(DEAD, allowed)}
    try:
        for why in DEAD:
            dead = read_place(container.with_name(f"{container.stem}.{why}{container.suffix}"))
            let = intrude(dead, own.url, _canary(store))
            if why == WRITE_ONLY:
                told["control"][why] = allowed and let.pop("write")
            told[why] = any(let.values())
    finally:
        clear_intruders(own)
    return told


TASKS: Mapping[str, Callable[[Any, Store], dict[str, Any]]] = {
    "knock": knock,
    "use_dead_tokens": use_dead_tokens,
}


def _canary(store: Store) -> str:
    return f"{blob_prefix(store)}{FOLDER}/{OBJECT}"


def _container(store: Store) -> Path:
    if store.container is None:
        raise RunConfigError(
            "No container backs the store", cure="Set FED_ASSETS_STORAGE=blob, and ask again"
        )
    return store.container
