"""Attempts on updates by whoever runs the server: he has kept all that hospitals sent him.

The same attempts are made on what the same hospitals send where they protect nothing, and have to
succeed there. How many images hospitals have, how long they learn and by which recipe and network,
suits the attempts: a server may ask for that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

from fed_assets.federation.origin import Origin
from fed_assets.posture.canary_pictures import (
    INVERTED_ROUND,
    MEMBERS_ROUND,
    ROUNDS,
    members_and_others,
    single,
)
from fed_assets.posture.evidence import Attempt, Evidence, Probe, gather
from fed_assets.posture.kept import Kept
from fed_assets.posture.ladders import BESIDE, IN_USE
from fed_assets.posture.transit_notes import Observed
from fed_assets.posture.update_attacks import inverted, likeness, sums, told_apart
from fed_assets.posture.update_runs import OPEN, OWN, observe, opened, update_plan
from fed_assets.sandboxes.controls import UpdateProtection
from fed_assets.sandboxes.sandbox import Sandbox

RECOVER = "recover_an_update_at_the_server"
OF_ONE_UPDATE = INVERT, TELL = "invert_first_layer", "tell_members"
OF_THE_SUM = INVERT_SUM, TELL_SUM = "invert_first_layer_of_the_sum", "tell_members_by_the_sum"
# From here on it is the update or the picture; chance reaches 0.03 and 0.3.
LIKENESS, CORRELATION = 0.95, 0.7
# Below that, a loss tells little of whether an image was learned from: of two images, one of which
# was, it picks the right one in fewer than 3 of 4 cases, where a coin does in 2.
AUC = 0.75
Made = Callable[[Kept], Attempt]


def update_evidence(
    sandbox: Sandbox, folder: Path, origin: Origin | None, identity: Mapping[str, Any]
) -> list[Evidence]:
    """Returns what can be made of the updates of a sandbox's hospitals, and of their sum.

    Args:
        sandbox: Whose protection of updates is probed.
        folder: Absolute path of a folder of the probes' own, which may not exist yet.
        origin: Where processes come from; if left out, a template of their own.
        identity: As whom, and with which versions; stands in each piece of evidence.

    Raises:
        ProcessNotStarted: A process could not be started.
        StorageError: The folder cannot be written.
    """
    plan = update_plan(sandbox, folder)
    observe(plan, origin)
    own = Kept(plan, Path(plan.folder))
    protects = sandbox.update_protection is not UpdateProtection.NONE
    bare = Kept(opened(plan), Path(plan.folder)) if protects else own
    probes = probes_of_updates(own, bare, Observed(folder), OPEN if protects else OWN)
    return [gather(probe, identity) for probe in probes]


def probes_of_updates(own: Kept, bare: Kept, noted: Observed, bare_job: str) -> list[Probe]:
    """Returns the probes of what a server kept.

    Args:
        own: Of hospitals that protect their updates as the sandbox says.
        bare: Of hospitals that do not.
        noted: Which of both jobs was run to its end, and why not.
        bare_job: What the latter's is called there.
    """

    def on(job: str, make: Made, kept: Kept) -> Callable[[], Attempt]:
        def made() -> Attempt:
            noted.look_up("attempt", job)  # or else it says why there is nothing to look at
            return make(kept)

        return made

    def probe(
        name: str, rung: int, tries: str, attempt: Made, control: Callable[[], Attempt]
    ) -> Probe:
        return Probe(name, IN_USE, rung, tries, on(OWN, attempt, own), control)

    inverts = cache(on(bare_job, invert, bare))
    tells = cache(on(bare_job, partial(tell, surely=True), bare))
    return [
        probe(
            INVERT,
            2,
            "Reads a picture from what one hospital's update says of a dense first layer.",
            invert,
            inverts,
        ),
        probe(
            TELL,
            2,
            "Tells by their loss, under one hospital's update, which pictures it learned from.",
            tell,
            tells,
        ),
        probe(
            RECOVER,
            3,
            "Looks for any hospital's update in all that the server received and stored.",
            recover,
            on(bare_job, recover, bare),
        ),
        probe(
            INVERT_SUM,
            BESIDE,
            "Reads a picture from what all hospitals' updates come to together.",
            invert_sum,
            inverts,
        ),
        probe(
            TELL_SUM,
            BESIDE,
            "Tells by their loss, under all updates together, which pictures any hospital learned "
            "from.",
            tell_sum,
            tells,
        ),
    ]


def recover(kept: Kept) -> Attempt:
    """Looks for an update as bytes, and as numbers: in replies, in sums of some, in the mean."""
    nearest = 0.0
    found = files = 0
    for number in ROUNDS:
        sent = [kept.sent(hospital, number) for hospital in kept.plan.hospitals]
        seen = [*sent, *sums(sent), kept.published(number) - kept.received(number)]
        for hospital in kept.plan.hospitals:
            learned = kept.learned(hospital, number)
            nearest = max(nearest, *(likeness(each, learned) for each in seen))
        in_files, files = kept.found(number)
        found += in_files
    counts = {"files": files, "found": found, "cosine": round(nearest, 3), "needed": LIKENESS}
    return Attempt(found > 0 or nearest >= LIKENESS, counts)


def invert(kept: Kept) -> Attempt:
    """Reads each hospital's picture from its own update."""
    changes = {name: kept.sent(name, INVERTED_ROUND) for name in kept.plan.hospitals}
    return _inverted(kept, changes)


def invert_sum(kept: Kept) -> Attempt:
    """Reads each hospital's picture from the mean of all updates."""
    mean = kept.published(INVERTED_ROUND) - kept.received(INVERTED_ROUND)
    return _inverted(kept, dict.fromkeys(kept.plan.hospitals, mean))


def tell(kept: Kept, *, surely: bool = False) -> Attempt:
    """Tells members from others by the weights that each hospital's update leads to."""
    received = kept.received(MEMBERS_ROUND)
    reached = {name: received + kept.sent(name, MEMBERS_ROUND) for name in kept.plan.hospitals}
    return _told(kept, reached, surely)


def tell_sum(kept: Kept) -> Attempt:
    """Tells members from others by the weights that all updates lead to."""
    published = kept.published(MEMBERS_ROUND)
    return _told(kept, dict.fromkeys(kept.plan.hospitals, published), surely=False)


def _inverted(kept: Kept, changes: Mapping[str, Any]) -> Attempt:
    found = [inverted(change, single(kept.plan.seed, name)) for name, change in changes.items()]
    counts = {"pictures": len(found), "correlation": round(max(found), 3), "needed": CORRELATION}
    return Attempt(max(found) >= CORRELATION, counts)


def _told(kept: Kept, reached: Mapping[str, Any], surely: bool) -> Attempt:
    """Returns whether members are told from others: not surely not, or surely.

    An attempt fails only where the whole interval lies below `AUC`; its control succeeds only where
    the whole of it lies above.
    """
    seed = kept.plan.seed
    known = [(weights, *members_and_others(seed, name)) for name, weights in reached.items()]
    auc = told_apart(known, seed=seed)
    counts = {
        "members": sum(len(members.labels) for _, members, _ in known),
        "auc": round(auc.value, 3),
        "auc_low": round(auc.low, 3),
        "auc_high": round(auc.high, 3),
        "needed": AUC,
    }
    return Attempt((auc.low if surely else auc.high) >= AUC, counts)
