"""Probes of a small federation: what passes between its sites, who joins it, whose code it runs.

One is as the sandbox says, and one is in clear and runs what is submitted. Both run beside each
other, each in a process of its own, with one hospital that sends canaries. What is tried on the
sandbox's own is tried on the clear one too, where it must succeed; who must be refused knocks
beside somebody who must be answered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fed_assets.federation.origin import Origin
from fed_assets.posture.evidence import Attempt, Evidence, Probe, gather
from fed_assets.posture.ladders import IN_TRANSIT, IN_USE
from fed_assets.posture.submitting import OWN_CODE, UNLISTED_CLASS
from fed_assets.posture.transit_notes import Observed
from fed_assets.posture.transit_runs import GUARDED, OPEN, canary_plan, observe_all
from fed_assets.sandboxes.controls import JobCode, Transport
from fed_assets.sandboxes.sandbox import Sandbox


@dataclass(frozen=True)
class Tried:
    """A probe of this ladder, and where its control is found.

    Attributes:
        rung: Its rung.
        name: Its name.
        tries: What the attacker tries.
        in_clear: The attempt on the clear federation that must succeed; empty if there is none.
        beside: Whether there is a control at the sandbox's own federation.
        everywhere: Whether it must fail on the clear federation, too.
        ladder: Its ladder.
    """

    rung: int
    name: str
    tries: str
    in_clear: str = ""
    beside: bool = False
    everywhere: bool = False
    ladder: str = IN_TRANSIT


def _on_the_way(rung: int, name: str, tries: str, *, beside: bool = False) -> Tried:
    return Tried(rung, name, tries, in_clear=name, beside=beside)


def _at_the_hospital(name: str, tries: str) -> Tried:
    # Code that runs in a hospital's process reads what that holds: it is read as memory is.
    return Tried(1, name, tries, in_clear=name, ladder=IN_USE)


def _at_the_door(rung: int, name: str, tries: str) -> Tried:
    return Tried(rung, name, tries, beside=True)


_POSES = "Answers a hospital in the server's place, with a certificate of another federation"
_JOINS = {
    "without_certificate": "without a certificate",
    "self_signed": "with a certificate that it signed itself",
    "expired": "with a certificate that has expired",
    "with_another_hospitals": "with another hospital's certificate",
    "in_plain": "in plain text",
    "with_another_federations": "with a certificate of another federation",
}
PROBES = (
    _on_the_way(1, "read_the_wire", "Finds weights, names and metrics in what passes"),
    _on_the_way(2, "pose_as_server", _POSES, beside=True),
    *(
        _at_the_door(3, f"join_{what}", f"Joins under a hospital's name {how}")
        for what, how in _JOINS.items()
    ),
    _on_the_way(3, "flip_a_bit", "Flips one bit of what a hospital sends"),
    _on_the_way(3, "rewrite_an_update", "Turns an update into its negative, digest and all"),
    _at_the_door(4, "speak_tls_1_2", "Speaks TLS 1.2 with the server"),
    _on_the_way(4, "use_a_copied_kit", "Logs in with a copy of a hospital's kit"),
    Tried(
        4,
        "join_revoked",
        "Logs in with the kit of a hospital that was revoked",
        in_clear="use_a_copied_kit",
        everywhere=True,
    ),
    _at_the_hospital(OWN_CODE, "Submits a job that brings code along, and looks whether it ran"),
    _at_the_hospital(
        UNLISTED_CLASS, "Submits a job that names a class which hospitals have not allowed"
    ),
)


def transit_evidence(
    sandbox: Sandbox, folder: Path, origin: Origin | None, identity: Mapping[str, Any]
) -> list[Evidence]:
    """Returns what the probes of a federation show of a sandbox.

    Args:
        sandbox: Whose transport and job code are probed.
        folder: Absolute path of a folder of the probes' own, which may not exist yet. Logs stay in
            it; private keys do not.
        origin: Where processes come from; if left out, a template of their own.
        identity: As whom, and with which versions; stands in each piece of evidence.

    Raises:
        ProcessNotStarted: A process could not be started.
        StorageError: The folder cannot be written.
    """
    plans = {
        "sandbox": canary_plan(sandbox, folder / "sandbox", sandbox.transport),
        "clear": canary_plan(sandbox, folder / "clear", Transport.CLEAR, JobCode.SUBMITTED),
    }
    modes = {"sandbox": GUARDED, "clear": OPEN}
    observe_all({name: (plan, modes[name]) for name, plan in plans.items()}, folder, origin)
    return evidence_of(Observed(folder / "sandbox"), Observed(folder / "clear"), identity)


def evidence_of(own: Observed, clear: Observed, identity: Mapping[str, Any]) -> list[Evidence]:
    """Returns what was observed as evidence.

    Args:
        own: What was tried on the sandbox's own federation.
        clear: What was tried on a clear one, which lets copied kits and any code in.
        identity: As whom, and with which versions.
    """
    return [_evidence(tried, own, clear, identity) for tried in PROBES]


def _evidence(
    tried: Tried, own: Observed, clear: Observed, identity: Mapping[str, Any]
) -> Evidence:
    attempts = [("attempt", own, tried.name)]
    if tried.everywhere:
        attempts.append(("attempt", clear, tried.name))
    controls = [("control", own, tried.name)] if tried.beside else []
    if tried.in_clear:
        controls.append(("attempt", clear, tried.in_clear))

    def attempt() -> Attempt:
        made = [seen.look_up(kind, name) for kind, seen, name in attempts]
        return Attempt(any(each.succeeded for each in made), made[0].counts)

    def control() -> Attempt:
        made = [seen.look_up(kind, name) for kind, seen, name in controls]
        return Attempt(all(each.succeeded for each in made), made[-1].counts)

    probe = Probe(tried.name, tried.ladder, tried.rung, tried.tries, attempt, control)
    took = sum(seen.seconds(kind, name) for kind, seen, name in [*attempts, *controls])
    return replace(gather(probe, identity), seconds=round(took, 3))
