"""Three ladders, from 0 to 4: how far data are protected at rest, in transit and in use.

A level counts only if every probe up to it was made and passed. What no probe was made for is not
reached: the ladder ends below it. There is no average, and no ladder stands for another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fed_assets.posture.evidence import Evidence, Outcome
from fed_assets.sandboxes.controls import (
    JobCode,
    Process,
    Storage,
    Transport,
    UpdateProtection,
)

AT_REST, IN_TRANSIT, IN_USE = "at_rest", "in_transit", "in_use"
# What each level means, from 0 on.
LADDERS = {
    AT_REST: (
        "whoever runs the federation reads hospitals' data",
        "he is kept from it",
        "it is encrypted; the key is within his reach, or several hospitals share it",
        "each hospital has a key of its own, out of his reach; what is changed, moved or another "
        "hospital's is refused",
        "the key is released to code and machine that hardware vouches for alone",
    ),
    IN_TRANSIT: (
        "what hospitals send can be read or rewritten on the way",
        "it is encrypted, for whoever answers",
        "the server proves who it is",
        "both sides prove who they are; wrong certificates and tampering are refused",
        "moreover by TLS 1.3 alone, a copied certificate is found out, and one can be revoked",
    ),
    IN_USE: (
        "whoever runs the federation reads hospitals' memory",
        "he is kept from it, and sees each hospital's update",
        "what he sees of one hospital's update tells little of a single image",
        "he sees no hospital's update, but their sum alone",
        "memory is encrypted, and hardware vouches for it",
    ),
}
HIGHEST = 4
# In the place of a rung: what is measured beside the ladder, and no level depends on.
BESIDE = 0


@dataclass(frozen=True)
class Standing:
    """How high a sandbox stands on one ladder.

    Attributes:
        ladder: The ladder.
        level: The level that it reached.
        means: What that level means.
        why: Why it is not one higher: the probes that did not pass, or that there is none.
    """

    ladder: str
    level: int
    means: str
    why: str


def standings(evidence: Iterable[Evidence]) -> dict[str, Standing]:
    """Returns how high a sandbox stands on each ladder."""
    known = list(evidence)
    return {ladder: _standing(ladder, known) for ladder in LADDERS}


def _standing(ladder: str, evidence: Iterable[Evidence]) -> Standing:
    level, why = 0, ""
    for rung in range(1, HIGHEST + 1):
        made = [each for each in evidence if (each.ladder, each.rung) == (ladder, rung)]
        missed = [f"{each.probe} {each.outcome}" for each in made if each.outcome != Outcome.PASSED]
        if missed or not made:
            why = ", ".join(missed) or f"no probe was made for level {rung}"
            break
        level = rung
    return Standing(ladder, level, LADDERS[ladder][level], why)


# What is promised of an update, where hospitals' memory is kept from who runs the federation. To
# clip it bounds how far it moves the model, and hides nothing of what it says.
_IN_USE: Mapping[str, int] = {
    UpdateProtection.DIFFERENTIAL_PRIVACY: 2,
    UpdateProtection.SECURE_AGGREGATION: 3,
    UpdateProtection.HOMOMORPHIC_ENCRYPTION: 3,
}


def promised(controls: Mapping[str, str]) -> dict[str, int]:
    """Returns the least level of each ladder that a sandbox's controls promise.

    Args:
        controls: Their values, of `Sandbox.controls`.
    """
    confined = controls["process"] == Process.CONFINED
    sealed = controls["storage"] == Storage.SEALED
    # Without walls, whoever runs the federation is the user who owns the key files.
    at_rest = (3 if confined else 2) if sealed else int(confined)
    # Whoever may submit code reads from inside what the walls keep him from.
    kept_out = confined and controls["job_code"] != JobCode.SUBMITTED
    in_use = _IN_USE.get(controls["update_protection"], 1) if kept_out else 0
    return {
        AT_REST: at_rest,
        IN_TRANSIT: 3 if controls["transport"] == Transport.MTLS else 0,
        IN_USE: in_use,
    }
