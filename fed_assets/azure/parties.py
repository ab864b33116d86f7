"""Who has a part of the deployment: the coordinator and each hospital, by their names in Azure."""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass

COORDINATOR = "coordinator"
MOST_SHORT = 12  # a vault's name has 24 characters at most, "kv-" and a base of eight among them
BASE = re.compile(r"[a-z][a-z0-9]{2,7}")
REGION = re.compile(r"[a-z]+[a-z0-9]*")
_BLOCKS = 2**14  # networks of a /22 each in 10.0.0.0/8
_FIRST = int(ipaddress.IPv4Address("10.0.0.0"))
_SIZE = 1024


@dataclass(frozen=True)
class Party:
    """One of them.

    Attributes:
        id: a hospital's id in the roster, or `coordinator`.
        short: what its resources are called by; at most twelve lower-case letters, digits and `-`.
        key: the name of its key, which is its id with a `-` for each `_`.
        network: the addresses of its network, such as `10.57.148.0/22`; nobody else's overlap.
    """

    id: str
    short: str
    key: str
    network: str


def parties(hospitals: Iterable[str]) -> tuple[Party, ...]:
    """Returns the coordinator and then each hospital, in the roster's order.

    A party's names come from its own id alone: another place in the roster, or another hospital
    that joined or left, must not hand one hospital's store to the next. So do its addresses, unless
    another's fall on the same: then the later id's are the next free ones.
    """
    ids = (COORDINATOR, *hospitals)
    blocks: dict[int, str] = {}
    for name in sorted(ids):
        block = _digest(name) % _BLOCKS
        while block in blocks:  # one in 350 rosters of ten
            block = (block + 1) % _BLOCKS
        blocks[block] = name
    found = {name: f"{ipaddress.IPv4Address(_FIRST + n * _SIZE)}/22" for n, name in blocks.items()}
    return tuple(Party(name, _short(name), name.replace("_", "-"), found[name]) for name in ids)


def _short(name: str) -> str:
    """Returns the id with dashes, where a vault may be called so."""
    dashed = name.replace("_", "-")
    fits = len(dashed) <= MOST_SHORT and "--" not in dashed and not dashed.endswith("-")
    return dashed if fits else f"{name.replace('_', '')[:5]}-{_digest(name) % 16**6:06x}"


def _digest(name: str) -> int:
    return int(hashlib.sha256(name.encode()).hexdigest(), 16)
