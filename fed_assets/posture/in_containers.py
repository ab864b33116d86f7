"""Attempts on the containers that back stores: by who runs the federation, and by hospitals.

Each is made on Azure's own refusal, with real credentials: those of the orchestrator, those of
another hospital, and the hospital's own that ended, were revoked, or may only write.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import cache
from typing import Any

from fed_assets.containers.container import Container
from fed_assets.containers.intruding import intrude
from fed_assets.containers.issuing import EXPIRED, REVOKED, WRITE_ONLY
from fed_assets.containers.place import Place
from fed_assets.posture.evidence import Attempt, Probe
from fed_assets.posture.ladders import AT_REST
from fed_assets.posture.target import Target, together

_WAYS = ("read", "list", "write")
_DEAD = {
    EXPIRED: "Reads, lists and writes in each hospital's container by a token that has expired.",
    REVOKED: "Reads, lists and writes in each hospital's container by a token that was revoked.",
    WRITE_ONLY: "Reads and lists each hospital's container by a token that may only write.",
}


def probes_in_containers(targets: Sequence[Target], own: Place) -> list[Probe]:
    """Returns the probes of the ladder `at_rest` on hospitals' containers.

    Args:
        targets: The hospitals' processes; the store of each is backed by a container.
        own: The orchestrator's container, and what opens that.
    """
    doors = [each.container for each in targets if each.container is not None]
    knocked = cache(lambda: [_at_next(targets, number) for number in range(len(targets))])
    used = cache(lambda: [each.ask("use_dead_tokens") for each in targets])
    by_tokens = bool(doors) and all(each["by_token"] for each in doors)
    return [
        Probe(
            "open_hospitals_containers",
            AT_REST,
            1,
            "Reads, lists and writes in each hospital's container as the orchestrator.",
            lambda: together(_let(intrude(own, each["url"], each["name"])) for each in doors),
            lambda: _let(_in_open(own)),
        ),
        Probe(
            "open_anothers_container",
            AT_REST,
            1,
            "Reads, lists and writes in a hospital's container as another hospital.",
            lambda: together(map(_let, knocked())),
            lambda: _all_let(each["control"] for each in knocked()),
        ),
        # An identity is never a token that somebody could have copied.
        *(
            Probe(f"use_{why}_token", AT_REST, 1, tries, _used(used, why), _controls(used, why))
            for why, tries in (_DEAD.items() if by_tokens else ())
        ),
    ]


def _at_next(targets: Sequence[Target], number: int) -> Mapping[str, Any]:
    """Returns how far one hospital's credential opens the next hospital's container.

    Raises:
        ValueError: There is no other hospital, or no container backs its store.
    """
    other = targets[(number + 1) % len(targets)]
    if other is targets[number] or other.container is None:
        raise ValueError("there was no other's container to try it on")
    url, name = other.container["url"], other.container["name"]
    return targets[number].ask("knock", url=url, name=name)


def _in_open(own: Place) -> dict[str, bool]:
    """Returns the same of the orchestrator's own container, in which something is put for it."""
    name = f"probe-{secrets.token_hex(8)}"
    with closing(Container(own)) as container:
        etag = container.write(name, b"open").etag
        try:
            return intrude(own, own.url, name)
        finally:
            container.remove(name, etag)


def _let(answer: Mapping[str, bool]) -> Attempt:
    counts = {way: int(answer[way]) for way in _WAYS}
    return Attempt(any(counts.values()), counts)


def _all_let(answers: Any) -> Attempt:
    made = [_let(answer) for answer in answers]
    whole = all(all(each.counts.values()) for each in made)
    return Attempt(bool(made) and whole, together(made).counts)


def _used(answers: Callable[[], list[Mapping[str, Any]]], why: str) -> Callable[[], Attempt]:
    return lambda: together(Attempt(each[why], {"let": int(each[why])}) for each in answers())


def _controls(answers: Callable[[], list[Mapping[str, Any]]], why: str) -> Callable[[], Attempt]:
    def control() -> Attempt:
        let = [bool(each["control"][why]) for each in answers()]
        return Attempt(bool(let) and all(let), {"hospitals": len(let), "let": sum(let)})

    return control
