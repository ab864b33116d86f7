"""Azure's grammar of secure key release: which claims evidence must make for a key to be given out.

    {"version": "1.0.0",
     "anyOf": [{"authority": "https://…",
                "allOf": [{"claim": "x-ms-isolation-tee.x-ms-attestation-type",
                           "equals": "sevsnpvm"}, …]}]}

A condition is a claim, `{"claim", "equals"}`, or again `allOf` or `anyOf` of conditions; dots lead
into claims. What is not in the grammar, or would hold of anything, is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from fed_assets.errors import KeyRefused

VERSION = "1.0.0"
_MISSING = "nothing"


@dataclass(frozen=True)
class Unmet:
    """A condition that does not hold: the claim, what the policy wants, and what was claimed."""

    claim: str
    wanted: str
    seen: str


def unmet(policy: Mapping[str, Any], claims: Mapping[str, Any]) -> list[Unmet]:
    """Returns every condition that keeps a key from being released; empty, it may be.

    Args:
        policy: The key's release policy.
        claims: What evidence claims whose signature was verified, `iss` among it.

    Raises:
        KeyRefused: The policy is not in the grammar.
    """
    _require_keys(policy, {"version", "anyOf"})
    if policy["version"] != VERSION:
        raise _broken(f"version {policy['version']}")
    fewest = None
    for branch in _conditions(policy["anyOf"]):
        _require_one(branch, beside={"authority"})
        authority = _text(branch["authority"]).rstrip("/")
        issuer = _text(claims.get("iss", _MISSING)).rstrip("/")
        found = [] if authority == issuer else [Unmet("iss", authority, issuer)]
        rest = {name: each for name, each in branch.items() if name != "authority"}
        found += _unmet(rest, claims)
        if fewest is None or len(found) < len(fewest):
            fewest = found
    return fewest or []


def _unmet(condition: Mapping[str, Any], claims: Mapping[str, Any]) -> list[Unmet]:
    if "claim" in condition:
        _require_keys(condition, {"claim", "equals"})
        claim, wanted = _text(condition["claim"]), _text(condition["equals"])
        seen = _claimed(claim, claims)
        return [] if seen == wanted else [Unmet(claim, wanted, seen)]
    _require_one(condition)
    if "allOf" in condition:
        each = [_unmet(inner, claims) for inner in _conditions(condition["allOf"])]
        return [failed for found in each for failed in found]
    return min((_unmet(inner, claims) for inner in _conditions(condition["anyOf"])), key=len)


def _claimed(claim: str, claims: Mapping[str, Any]) -> str:
    value: Any = claims
    for part in claim.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return _MISSING
        value = value[part]
    if not isinstance(value, str | bool | int):
        return f"a {type(value).__name__}"
    return _text(value)


def _text(value: object) -> str:
    """Returns a value as it is compared: the grammar writes `false` and "false" alike."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int):
        return str(value)
    raise _broken(f"a {type(value).__name__} where a text belongs")


def _conditions(listed: object) -> Sequence[Mapping[str, Any]]:
    if not isinstance(listed, list) or not listed:
        raise _broken("an empty list of conditions, which would hold of anything")
    if not all(isinstance(each, Mapping) for each in listed):
        raise _broken("a condition that is no object")
    return listed


def _require_one(condition: Mapping[str, Any], *, beside: Set[str] = frozenset()) -> None:
    """Refuses what does not hold exactly one of `allOf` and `anyOf`."""
    if set(condition) not in ({"allOf"} | beside, {"anyOf"} | beside):
        raise _broken(f"a condition of {', '.join(sorted(condition)) or 'nothing'}")


def _require_keys(found: Mapping[str, Any], wanted: set[str]) -> None:
    if not isinstance(found, Mapping) or set(found) != wanted:
        raise _broken(f"not exactly {' and '.join(sorted(wanted))}")


def _broken(fault: str) -> KeyRefused:
    return KeyRefused(
        "The release policy cannot be used",
        seen=fault,
        cure="Approve the code again with `fed-assets approve-code`, which writes the policy",
    )
